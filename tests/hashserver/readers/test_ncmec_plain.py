"""Tests of `hashserver.readers.ncmec_plain`; the parser alone is the model."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, SHA1, Row, Taken, collect

from hashcore.rows import Reject
from hashserver.readers import ReadError, Source
from hashserver.readers.ncmec import NAMESPACE, read_ncmec

KINDS = ("image", "video", "deletedImage", "deletedVideo")
TAGS = (*KINDS, "id", "classification", "fingerprints", "md5", "pdna", "b")


def mostly(common: list[str], rare: list[str]) -> st.SearchStrategy[str]:
    """One of the common ones, and now and then one of the rare, most of which no parser takes."""
    return st.integers(0, 29).flatmap(lambda number: st.sampled_from(common if number else rare))


TEXTS = mostly(
    ["1", "2", MD5, MD5.upper(), f" {SHA1}\r\n", "é", " \t", "\r", "]", "a\nb", "a>b", "x" * 1001, "&lt;", "'"],
    ["]]>", "&other;", "<", "\0", "\x7f", "\x1f"],
)
ATTRIBUTES = mostly(
    [
        *[
            "",
            "",
            "",
            "",
            "",
            ' a="1"',
            ' a="1" b="&amp;"',
            " a='1'",
            ' a="1"  b="2"',
            " ",
            "\n",
            ' a=">"',
            ' a=""',
        ],
        *[' xmlns=""', ' xmlns="urn:other"', f' xmlns="{NAMESPACE}"', ' xml:lang="en"', ' xmlnsa="1"', ' é="é"'],
    ],
    [' a="1" a="1"', ' a="<"', " a", ' a="1"b="2"', ' a="', ' xml="1"', ' b:a="1"', ' 1="1"'],
)
BETWEEN = mostly(
    ["", " ", "\n", "\r\n", "\r", "\t", "x", "é", "<!-- <image> -->", "<![CDATA[<image>]]>", "<?x?>", "&amp;"],
    ["<!--", "-->", "<![CDATA[", "]]>", "\0", "<image>", "</image>", "</images>"],
)
ROOT = f'<queryResult xmlns="{NAMESPACE}">'
AROUND = [
    (f"{ROOT}<images>", "</images></queryResult>"),
    (ROOT, "</queryResult>\n"),
    ("<queryResult>\r\n", "</queryResult>"),
    (f'<?xml version="1.0" encoding="iso-8859-1"?>{ROOT}', "</queryResult>"),
    (f'<a:queryResult xmlns:a="{NAMESPACE}">', "</a:queryResult>"),
    (f'<a:queryResult xmlns:a="{NAMESPACE}" xmlns="{NAMESPACE}">', "</a:queryResult>"),
    (f'{ROOT}<images xmlns="urn:other">', "</images></queryResult>"),
    (ROOT + "<a>" * 19, "</a>" * 19 + "</queryResult>"),
    (ROOT + "<a>" * 29, "</a>" * 29 + "</queryResult>"),
    (ROOT, ""),
]


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> str:
    """One element, plain in most of its parts."""
    name, attributes = draw(st.sampled_from(TAGS)), draw(ATTRIBUTES)
    if draw(st.integers(0, 9)) == 0:
        return f"<{name}{attributes}/>"
    if depth == 3 or draw(st.booleans()):
        inner = draw(TEXTS)
    else:
        inner = "".join(draw(st.lists(elements(depth + 1), max_size=3)))
    ending = draw(mostly([name, name, name, f"{name} "], ["b", f"{name}b", name[:-1], name.upper()]))
    return f"<{name}{attributes}>{inner}</{ending}>"


@st.composite
def items(draw: st.DrawFn) -> str:
    """An item as they are, at most with one change."""
    kind, id = draw(st.sampled_from((*KINDS[:2], *KINDS))), draw(st.sampled_from(["1", "2", "3", "", " 4 "]))
    between = draw(st.sampled_from(["", "\n", "\r\n", "\n  "]))
    parts = [
        *[f"<{kind}>", '<member id="7">Hotline</member>', '<tmk href="/"/>', f"<id>{id}</id>"],
        *["<classification>A1</classification>", "<fingerprints>", f"<md5>{MD5}</md5>", f"<sha1>{SHA1}</sha1>"],
        *["</fingerprints>", f"</{kind}>"],
    ]
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(1, len(parts) - 2))
        parts[at] = draw(st.one_of(elements(2), TEXTS, BETWEEN, st.just(parts[at] * 2)))
    return between.join([*parts, ""])


class Slowly(io.BytesIO):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, piece: int) -> None:
        super().__init__(data)
        self._piece = piece

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._piece)


def taken_of(data: bytes, *, plainly: bool, block_items: int, piece: int) -> list[Taken] | str:
    """The blocks of a document and, at last, its rejects; or the error in it."""
    rejects: list[Reject] = []
    blocks = read_ncmec(
        Source(Slowly(data, piece), "input", None),
        hash_type=None,
        on_reject=rejects.append,
        block_items=block_items,
        plainly=plainly,
    )
    try:
        return [*(collect(lambda _, block=block: iter([block])) for block in blocks), Taken([], rejects)]
    except ReadError as error:
        return str(error)


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(st.one_of(items(), items(), items(), elements(), BETWEEN), max_size=8).map("".join),
    st.sampled_from([*AROUND[:4], *AROUND[:4], *AROUND]),
    st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16"]),
    st.sampled_from([1, 2, 3, 5, 100]),
    st.sampled_from([1 << 20, 1 << 20, 64, 7, 1]),
)
def test_plain_items_are_taken_as_the_parser_takes_them(
    content: str, around: tuple[str, str], encoding: str, block_items: int, piece: int
) -> None:
    data = content.join(around).encode(encoding)
    plain = taken_of(data, plainly=True, block_items=block_items, piece=piece)
    assert plain == taken_of(data, plainly=False, block_items=block_items, piece=piece)


def image(number: int, within: str = "") -> str:
    return f"<image>{within}<id>{number}</id>\n<fingerprints><md5>{MD5}</md5></fingerprints></image>\n"


PARTS = [
    *[f"é<a>{image(2)}</a>", f"<!-- -->{image(2)}", f"<sha1>{SHA1}</sha1>", f"<a/><sha256>{MD5}{MD5}</sha256>"],
    *[f"<classification>{'x' * size}</classification>" for size in (200, 201, 999, 1000, 1001)],
    *[f"<classification>{text}</classification>" for text in ("a\r\nb", "a\tb", "\r\n a \n", " ", "<b/>", "]")],
    *[
        "<!-- -->",
        "&amp;",
        "é",
        "\r",
        "]",
        "]]>",
        ">",
        "\x7f",
        "<?x?>",
        "<![CDATA[<image>]]>",
        "<a>" * 20 + "</a>" * 20,
    ],
    *[
        "<b/>",
        "<b />",
        "<b></b>",
        "<b></b >",
        "<b></c>",
        "<b></bb>",
        "<bb></b>",
        "<B></b>",
        "<a><image></image></a>",
    ],
    *[
        '<b a="1" c="2"/>',
        '<b a="1" a="1"/>',
        '<b a="1" aa="1"/>',
        '<b a="1"  c="2"/>',
        '<b a="1"c="2"/>',
        "<b a/>",
    ],
    *['<b a="<"/>', '<b a="&amp;"/>', "<b a='1'/>", '<b xmlns=""/>', '<b xmlns="urn:other"/>', '<b xml="1"/>'],
    *["<c:b/>", "<b c:a='1'/>", "<b-c></b-c>", "<b1/>", "<1b/>", "< b/>", "<b", "</image>", "<image>", "<image/>"],
    *[
        "<id/>",
        "<id></id>",
        "<id>1</id>",
        "<id>1</id><id>1</id>",
        f"<id>{'x' * 1001}</id>",
        f"<id>{'x' * 1000}</id>",
    ],
    *["<id>a b</id>", "<id>a\tb</id>", "<id>a\r\nb</id>", "<id>\r\n a \t</id>", "<id><b/></id>", "<id>1<b/></id>"],
    *["<id>1<b>2</b></id>", f"<md5>{MD5}</md5>", f"<a><md5>{MD5}</md5></a>", "<a><id>1</id></a>", "<md5>1</md5>"],
    *["<fingerprints/>", "<fingerprints></fingerprints>", "<fingerprints><md5/></fingerprints>"],
    *["<fingerprints><sha1></sha1></fingerprints>", "<fingerprints><sha1> </sha1></fingerprints>"],
    *["<fingerprints><id>1</id></fingerprints>", f"<fingerprints><a><sha1>{SHA1}</sha1></a></fingerprints>"],
    *[f"<fingerprints><sha1>{SHA1}</sha1></fingerprints>", f"<fingerprints/><a><sha1>{SHA1}</sha1></a>"],
    *[
        f"<fingerprints><sha1>{SHA1}<b/></sha1></fingerprints>",
        f"<fingerprints><sha1>\n{SHA1}\n</sha1></fingerprints>",
    ],
    *[f"<fingerprints>x<sha1>{SHA1[:-1]}</sha1></fingerprints>", f"<fingerprints><md5>{MD5}</md5></fingerprints>"],
    *[
        "<classification>A1</classification>",
        "<classification></classification>",
        "<deletedImage><id>1</id></deletedImage>",
    ],
    *[
        "</image><deletedImage><id>7</id></deletedImage><image>",
        "</image><deletedVideo><id> </id></deletedVideo><image>",
    ],
    *["</image><deletedVideo></deletedVideo><image>", "</image><deletedVideo/><image>", "</image><video/><image>"],
    *["</image>x<image>", "</image><images2/><image>", f"</image><image>{'<id>1</id>'}</image><image>"],
    *["</image><!-- <image></image> --><image>", "</image><![CDATA[ <image></image> ]]><image>"],
]


@pytest.mark.parametrize("part", PARTS, ids=range(len(PARTS)))
def test_whatever_stands_in_an_item_is_what_the_parser_says(part: str) -> None:
    data = f"{ROOT}\n{image(7)}{image(1, part)}{image(7)}</queryResult>".encode()
    for piece in (1 << 20, 7):
        plain = taken_of(data, plainly=True, block_items=100, piece=piece)
        assert plain == taken_of(data, plainly=False, block_items=100, piece=piece)


def test_utf_16_is_never_taken_for_plain_text() -> None:
    hidden = image(1).encode() + b"\n" * (len(image(1)) % 2)
    text = f"<queryResult>{hidden.decode('utf-16-be')}</queryResult>"
    data = b"\xfe\xff" + text.encode("utf-16-be")
    for piece in (1 << 20, 1):
        assert taken_of(data, plainly=True, block_items=100, piece=piece) == [Taken()]


@pytest.mark.parametrize("rare", ["<!-- -->", "&amp;", "é", "<a><![CDATA[<image>]]></a>", "x" * 300_000])
def test_lines_stay_right_where_some_items_are_not_plain(rare: str) -> None:
    count, every = 2000, 400
    text = ROOT + "\n" + "".join(image(number, "" if number % every else rare) for number in range(count))
    blocks = taken_of((text + "</queryResult>").encode(), plainly=True, block_items=150, piece=1 << 16)
    rows = [row for block in blocks if isinstance(block, Taken) for row in block.rows]
    assert rows == [Row(2 + 2 * number, {"md5": MD5}, None, str(number).encode()) for number in range(count)]


def test_an_error_after_plain_items_is_placed_by_line_and_column() -> None:
    data = f"{ROOT}\n{image(1)}  {image(2).strip()} <b></c>".encode()
    error = taken_of(data, plainly=True, block_items=100, piece=1 << 20)
    assert error == taken_of(data, plainly=False, block_items=100, piece=1 << 20)
    assert error == "input: not valid XML at line 5, column 87: mismatched tag"
