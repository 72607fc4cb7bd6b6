"""From bytes to headings and rows: encodings, delimiters, line numbers, files that are broken."""

import codecs
import hashlib
import io
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cg_pipeline.capture import tables
from cg_pipeline.capture.tables import CHUNK
from cg_pipeline_tests.unit.exports import csv_bytes, refused, steady

Rows = list[tuple[int, list[str]]]

# how a file is written -> how it is read
ENCODINGS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "UTF-8": (lambda text: text.encode(), "utf-8"),
    "UTF-8 with BOM": (lambda text: text.encode("utf-8-sig"), "utf-8-sig"),
    "UTF-16 LE": (lambda text: text.encode("utf-16-le"), "utf-16-le"),
    "UTF-16 BE": (lambda text: text.encode("utf-16-be"), "utf-16-be"),
    "UTF-16 LE with BOM": (lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"), "utf-16"),
    "UTF-16 BE with BOM": (lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"), "utf-16"),
    "Windows-1252": (lambda text: text.encode("cp1252"), "cp1252"),
}


def read(data: bytes) -> tuple[list[str], str, Rows]:
    """Headings, delimiter and rows, in the encoding that the bytes show."""
    found = tables.fingerprint(io.BytesIO(data))
    if found.refusal:
        raise found.refusal
    table = tables.read(io.BytesIO(data), str(found.encoding))
    return table.headings, table.delimiter, list(table.rows)


# encodings


@pytest.mark.parametrize(("write", "encoding"), ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("delimiter", list(tables.DELIMITERS), ids=repr)
@settings(steady, max_examples=15)
@given(data=st.data())
def test_any_table_reads_back_as_it_was_written(
    write: Callable[[str], bytes], encoding: str, delimiter: str, data: st.DataObject
) -> None:
    characters = st.characters(codec="cp1252" if encoding == "cp1252" else "utf-8")
    awkward = st.sampled_from(['"', "\n", "\r\n", "\r", ",", ";", "\t", "|", " ", "", "é", "sep=,"])
    cell = st.text(characters) | st.lists(awkward, max_size=5).map("".join)
    written = data.draw(st.lists(st.lists(cell, min_size=1, max_size=4), max_size=4))
    headings = ["id", "é", "c"]
    text = csv_bytes(headings, *written, delimiter=delimiter).decode()

    found = tables.fingerprint(io.BytesIO(write(text)))
    assert (found.encoding, found.refusal) == (encoding, None)
    table = tables.read(io.BytesIO(write(text)), encoding)
    assert (table.headings, table.delimiter) == (headings, delimiter)
    lines = [
        1 + line_ends(csv_bytes(headings, *written[:number], delimiter=delimiter)) for number in range(len(written))
    ]
    assert list(table.rows) == list(zip(lines, written, strict=True))


def line_ends(data: bytes) -> int:
    return len(re.findall(rb"\r\n|\r|\n", data))


def test_the_fingerprint_identifies_the_bytes() -> None:
    data = "a,b\né,1\n".encode()
    found = tables.fingerprint(io.BytesIO(data))
    assert (found.sha256, found.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("UTF-8", 1),
        ("UTF-8", 3),
        ("UTF-8 with BOM", 2),
        ("UTF-16 LE", 2),
        ("UTF-16 BE", 2),
        ("UTF-16 LE with BOM", 2),
    ],
)
def test_a_character_that_is_cut_by_the_end_of_a_chunk_is_read_whole(name: str, before: int) -> None:
    write, encoding = ENCODINGS[name]
    width = len(write("aa")) - len(write("a"))
    filler = "a" * ((CHUNK - before - len(write("h\n"))) // width)
    assert len(write(f"h\n{filler}")) == CHUNK - before  # so that only so much of the wave stands in the first chunk
    data = write(f"h\n{filler}🌊\n")
    assert tables.fingerprint(io.BytesIO(data)).encoding == encoding
    assert read(data)[2] == [(2, [f"{filler}🌊"])]


# One chunk's worth of lines, so that what follows stands in the second chunk; the last bytes begin a wave.
FULL = b"\xef\xbb\xbfh" + b"\n" * (CHUNK - 7) + "🌊".encode()[:3]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        pytest.param(b"\x81,b\n", 1, id="in the heading"),
        pytest.param(b"a,b\n1,\x81\n", 2, id="in a row"),
        pytest.param(b"a\n\xe9\n\x81\n", 3, id="Windows-1252 but for one byte"),
        pytest.param("a\n❤️\nb\n".encode() + b"\xff\n", 4, id="UTF-8 but for one byte, below an emoji"),
        pytest.param(b"\xef\xbb\xbfab\n\xff\n", 2, id="after a BOM, near the beginning of a line"),
        pytest.param(b"h\n" * CHUNK + b"\x81\n", CHUNK + 1, id="in the third chunk"),
        pytest.param(FULL + "🌊".encode()[3:] + b"\x81\n\n\n", CHUNK - 6, id="after a character cut by a chunk"),
        pytest.param(b"\xef\xbb\xbfa\nb\n\xe2\x82", 3, id="cut within a character"),
        pytest.param(codecs.BOM_UTF16_LE + "a\nb".encode("utf-16-le")[:-1], 2, id="UTF-16 cut within a character"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_line(data: bytes, line: int) -> None:
    assert tables.fingerprint(io.BytesIO(data)).encoding is None
    with refused("neither UTF-8 nor UTF-16 nor Windows-1252. Save it again as CSV UTF-8.", line):
        read(data)


# delimiters


@pytest.mark.parametrize(
    ("data", "delimiter", "headings", "rows"),
    [
        pytest.param(b"a,b\n1,2\n", ",", ["a", "b"], [(2, ["1", "2"])], id="comma"),
        pytest.param(b'"a;1,5";b\n"1";2\n', ";", ["a;1,5", "b"], [(2, ["1", "2"])], id="commas in a quoted heading"),
        pytest.param(b"a\n1,2\n", ",", ["a"], [(2, ["1", "2"])], id="one column"),
        pytest.param(
            b'sep=,\n"Views"\n\n"Date","Primary"\n1,2\n', ",", ["Date", "Primary"], [(5, ["1", "2"])], id="title"
        ),
        pytest.param(b"sep=\na;b\n1;2\n", ";", ["a", "b"], [(3, ["1", "2"])], id="sep= without a delimiter"),
        pytest.param(b"sep=;\na;b,c\n1;2\n", ";", ["a", "b,c"], [(3, ["1", "2"])], id="sep="),
        pytest.param(b"SEP=\t\r\na\tb\r\n1\t2", "\t", ["a", "b"], [(3, ["1", "2"])], id="SEP= in capitals, tab"),
        pytest.param(
            b'sep=,\na,b\n"1\n2",3\n4,5\n', ",", ["a", "b"], [(3, ["1\n2", "3"]), (5, ["4", "5"])], id="lines"
        ),
        pytest.param(b"\n\na,b\n\n1,2\n\n", ",", ["a", "b"], [(5, ["1", "2"])], id="blank lines count but say nothing"),
        pytest.param(b" a , b \n 1 , 2 \n", ",", ["a", "b"], [(2, [" 1 ", " 2 "])], id="only headings are trimmed"),
        pytest.param(b"a,b\r1,2\r", ",", ["a", "b"], [(2, ["1", "2"])], id="lines of an old Macintosh"),
        pytest.param(b"a,b\n", ",", ["a", "b"], [], id="heading only"),
        pytest.param(b"a,b\n1\n", ",", ["a", "b"], [(2, ["1"])], id="cut outside quotes"),
        pytest.param(b"\n\na;b\n1;2\n", ";", ["a", "b"], [(4, ["1", "2"])], id="semicolon below blank lines"),
    ],
)
def test_a_table_is_cut_where_its_heading_says(data: bytes, delimiter: str, headings: list[str], rows: Rows) -> None:
    assert read(data) == (headings, delimiter, rows)


# broken files


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b",,\n", b"sep=,\n", b"sep=", b"sep=\n"],
)
def test_a_file_without_headings_is_empty(data: bytes) -> None:
    with refused("The file is empty. Export it again.", line=None):
        read(data)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        pytest.param(b'a,b\n1,"2\n', 2, id="cut within quotes"),
        pytest.param(b'a,b\n1,2\n3,"4\n5\n6', 3, id="cut some lines later"),
        pytest.param(b'sep=,\na,b\n1,"2', 3, id="cut below sep="),
        pytest.param(b'a,b\n"1"2,3\n4,5\n', 2, id="text after a quote"),
        pytest.param(b'a,b\n1,"' + b"x" * (17 << 20) + b'"\n', 2, id="a quote that never ends"),
        pytest.param(b'a,"b', 1, id="heading cut"),
        pytest.param(b"x" * (17 << 20), 1, id="no table at all: one endless line"),
    ],
)
def test_a_broken_row_is_refused_with_the_line_on_which_it_starts(data: bytes, line: int) -> None:
    with refused("The file may have been cut short or edited: export it again.", line):
        read(data)


def test_a_file_of_nul_characters_is_refused_in_words_that_can_be_stored() -> None:
    with refused("NUL"):
        read(bytes(100))  # what a crash may leave of a download


def test_rows_above_a_broken_one_are_read_first() -> None:
    rows = tables.read(io.BytesIO(b'a,b\n1,2\n3,"4'), "utf-8").rows
    assert next(rows) == (2, ["1", "2"])
    with refused("export it again", line=3):
        next(rows)
