"""The CSV inbox: a folder or bucket with one folder per as-of date. Listing, opening and adding files belong here;
what is in them does not.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from cg_pipeline.errors import ConfigError, NotFound, Unavailable

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENTS = ("mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True, order=True)
class InboxFile:
    """A file as it lies in the inbox. Ordered by day, then as files arrived."""

    as_of: date
    modified_at: datetime
    name: str
    size_bytes: int


class Inbox:
    """The files of `<url>/<YYYY-MM-DD>/<name>.csv`. Hidden files do not exist: they are still being written."""

    def __init__(self, url: str) -> None:
        try:
            filesystem, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            message = f"CG_INBOX={url} cannot be used: {error}"
            raise ConfigError(message) from error
        self.url, self._fs, self._root = url, filesystem, root.rstrip("/")
        self._local = isinstance(filesystem, LocalFileSystem)

    def create(self) -> None:
        """Make the inbox if it is missing."""
        self._fs.makedirs(self._root, exist_ok=True)

    def folder(self, as_of: date) -> list[InboxFile]:
        """The files of one day in order of arrival. Raises Unavailable when the inbox cannot be read."""
        return sorted(self._files(f"{self._root}/{as_of}"))

    def days(self) -> dict[date, list[InboxFile]]:
        """All files by day. Raises Unavailable when the inbox cannot be read."""
        found: dict[date, list[InboxFile]] = {}
        for file in sorted(self._files(self._root)):
            found.setdefault(file.as_of, []).append(file)
        return found

    @contextmanager
    def open(self, as_of: date, name: str) -> Iterator[BinaryIO]:
        """The bytes of a file. Raises NotFound when it is no longer there."""
        try:
            with self._fs.open(f"{self._root}/{as_of}/{name}", "rb") as stream:
                yield cast("BinaryIO", stream)
        except FileNotFoundError as error:
            message = f"{name} is no longer in the inbox {self.url} under {as_of}."
            raise NotFound(message) from error

    def put(self, source: Path, as_of: date, *, replace: bool = False) -> str:
        """Copy a file in, whole or not at all, and return the name under which it lies.

        When another file of that name lies there, this one gets a number, unless `replace` says that it corrects it.
        Raises NotFound when the source does not exist.
        """
        if not source.is_file():
            message = f"{source} does not exist or is no file."
            raise NotFound(message)
        folder = f"{self._root}/{as_of}"
        self._fs.makedirs(folder, exist_ok=True)
        name = source.name.lstrip(".") or "export"
        name = name if name.lower().endswith(".csv") else f"{name}.csv"
        taken = {file.name for file in self._files(folder)}
        if name in taken and not replace:
            if (same := self._equal(source, folder, name, taken)) is not None:
                return same
            name = next(free for free in _names(name) if free not in taken)
        part = f"{folder}/.{name}.part"
        self._fs.put_file(str(source), part)
        self._move(part, f"{folder}/{name}")
        return name

    def set_aside(self, as_of: date, name: str) -> None:
        """Hide a file, which may have gone already, by a leading dot. Its bytes are kept."""
        folder = f"{self._root}/{as_of}"
        if self._fs.exists(f"{folder}/{name}"):
            hidden = next(free for free in _names(f".withdrawn.{name}") if not self._fs.exists(f"{folder}/{free}"))
            self._move(f"{folder}/{name}", f"{folder}/{hidden}")

    def _move(self, source: str, target: str) -> None:
        """Rename a file, at once. In a bucket that is a copy; its `mv` would take brackets in a name for a pattern."""
        if self._local:
            self._fs.mv(source, target)
        else:
            self._fs.cp_file(source, target)
            self._fs.rm_file(source)

    def _equal(self, source: Path, folder: str, name: str, taken: set[str]) -> str | None:
        """The file of that name, numbered or not, that holds the same bytes."""
        content = None
        for other in islice(_names(name), len(taken)):
            if other in taken and self._fs.size(f"{folder}/{other}") == source.stat().st_size:
                content = content if content is not None else source.read_bytes()
                if self._fs.cat_file(f"{folder}/{other}") == content:
                    return other
        return None

    def _files(self, path: str) -> Iterator[InboxFile]:
        try:
            self._fs.invalidate_cache()
            self._require_reachable()
            listing: dict[str, dict[str, Any]] = self._fs.find(path, detail=True)
        except OSError as error:
            message = f"The inbox {self.url} cannot be read ({error}): create it, or set CG_INBOX."
            raise Unavailable(message) from error
        for full, info in listing.items():
            folder, _, name = full.removeprefix(f"{self._root}/").partition("/")
            day = _day(folder)
            if day and "/" not in name and name.lower().endswith(".csv") and not name.startswith("."):
                yield InboxFile(day, self._modified(info), name, info["size"])

    def _require_reachable(self) -> None:
        """An unreadable inbox must not look like an empty one. In a bucket an empty folder does not exist."""
        if self._local:
            os.scandir(self._root).close()
        elif not self._fs.exists(self._root):
            self._fs.ls(self._root.split("/")[0])

    def _modified(self, info: dict[str, Any]) -> datetime:
        """When a file was last written: file systems say it each in their own way."""
        moment = next((info[key] for key in _MOMENTS if info.get(key)), None)
        if moment is None:
            message = (
                f"The inbox {self.url} lies on a file system that does not say when a file was written, so that of two "
                "files the later one cannot be told: set CG_INBOX to a folder or another bucket."
            )
            raise ConfigError(message)
        return _instant(moment)


def _names(name: str) -> Iterator[str]:
    """The name, then the same with numbers."""
    stem, dot, suffix = name.rpartition(".")
    return chain([name], (f"{stem} ({number}){dot}{suffix}" for number in count(2)))


def _day(folder: str) -> date | None:
    """The day that a folder is named after; None for any other folder."""
    try:
        return date.fromisoformat(folder) if _DAY.fullmatch(folder) else None
    except ValueError:
        return None


def _instant(moment: Any) -> datetime:
    if isinstance(moment, int | float):
        return datetime.fromtimestamp(moment, UTC)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return cast("datetime", moment if moment.tzinfo else moment.replace(tzinfo=UTC))
