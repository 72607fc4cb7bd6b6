"""The `cg` command as its users meet it: what it prints, what it returns, what it says when something is wrong."""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from cg_pipeline import config
from cg_pipeline.cli.main import app
from cg_pipeline.clock import SystemClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.sandbox import exports
from cg_pipeline.warehouse.database import Addresses, Warehouse
from cg_pipeline_tests.e2e.conftest import cg
from cg_pipeline_tests.integration.tables import row_versions

Done = subprocess.CompletedProcess[str]

# Worked out by hand from the views in sandbox/exports.py. Mira in March, EUR: 26 to 31 March of a YouTube post that
# appears on the first day, so all 107.20 count, at 70 %. Her rate is 75 % from 3 April on. In suspense are posts of one
# Facebook page; a wrong export of it of 30 March lacked 6 %, and was corrected: nothing of that may be left.
ROYALTIES = [
    {"2026-03-01", "EUR", "Dean Alvarez", "9.15", "121.84"},
    {"2026-03-01", "EUR", "Mira Okafor", "75.04", "121.84"},
    {"2026-03-01", "EUR", "(house)", "37.65", "121.84"},
    {"2026-03-01", "USD", "(suspense: no rate)", "14.02"},
    {"2026-04-01", "EUR", "Dean Alvarez", "33.72", "103.74"},
    {"2026-04-01", "EUR", "Mira Okafor", "36.19", "103.74"},
    {"2026-04-01", "EUR", "(house)", "33.83", "103.74"},
    {"2026-04-01", "USD", "(suspense: no artist)", "17.81"},
    {"2026-04-01", "USD", "(suspense: no rate)", "24.47"},
]
LAST_EVENING = datetime.combine(exports.LAST_DAY, time(18), UTC) + timedelta(days=1)
# What commands must be told that print JSON.
ARGUMENTS = {
    "cg capture status": "facebook",
    "cg backfill plan": "--platform csv --from 2026-03-28 --to 2026-03-30 --quick",
    "cg explain delta": "facebook_550000100000001 daily 2026-03-28",
    "cg explain royalty": "(suspense) 2026-03",
    "cg history known": "--day 2026-03-28 --on 2026-04-30",
}
DELTAS = [
    {"2026-04-05", "Northern Lights", "USD", "3.92", "2,178"},
    {"2026-03-01", "Northern Lights", "USD", "14.02", "30.29", "7,790"},  # the older post is an opening balance only
    {"2026-03-01", "harborsounds", "tiktok", "13,877"},
    {"2026-03-01", "Harbor Sounds TV", "EUR", "121.84", "47,332"},
    {"2026-04-01", "Harbor Sounds", "facebook", "USD", "71.17", "38,553"},  # one of its posts fell on 2 April
]


def ask(home: Path, *arguments: str, **variables: str) -> Result:
    """Run a command in this process, which has loaded all that it needs."""
    return CliRunner().invoke(app, arguments, env={**variables, "CG_HOME": str(home), "COLUMNS": "160"})


@cache
def warehouse(home: Path) -> Warehouse:
    return Warehouse(Addresses.of(config.load({"CG_HOME": str(home)})).warehouse)


def cells(table: str) -> list[list[str]]:
    """The rows of printed tables."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]


def commands(group: TyperGroup, path: str = "cg") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def all_commands() -> dict[str, Any]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(commands(group))


def tables(printed: str) -> dict[str, list[dict[str, str]]]:
    """The printed tables by title, with the cells of each row by heading."""
    found: dict[str, list[dict[str, str]]] = {}
    for block in re.split(r"\n(?=[A-Z][^\n]*\n┏)", "\n" + printed)[1:]:
        heading = [cell.strip() for cell in block.splitlines()[2].split("┃")[1:-1]]
        found[block.splitlines()[0].strip()] = [dict(zip(heading, row, strict=True)) for row in cells(block)]
    return found


def test_the_demo_prints_deltas_and_royalties_that_are_right(demo: Done) -> None:
    rows = [set(row) for row in cells(demo.stdout)]
    assert [wanted for wanted in DELTAS + ROYALTIES if not any(wanted <= row for row in rows)] == []
    assert "2026-03-30 came last and took 5 runs: daily 2026-03-30 to 2026-03-31, weekly" in " ".join(
        demo.stdout.split()
    )


def test_the_demos_payees_add_up_to_what_the_platforms_reported(demo: Done) -> None:
    printed = tables(demo.stdout)
    reported: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    booked: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in printed["Monthly deltas"]:
        if row["currency"] and row["earnings delta"]:
            reported[row["period start"], row["currency"]] += Decimal(row["earnings delta"])
    for row in printed["Royalties"]:
        booked[row["month"], row["currency"]] += Decimal(row["amount"])
        assert reported[row["month"], row["currency"]] == Decimal(row["platform"])
    assert len(booked) == 4
    assert booked == reported


def test_the_demo_names_each_step_where_there_is_no_terminal(demo: Done) -> None:
    steps = demo.stderr.splitlines()
    assert any("2026-03-26" in step for step in steps)
    assert "csv 2026-03-30, corrected" in steps
    assert len(steps) > 20


def test_importing_the_same_files_again_changes_nothing(demo_home: Path, tmp_path: Path) -> None:
    day = exports.LAST_DAY
    for name, content in exports.exports(day).items():
        (tmp_path / name).write_bytes(content)
    before = row_versions(warehouse(demo_home))
    done = cg(demo_home, "csv", "import", *map(str, tmp_path.iterdir()), "--as-of", str(day))
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in cells(done.stdout) if row[0]] == [str(day)] * 4
    assert row_versions(warehouse(demo_home)) == before


def test_a_refused_file_ends_with_1_and_says_where_it_is_wrong_and_what_to_do(demo_home: Path, tmp_path: Path) -> None:
    name, content = next(iter(exports.exports(exports.LAST_DAY).items()))
    (tmp_path / "daily.csv").write_bytes(content.replace(b"Lifetime", b"Daily"))
    (tmp_path / name).write_bytes(content.replace(b"Lifetime,", b"Lifetime,many", 1))
    before = row_versions(warehouse(demo_home))
    done = cg(demo_home, "csv", "import", str(tmp_path / "daily.csv"), "--as-of", "2026-03-20")
    assert done.returncode == 1
    assert 'daily.csv: line 2, column "Date": "Daily" is not "Lifetime"' in done.stderr
    assert 'Export again with "Lifetime" chosen' in done.stderr
    assert row_versions(warehouse(demo_home)) == before
    withdrawn = cg(demo_home, "csv", "withdraw", "daily.csv", "--as-of", "2026-03-20")
    assert (withdrawn.returncode, cells(withdrawn.stdout)[0][2]) == (0, "withdrawn")


def test_a_row_that_is_put_aside_is_named(tmp_path: Path, server_folder: Path) -> None:
    name, content = next(iter(exports.exports(exports.FIRST_DAY).items()))
    (tmp_path / name).write_bytes(content.replace(b"Lifetime,", b"Lifetime,many", 1))
    done = cg(server_folder, "csv", "import", str(tmp_path / name), "--as-of", str(exports.FIRST_DAY), "--capture-only")
    assert done.returncode == 0, done.stderr
    assert f'{name}: line 2, column "Views": "many' in done.stderr


def test_what_scripts_read_is_json_with_amounts_as_text(demo_home: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("video_id,title,view_count\n1,One,3\n")
    known = {name for name, command in all_commands().items() if any("--json" in each.opts for each in command.params)}
    assert ARGUMENTS.keys() < known
    shift = str(round((LAST_EVENING - SystemClock().now()).total_seconds()))  # when the demo ended
    asked: dict[str, Any] = {}
    for command in sorted(known):
        given = {**ARGUMENTS, "cg csv inspect": str(tmp_path / "table.csv")}.get(command, "").split()
        done = ask(demo_home, *command.split()[1:], *given, "--json", CG_CLOCK_SHIFT_SECONDS=shift)
        assert done.exit_code == 0, f"{command}: {done.stderr}"
        asked[command] = json.loads(done.stdout)
    mira = next(row for row in asked["cg royalties show"] if row["payee"] == "Mira Okafor" and row["currency"] == "EUR")
    assert (mira["month"], mira["amount"], mira["platform"], mira["posts"]) == ("2026-03-01", "75.04", "121.84", 1)
    assert asked["cg db status"]["stale_windows"] == 0
    assert asked["cg db status"]["revision"] == asked["cg db status"]["newest_revision"]
    assert {row["name"] for row in asked["cg site list"]} >= {"Harbor Sounds", "Northern Lights"}
    assert asked["cg csv inspect"]["rows"] == 1
    assert {row["rate_pct"] for row in asked["cg artist list"]} == {"75.0000", "62.5000", None}
    assert {row["site"] for row in asked["cg history known"]} >= {"Harbor Sounds", "Northern Lights"}


def test_every_command_has_help_and_is_named_in_the_readme() -> None:
    readme = (config.PROJECT / "README.md").read_text(encoding="utf-8")
    for name, command in all_commands().items():
        shown = CliRunner().invoke(app, [*name.split()[1:], "--help"])
        assert shown.exit_code == 0, name
        assert (command.help or "").strip(), f"{name} does not say what it does"
        assert [each.name for each in command.params if not getattr(each, "help", None)] == [], name
        assert name in readme, f"README.md does not name {name}"
    assert [name for name in config.DEFAULTS if name not in readme] == []


def test_init_adds_what_is_missing_and_never_changes_a_line(tmp_path: Path) -> None:
    own = "# mine\nCG_TIMEZONE=America/New_York\nCG_SETTLE_SECONDS=5"
    (tmp_path / ".env").write_text(own)
    assert cg(tmp_path, "init").returncode == 0
    written = (tmp_path / ".env").read_text()
    assert written.startswith(own)
    assert all(written.count(f"\n{name}=") == 1 for name in config.DEFAULTS)
    assert config.load({"CG_HOME": str(tmp_path)}).timezone.key == "America/New_York"
    again = cg(tmp_path, "init")
    assert (again.returncode, (tmp_path / ".env").read_text()) == (0, written)


MISTAKES = {
    "csv import {csv} --as-of 2030-01-01": "must lie between 2024-01-01 (CG_HISTORY_START) and today",
    "csv import {csv} --as-of 2026-04-05 --site Nope": 'There is no site "Nope": see `cg site list`',
    "csv reload --as-of 2019-01-01": "must lie between 2024-01-01",
    "csv withdraw nope.csv --as-of 2026-04-05": 'No file "nope.csv" of 2026-04-05',
    "csv inspect {empty}": "The file is empty. Export it again.",
    "site set harborsounds csv_mapping @nope.yaml": "nope.yaml cannot be read",
    "site set harborsounds colour red": "Settings are currency, csv_period",
    "artist rate Nobody 50": 'There is no artist "Nobody": see `cg artist list`',
    "royalties show --artist Nobody": 'There is no artist "Nobody"',
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_answered_by_a_sentence(line: str, demo_home: Path, tmp_path: Path) -> None:
    for name in ("csv", "empty"):
        (tmp_path / f"{name}.csv").write_text("a,b\n1,2\n" if name == "csv" else "")
    before = sorted((demo_home / "inbox").rglob("*"))
    done = cg(demo_home, *line.format(csv=tmp_path / "csv.csv", empty=tmp_path / "empty.csv").split())
    assert done.returncode == 1
    assert MISTAKES[line] in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted((demo_home / "inbox").rglob("*")) == before


@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        ({"CG_TIMEZONE": "Mars"}, 1, "CG_TIMEZONE=Mars is no time zone"),
        ({"CG_DATABASE_URL": "mysql://x/y"}, 1, "must name a PostgreSQL database"),
        ({"CG_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/x"}, 3, "PostgreSQL does not answer"),
        ({"CG_INBOX": "/dev/null/inbox"}, 1, "CG_INBOX"),
    ],
)
def test_an_unusable_setting_is_named(variables: dict[str, str], code: int, told: str, server_folder: Path) -> None:
    done = cg(server_folder, "db", "status", **variables)
    assert done.returncode == code
    assert told in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_made_is_named() -> None:
    done = cg(Path("/dev/null/home"), "init")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "/dev/null/home" in done.stderr


# webhooks, whose events were processed by the demo's own daemon


@pytest.fixture(scope="module")
def events(demo_home: Path) -> list[dict[str, Any]]:
    done = ask(demo_home, "webhook", "list", "--json")
    assert done.exit_code == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_demo_has_processed_one_event_of_each_platform(events: list[dict[str, Any]]) -> None:
    assert sorted(event["platform"] for event in events) == sorted(PLATFORMS)
    assert {event["status"] for event in events} == {"processed"}


def test_events_are_listed_by_filters(demo_home: Path, events: list[dict[str, Any]]) -> None:
    done = ask(demo_home, "webhook", "list", "--platform", "threads", "--status", "processed", "--json")
    assert [event["platform"] for event in json.loads(done.stdout)] == ["threads"]
    assert "No such webhook event" in ask(demo_home, "webhook", "list", "--type", "nothing%").stdout
    assert "No such webhook event" in ask(demo_home, "webhook", "list", "--until", "2026-01-01").stdout
    unknown = ask(demo_home, "webhook", "list", "--site", "Nobody")
    assert 'There is no site "Nobody"' in str(unknown.exception)


def test_an_event_is_shown_with_its_payload_and_its_run(demo_home: Path, events: list[dict[str, Any]]) -> None:
    (facebook,) = (event for event in events if event["platform"] == "facebook")
    shown = json.loads(ask(demo_home, "webhook", "show", facebook["id"]).stdout)
    assert shown["payload"]["field"] == "feed"
    assert shown["run"].startswith("webhooks:facebook:")
    missing = ask(demo_home, "webhook", "show", str(uuid4()))
    assert "There is no webhook event" in str(missing.exception)


def test_what_is_processed_is_neither_buried_nor_retried(demo_home: Path, events: list[dict[str, Any]]) -> None:
    buried = ask(demo_home, "webhook", "bury", events[0]["id"], "--reason", "a test")
    assert "It does not wait: nothing was changed." in buried.stdout
    assert "0 events are tried again." in ask(demo_home, "webhook", "retry", events[0]["id"]).stdout


def test_a_replay_says_which_events_it_means(demo_home: Path) -> None:
    refused = ask(demo_home, "webhook", "replay")
    assert (refused.exit_code, "Say which events" in refused.stderr) == (2, True)
    assert "0 of 0 events" in ask(demo_home, "webhook", "replay", "--type", "nothing%").stdout


def test_a_secret_is_never_an_argument(demo_home: Path) -> None:
    refused = ask(demo_home, "webhook", "secret", "Waves Sounds")
    assert "The secret is missing" in str(refused.exception)
