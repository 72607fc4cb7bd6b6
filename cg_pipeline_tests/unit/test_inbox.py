"""The CSV inbox, as a local folder and as a bucket (in memory)."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from cg_pipeline.capture.inbox import Inbox
from cg_pipeline.errors import CgError, ConfigError, NotFound, Unavailable

DAY = date(2026, 1, 15)


@pytest.fixture(params=["file", "memory"])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Inbox:
    made = Inbox(f"{request.param}://{tmp_path}/inbox/")
    made.create()
    return made


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Makes a file to put into the inbox."""

    def make(content: str = "a,b\n", name: str = "posts.csv") -> Path:
        path = tmp_path / "downloads" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path

    return make


def listed(inbox: Inbox, day: date = DAY) -> list[str]:
    return [file.name for file in inbox.folder(day)]


def content(inbox: Inbox, name: str) -> bytes:
    with inbox.open(DAY, name) as stream:
        return stream.read()


def bucket(inbox: Inbox) -> tuple[Any, str]:
    """The file system below the inbox, and where the inbox is in it."""
    filesystem, root = fsspec.core.url_to_fs(inbox.url)
    return filesystem, root.rstrip("/")


def lay(inbox: Inbox, path: str, data: bytes = b"x") -> None:
    """Put a file there behind the inbox's back."""
    filesystem, root = bucket(inbox)
    filesystem.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(f"{root}/{path}", data)


# putting files in


def test_a_file_that_is_put_in_lies_there_whole_and_alone(inbox: Inbox, source: Callable[..., Path]) -> None:
    assert inbox.put(source("é,b\n"), DAY) == "posts.csv"
    (file,) = inbox.folder(DAY)
    assert (file.as_of, file.name, file.size_bytes) == (DAY, "posts.csv", 5)
    assert timedelta(0) <= datetime.now(UTC) - file.modified_at < timedelta(minutes=5)
    assert content(inbox, "posts.csv") == "é,b\n".encode()
    filesystem, root = bucket(inbox)
    assert [path.removeprefix(root) for path in filesystem.find(root)] == ["/2026-01-15/posts.csv"]


def test_a_file_that_is_only_half_there_is_not_seen(
    inbox: Inbox, source: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(filesystem: Any, _: str, target: str, **__: Any) -> None:
        filesystem.pipe_file(target, b"a")
        raise OSError("no space left")

    monkeypatch.setattr(type(bucket(inbox)[0]), "put_file", break_off)
    with pytest.raises(OSError, match="no space left"):
        inbox.put(source(), DAY)
    assert listed(inbox) == []
    monkeypatch.undo()
    assert inbox.put(source(), DAY) == "posts.csv"
    assert listed(inbox) == ["posts.csv"]


def test_other_files_of_a_name_get_numbers_and_the_same_bytes_the_name_they_have(
    inbox: Inbox, source: Callable[..., Path]
) -> None:
    names = [inbox.put(source(text), DAY) for text in ("one", "two", "six", "one", "two", "six", "three")]
    first, second, third, fourth = "posts.csv", "posts (2).csv", "posts (3).csv", "posts (4).csv"
    assert names == [first, second, third, first, second, third, fourth]
    assert [content(inbox, name) for name in (first, second, third, fourth)] == [b"one", b"two", b"six", b"three"]
    assert inbox.put(source("two"), date(2026, 1, 16)) == first  # another day is another folder


def test_a_correction_takes_the_place_of_the_file(inbox: Inbox, source: Callable[..., Path]) -> None:
    for text in ("one", "two", "two"):
        assert inbox.put(source(text), DAY, replace=True) == "posts.csv"
        assert content(inbox, "posts.csv") == text.encode()
    assert listed(inbox) == ["posts.csv"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("POSTS.CSV", "POSTS.CSV"),
        ("Table data (1).csv", "Table data (1).csv"),
        ("posts.txt", "posts.txt.csv"),
        ("posts", "posts.csv"),
        ("größe 100%.csv", "größe 100%.csv"),
        ("posts [1].csv", "posts [1].csv"),  # brackets are a pattern to file systems
    ],
)
def test_a_file_keeps_its_name_as_far_as_it_can(
    inbox: Inbox, source: Callable[..., Path], name: str, kept: str
) -> None:
    assert inbox.put(source(name=name), DAY) == kept
    assert listed(inbox) == [kept]
    assert content(inbox, kept) == b"a,b\n"


@pytest.mark.parametrize("name", [".posts.csv", ".csv", "..posts.csv"])
def test_a_hidden_file_that_is_put_in_does_not_stay_hidden(
    inbox: Inbox, source: Callable[..., Path], name: str
) -> None:
    kept = inbox.put(source(name=name), DAY)
    assert listed(inbox) == [kept]


@pytest.mark.parametrize("path", ["nowhere.csv", ""])
def test_what_is_no_file_cannot_be_put_in(inbox: Inbox, tmp_path: Path, path: str) -> None:
    with pytest.raises(NotFound, match="does not exist or is no file"):
        inbox.put(tmp_path / path, DAY)


# what lies there


def test_files_come_in_order_of_arrival(inbox: Inbox) -> None:
    if inbox.url.startswith("memory"):
        for name in ("c.csv", "a.csv", "b.csv"):  # each is later than the one before
            lay(inbox, f"{DAY}/{name}")
    else:
        for name, second in {"a.csv": 20, "b.csv": 30, "c.csv": 10}.items():
            lay(inbox, f"{DAY}/{name}")
            os.utime(f"{bucket(inbox)[1]}/{DAY}/{name}", (second, second))
    assert listed(inbox) == ["c.csv", "a.csv", "b.csv"]


def test_of_files_that_arrive_at_once_the_name_decides(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = {
        f"{bucket(inbox)[1]}/2026-01-15/{name}": {"size": 1, "mtime": 5.0} for name in ("b.csv", "a (2).csv", "a.csv")
    }
    monkeypatch.setattr(type(bucket(inbox)[0]), "find", lambda *_, **__: listing)
    assert [file.name for files in inbox.days().values() for file in files] == ["a (2).csv", "a.csv", "b.csv"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{DAY}/.posts.csv", id="hidden"),
        pytest.param(f"{DAY}/.posts.csv.part", id="being written"),
        pytest.param(f"{DAY}/posts.csv.part", id="being written by another tool"),
        pytest.param(f"{DAY}/posts.txt", id="no CSV"),
        pytest.param(f"{DAY}/old/posts.csv", id="in a folder of the day"),
        pytest.param("posts.csv", id="in no folder"),
        pytest.param("archive/posts.csv", id="in another folder"),
        pytest.param("archive/2026-01-15/posts.csv", id="in another folder that has days too"),
        pytest.param(".trash/2026-01-15/posts.csv", id="in a hidden folder"),
        pytest.param("2026-1-5/posts.csv", id="day without zeros"),
        pytest.param("2026-02-30/posts.csv", id="no day of any year"),
        pytest.param("2026-01-15 (2)/posts.csv", id="copy of a folder"),
    ],
)
def test_what_is_no_csv_file_of_a_day_is_not_seen(inbox: Inbox, path: str) -> None:
    lay(inbox, f"{DAY}/seen.CSV")
    lay(inbox, path)
    assert listed(inbox) == ["seen.CSV"]
    assert [file.name for files in inbox.days().values() for file in files] == ["seen.CSV"]


def test_the_days_come_with_their_files(inbox: Inbox) -> None:
    assert inbox.days() == {}
    assert inbox.folder(DAY) == []
    for path in ("2026-01-15/b.csv", "2025-12-31/a.csv", "2026-01-15/a.csv"):
        lay(inbox, path)
    days = inbox.days()
    assert {day: {file.name for file in files} for day, files in days.items()} == {
        date(2025, 12, 31): {"a.csv"},
        DAY: {"a.csv", "b.csv"},
    }
    assert list(days) == sorted(days)
    assert days[DAY] == inbox.folder(DAY)


@pytest.mark.parametrize(
    "info",
    [
        {"LastModified": datetime(2026, 1, 15, 12, tzinfo=UTC)},  # S3
        {"updated": "2026-01-15T12:00:00Z"},  # Google
        {"last_modified": datetime(2026, 1, 15, 12)},  # noqa: DTZ001  Azure's are aware; one that is not counts as UTC
        {"created": datetime(2026, 1, 15, 12, tzinfo=UTC)},
        {"mtime": 1_768_478_400.0},
    ],
)
def test_every_file_system_says_in_its_own_way_when_a_file_came(
    inbox: Inbox, info: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = {f"{bucket(inbox)[1]}/2026-01-15/a.csv": {"size": 1, **info}}
    monkeypatch.setattr(type(bucket(inbox)[0]), "find", lambda *_, **__: listing)
    (file,) = inbox.folder(DAY)
    assert file.modified_at == datetime(2026, 1, 15, 12, tzinfo=UTC)


def test_a_file_system_that_does_not_say_it_cannot_hold_the_inbox(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = {f"{bucket(inbox)[1]}/2026-01-15/a.csv": {"size": 1}}
    monkeypatch.setattr(type(bucket(inbox)[0]), "find", lambda *_, **__: listing)
    with pytest.raises(CgError, match="inbox"):
        inbox.folder(DAY)


# what does not


@pytest.mark.parametrize("url", ["nothing://inbox", "gs://bucket/inbox"])
def test_an_address_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match=f"CG_INBOX={url} cannot be used"):
        Inbox(url)


def test_a_missing_inbox_is_an_error_and_no_empty_list(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for url in (str(tmp_path / "missing"), f"file://{tmp_path}/missing", str(tmp_path / "file")):
        for look in (Inbox(url).days, lambda url=url: Inbox(url).folder(DAY)):
            with pytest.raises(Unavailable, match=r"cannot be read .*: create it, or set CG_INBOX"):
                look()


def test_an_empty_folder_of_a_bucket_does_not_exist_and_is_no_error(tmp_path: Path) -> None:
    assert Inbox(f"memory://{tmp_path}/never made").days() == {}


def test_a_file_that_has_gone_is_named_with_its_day(inbox: Inbox) -> None:
    with pytest.raises(NotFound, match=r"gone.csv is no longer in the inbox .* under 2026-01-15"):
        content(inbox, "gone.csv")


# setting aside


def test_a_file_that_is_set_aside_is_not_seen_but_kept(inbox: Inbox, source: Callable[..., Path]) -> None:
    filesystem, root = bucket(inbox)
    for text in ("one", "two"):
        inbox.set_aside(DAY, inbox.put(source(text, "posts [1].csv"), DAY))
        assert listed(inbox) == []
    assert {filesystem.cat_file(path) for path in filesystem.find(root)} == {b"one", b"two"}


def test_setting_aside_what_has_gone_already_does_nothing(inbox: Inbox) -> None:
    lay(inbox, f"{DAY}/a.csv")
    inbox.set_aside(DAY, "b.csv")
    assert listed(inbox) == ["a.csv"]
