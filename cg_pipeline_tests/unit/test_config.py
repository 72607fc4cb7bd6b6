"""Settings: where they come from, which win, what is refused in which words, and the file that `cg init` writes."""

from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cg_pipeline import config
from cg_pipeline.config import DEFAULTS, write_env_file
from cg_pipeline.errors import ConfigError


def load(home: Path, **variables: str) -> config.Settings:
    return config.load({"CG_HOME": str(home), **variables})


def write(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / ".env").write_text(text, encoding="utf-8")


def test_without_any_setting_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path) == config.Settings(
        home=tmp_path,
        timezone=ZoneInfo("UTC"),
        history_start=date(2024, 1, 1),
        inbox=str(tmp_path / "inbox"),
        database_url=None,
        dagster_url=None,
        settle=timedelta(seconds=30),
        settle_limit=timedelta(minutes=15),
        closing_grace=timedelta(hours=6),
        answers_kept=timedelta(days=35),
        sites_at_once=16,
        webhook_url="",
        webhook_lease=timedelta(minutes=15),
        webhook_rate=1000,
        fingerprints_kept=timedelta(days=90),
        encryption_keys="",
        platforms={platform: {} for platform in config.PLATFORMS},
    )


def test_the_installation_is_in_the_project_folder_unless_cg_home_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    assert config.load({}).home == tmp_path / ".cg"
    assert config.load({"CG_HOME": ""}).home == tmp_path / ".cg"
    assert config.load({"CG_HOME": str(tmp_path / "other")}).home == tmp_path / "other"


def test_a_home_may_be_relative_or_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert config.load({"CG_HOME": "here"}).home == tmp_path / "here"
    assert config.load({"CG_HOME": "~/there"}).home == tmp_path / "me" / "there"


def test_the_file_of_the_installation_is_read(tmp_path: Path) -> None:
    write(tmp_path, 'CG_TIMEZONE=Asia/Tokyo\nCG_INBOX="s3://bucket/in"  # ours\nexport CG_SETTLE_SECONDS=5\n')
    loaded = load(tmp_path)
    assert (loaded.timezone.key, loaded.inbox, loaded.settle) == ("Asia/Tokyo", "s3://bucket/in", timedelta(seconds=5))


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, "CG_TIMEZONE=Asia/Tokyo\nCG_DATABASE_URL=postgresql://file/db\n")
    loaded = load(tmp_path, CG_TIMEZONE="Europe/Paris", CG_DAGSTER_URL="postgresql://environment/db")
    assert loaded.timezone.key == "Europe/Paris"
    assert loaded.database_url == "postgresql://file/db"
    assert loaded.dagster_url == "postgresql://environment/db"


def test_an_empty_variable_in_the_environment_takes_the_files_value_back(tmp_path: Path) -> None:
    write(tmp_path, "CG_DATABASE_URL=postgresql://file/db\n")
    assert load(tmp_path, CG_DATABASE_URL="").database_url is None


def test_each_home_has_its_own_settings(tmp_path: Path) -> None:
    write(tmp_path / "one", "CG_TIMEZONE=Asia/Tokyo\n")
    write(tmp_path / "two", "CG_TIMEZONE=Europe/Paris\n")
    assert [load(tmp_path / name).timezone.key for name in ("one", "two")] == ["Asia/Tokyo", "Europe/Paris"]


def test_loading_writes_nothing(tmp_path: Path) -> None:
    load(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "UTC+2", "America", "Europe/", " "]
)
def test_a_time_zone_that_is_none_is_refused_with_examples(tmp_path: Path, zone: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CG_TIMEZONE=zone)
    message = str(caught.value)
    assert message.startswith(f"CG_TIMEZONE={zone} ")
    assert "America/Los_Angeles" in message


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "01/01/2024", "2024"])
def test_a_history_start_that_is_no_date_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CG_HISTORY_START=text)
    assert str(caught.value) == f"CG_HISTORY_START={text} is no date; write it like 2024-01-01."


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("2024-01-02", "2024-01-01"),
        ("2025-01-01", "2024-07-01"),
        ("2026-03-30", "2024-07-01"),
        ("2023-12-31", "2019-07-01"),
    ],
    ids=["a day late", "no Monday", "a Monday inside a quarter", "the day before one that fits"],
)
def test_a_history_start_on_which_not_everything_begins_is_refused_with_one_that_fits(
    tmp_path: Path, text: str, instead: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CG_HISTORY_START=text)
    assert str(caught.value) == (f"CG_HISTORY_START={text} must be a Monday on which a quarter begins; use {instead}.")


@settings(deadline=None)
@given(day=st.dates(date(1971, 1, 1), date(2100, 1, 1)))
def test_the_history_start_that_a_refusal_proposes_is_accepted_and_lies_before(day: date) -> None:
    try:
        start = config.load({"CG_HOME": "/dev/null/none", "CG_HISTORY_START": str(day)}).history_start
    except ConfigError as error:
        proposed = str(error).rsplit(" ", 1)[1].rstrip(".")
        start = config.load({"CG_HOME": "/dev/null/none", "CG_HISTORY_START": proposed}).history_start
        assert start < day
    assert (start.weekday(), start.day, start.month % 3) == (0, 1, 1)


@pytest.mark.parametrize("name", ["CG_SETTLE_SECONDS", "CG_SETTLE_LIMIT_SECONDS"])
@pytest.mark.parametrize("text", ["-1", "1.5", "soon", "1e3", "0x10", " 5", "²"])
def test_a_number_of_seconds_that_is_none_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **{name: text})
    assert str(caught.value) == f"{name}={text} must be a whole number of seconds."


def test_settling_may_be_switched_off(tmp_path: Path) -> None:
    assert load(tmp_path, CG_SETTLE_SECONDS="0").settle == timedelta(0)


def test_a_refusal_blames_the_file_as_well_as_the_environment(tmp_path: Path) -> None:
    write(tmp_path, "CG_TIMEZONE=Mars/Olympus\n")
    with pytest.raises(ConfigError, match="CG_TIMEZONE=Mars/Olympus"):
        load(tmp_path)


def test_a_new_settings_file_holds_every_setting_with_its_meaning_and_default(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    assert write_env_file(load(home)) == list(DEFAULTS)
    lines = (home / ".env").read_text(encoding="utf-8").splitlines()
    assert lines == [
        line for name, (default, meaning) in DEFAULTS.items() for line in (f"# {meaning}", f"{name}={default}")
    ]


def test_the_settings_file_that_is_written_changes_no_setting(tmp_path: Path) -> None:
    before = load(tmp_path)
    write_env_file(before)
    assert load(tmp_path) == before


def test_writing_the_settings_file_again_changes_nothing(tmp_path: Path) -> None:
    write_env_file(load(tmp_path))
    written = (tmp_path / ".env").read_bytes()
    assert write_env_file(load(tmp_path)) == []
    assert (tmp_path / ".env").read_bytes() == written


@pytest.mark.parametrize(
    "end", ["\n", "", "\r\n", "\n\n# the end\n"], ids=["newline", "no newline", "Windows", "comment"]
)
def test_what_a_person_wrote_into_the_settings_file_stays_and_only_the_rest_is_added(tmp_path: Path, end: str) -> None:
    mine = f"# mine\nCG_SETTLE_SECONDS = '7'\nUNKNOWN=1\nCG_TIMEZONE=Asia/Tokyo{end}"
    write(tmp_path, mine)
    added = write_env_file(load(tmp_path))
    assert added == [name for name in DEFAULTS if name not in {"CG_SETTLE_SECONDS", "CG_TIMEZONE"}]
    assert (tmp_path / ".env").read_text(encoding="utf-8").startswith(mine.replace("\r\n", "\n"))
    loaded = load(tmp_path)
    assert (loaded.timezone.key, loaded.settle) == ("Asia/Tokyo", timedelta(seconds=7))


def test_a_setting_that_is_there_without_a_value_counts_as_there(tmp_path: Path) -> None:
    write(tmp_path, "CG_INBOX=\nCG_DATABASE_URL=\n")
    assert not {"CG_INBOX", "CG_DATABASE_URL"} & set(write_env_file(load(tmp_path)))


def test_every_setting_has_a_meaning_and_a_name_of_ours() -> None:
    assert all(name.startswith("CG_") and meaning for name, (_, meaning) in DEFAULTS.items())
