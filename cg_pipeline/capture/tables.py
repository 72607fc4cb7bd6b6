"""From the bytes of a CSV file to its heading and rows, as a stream. What a heading or a cell means is not known."""

import codecs
import csv
import hashlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from cg_pipeline.errors import FileRefused

CHUNK = 1 << 20
DELIMITERS = ",;\t|"

csv.field_size_limit(min(sys.maxsize, 16 << 20))  # captions may be long; a field of 16 MB is a broken quote


@dataclass(frozen=True)
class Fingerprint:
    """What one pass over the bytes tells: their identity, and in which encoding they can be read or why in none."""

    sha256: str
    size_bytes: int
    encoding: str | None
    refusal: FileRefused | None


@dataclass(frozen=True)
class Table:
    """A heading and the rows below it. Each row comes with the number of its first line and is cut at `delimiter`.

    `text` is kept because it would close the stream, which is not its own, when it is forgotten.
    """

    headings: list[str]
    delimiter: str
    rows: Iterator[tuple[int, list[str]]]
    text: io.TextIOWrapper


class _Attempt:
    """Tries one encoding. `line` is the one that was reached, and at which the encoding failed if it does not fit."""

    def __init__(self, encoding: str) -> None:
        self.encoding, self.fits, self.line = encoding, True, 1
        self.decoder = codecs.getincrementaldecoder(encoding)()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; none end the file."""
        try:
            self.line += self.decoder.decode(chunk, final=not chunk).count("\n")
        except UnicodeDecodeError as error:
            self.fits = False
            self.line += error.object[: error.start].count(b"\n")


def fingerprint(stream: BinaryIO) -> Fingerprint:
    """Read the bytes once, from the beginning to the end."""
    digest, size, refusal = hashlib.sha256(), 0, None
    attempts: list[_Attempt] = []
    for chunk in chain(iter(lambda: stream.read(CHUNK), b""), [b""]):
        attempts = attempts or [_Attempt(encoding) for encoding in _candidates(chunk[:4])]
        digest.update(chunk)
        size += len(chunk)
        for attempt in attempts:
            if attempt.fits:
                attempt.feed(chunk)
    encoding = next((attempt.encoding for attempt in attempts if attempt.fits), None)
    if encoding is None:
        problem = "The text is neither UTF-8 nor UTF-16 nor Windows-1252."
        refusal = FileRefused(problem, "Save it again as CSV UTF-8.", line=max(attempt.line for attempt in attempts))
    return Fingerprint(digest.hexdigest(), size, encoding, refusal)


def _candidates(start: bytes) -> list[str]:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ["utf-16"]
    if start.startswith(codecs.BOM_UTF8):
        return ["utf-8-sig"]
    if len(start) > 1 and not start[1]:
        return ["utf-16-le"]
    if len(start) > 1 and not start[0]:
        return ["utf-16-be"]
    return ["utf-8", "cp1252"]


def read(stream: BinaryIO, encoding: str) -> Table:
    """Open the stream as a table. Raises FileRefused for an empty or broken file; rows raise it as they are read.

    A first line `sep=;` names the delimiter; below it, a line of one cell is a title (as in the charts of Meta).
    """
    lines = io.TextIOWrapper(stream, encoding=encoding, newline="")
    first, skipped = _next_line(lines, 0)
    told = first[4:5].strip('\r\n"') if first.casefold().startswith("sep=") else None
    if told is not None:
        first, skipped = _next_line(lines, skipped + 1)
    delimiter = told or _delimiter(first)
    records = _records(chain([first], lines), delimiter, skipped)
    headings = _headings(records)
    if told and len(headings) == 1:
        headings = _headings(records)
    return Table(headings, delimiter, records, lines)


def _next_line(lines: io.TextIOWrapper, number: int) -> tuple[str, int]:
    """The next line that is not blank, and how many stand above it when `number` did so far."""
    while (line := lines.readline()).isspace():
        number += 1
    return line, number


def _headings(records: Iterator[tuple[int, list[str]]]) -> list[str]:
    line, headings = next(records, (1, []))
    headings = [heading.strip() for heading in headings]
    if not any(headings):
        problem = "The file is empty."
        raise FileRefused(problem, "Export it again.")
    if "\0" in "".join(headings):
        problem = "The heading holds a NUL character."
        raise FileRefused(problem, "The file may be damaged: export it again.", line=line)
    return headings


def _delimiter(line: str) -> str:
    """The one that cuts the heading into most pieces; spreadsheets write `;` where a comma is the decimal sign."""
    start = line[:CHUNK]  # an endless line is refused when it is read as a row
    return max(DELIMITERS, key=lambda mark: len(next(csv.reader([start], delimiter=mark), [])))


def _records(lines: Iterator[str], delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + skipped + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = f"The row that starts here is broken: {error}."
            raise FileRefused(
                problem, "The file may have been cut short or edited: export it again.", line=line
            ) from error
        if cells is None:
            return
        if cells:
            yield line, cells
