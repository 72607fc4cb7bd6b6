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


def fingerprint(stream: BinaryIO) -> Fingerprint:
    """Read the bytes once, from the beginning to the end."""
    digest, size, line, refusal = hashlib.sha256(), 0, 1, None
    decoders: dict[str, codecs.IncrementalDecoder] = {}
    for chunk in chain(iter(lambda: stream.read(CHUNK), b""), [b""]):
        if not size:
            decoders = {name: codecs.getincrementaldecoder(name)() for name in _candidates(chunk[:4])}
        digest.update(chunk)
        size += len(chunk)
        try:
            decoders = _still_fitting(decoders, chunk, line)
        except FileRefused as error:
            decoders, refusal = {}, refusal or error
        line += chunk.count(b"\n")
    return Fingerprint(digest.hexdigest(), size, next(iter(decoders), None), refusal)


def _still_fitting(
    decoders: dict[str, codecs.IncrementalDecoder], chunk: bytes, line: int
) -> dict[str, codecs.IncrementalDecoder]:
    """The decoders that can read this chunk too (an empty one ends the file); `line` is where the chunk begins."""
    fitting = {}
    for name, decoder in decoders.items():
        try:
            decoder.decode(chunk, final=not chunk)
            fitting[name] = decoder
        except UnicodeDecodeError as error:
            bad_line = line + chunk[: error.start].count(b"\n")
    if decoders and not fitting:
        problem = "The text is neither UTF-8 nor UTF-16 nor Windows-1252."
        raise FileRefused(problem, "Save it again as CSV UTF-8.", line=bad_line)
    return fitting


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
    """Open the stream as a table. Raises FileRefused for an empty or broken file; rows raise it as they are read."""
    lines = io.TextIOWrapper(stream, encoding=encoding, newline="")
    first, skipped = lines.readline(), 0
    delimiter = _delimiter(first)
    if first.casefold().startswith("sep="):
        delimiter, first, skipped = first[4], lines.readline(), 1
    records = _records(chain([first], lines), delimiter, skipped)
    _, headings = next(records, (1, []))
    if not any(heading.strip() for heading in headings):
        problem = "The file is empty."
        raise FileRefused(problem, "Export it again.")
    return Table([heading.strip() for heading in headings], delimiter, records, lines)


def _delimiter(line: str) -> str:
    """The one that cuts the heading into most pieces; spreadsheets write `;` where a comma is the decimal sign."""
    return max(DELIMITERS, key=lambda mark: len(next(csv.reader([line], delimiter=mark), [])))


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
