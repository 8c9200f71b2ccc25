"""Tests of `hashserver.readers.ncmec`."""

from __future__ import annotations

import base64
import subprocess
import sys
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, Taken, collect, read, source_of

from hashcore.hashtypes import HASH_TYPES
from hashserver.readers import ReadError
from hashserver.readers.ncmec import read_ncmec

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
SAMPLE = f"""{HEAD}<queryResult xmlns="{NAMESPACE}">
<images count="2" maxTimestamp="2024-05-01T10:00:00Z">
 <image>
  <member id="7">Example Hotline</member><timestamp>2024-05-01T09:00:00Z</timestamp>
  <id>image1</id><classification>A1</classification>
  <fingerprints><md5>{MD5}</md5><sha1>{SHA1.upper()}</sha1><pdq> {SHA256} </pdq><tmk href="/"/></fingerprints>
  <feedback lastUpdateTimestamp="2024-05-01T09:00:00Z"><affirmativeFeedback type="Md5">
   <members><member id="8"><id>no</id></member></members><md5>{OTHER_MD5}</md5></affirmativeFeedback></feedback>
 </image>
 <deletedImage><member id="7">Example Hotline</member><id>image4</id></deletedImage>
</images>
<videos count="2"><video><id>v&amp;1</id><fingerprints><md5>{OTHER_MD5}</md5></fingerprints></video>
<deletedVideo><id>video4</id></deletedVideo></videos>
<paging><next>/v2/entries?start=2001&amp;size=1000</next></paging>
</queryResult>
"""


def result(content: str) -> bytes:
    return f'{HEAD}<queryResult xmlns="{NAMESPACE}">\n{content}\n</queryResult>'.encode()


def image(*, line_end: str = "\n", **values: str) -> str:
    fingerprints = "".join(f"<{name}>{value}</{name}>" for name, value in values.items() if name != "id")
    external = f"<id>{values['id']}</id>" if "id" in values else ""
    return f"<image>{external}<fingerprints>{fingerprints}</fingerprints></image>{line_end}"


def test_items_are_entries_with_all_their_fingerprints_and_deleted_ones_are_withdrawals() -> None:
    taken = read(SAMPLE.encode())
    assert taken == Taken(
        [
            Row(4, {"md5": MD5, "sha1": SHA1, "pdq": SHA256}, "A1", b"image1"),
            Row(13, {"md5": OTHER_MD5}, None, b"v&1"),
        ],
        [],
        [(11, b"image4"), (14, b"video4")],
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1", "cp1252"])
def test_the_encoding_that_the_file_names_is_heeded(encoding: str) -> None:
    text = result(image(id="é", md5=MD5)).decode().replace("UTF-8", encoding.removesuffix("-sig"))
    assert read(text.encode(encoding)).rows == [Row(3, {"md5": MD5}, None, "é".encode())]


def test_a_prefix_instead_of_a_default_namespace_is_the_same() -> None:
    text = (
        f'<a:queryResult xmlns:a="{NAMESPACE}"><a:image><id>no</id><a:id>yes</a:id><a:fingerprints>'
        f"<a:md5>{MD5}</a:md5></a:fingerprints></a:image></a:queryResult>"
    )
    assert read(text.encode()).rows == [Row(1, {"md5": MD5}, None, b"yes")]


def test_an_item_that_cannot_be_taken_is_rejected_with_its_line_and_reason() -> None:
    items = [
        image(id="1", md5=MD5[:-1]),
        image(id="2"),
        image(id="3", md5=MD5).replace("<fingerprints>", "<id>4</id><fingerprints>"),
        image(id="x" * 5000, md5=MD5),
        "<deletedImage><member>7</member></deletedImage>\n",
        image(id="5", md5=MD5),
        image(id="6", md5=f"<b>{MD5}</b>"),
    ]
    taken = read(result("".join(items)))
    assert taken.rows == [Row(8, {"md5": MD5}, None, b"5")]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (3, "md5: expected 32 hexadecimal digits, got 31"),
        (4, "no hash in this row"),
        (5, "id: given twice"),
        (6, "id: longer than 1,000 characters"),
        (7, "id: a withdrawal needs one"),
        (9, "md5: expected text, got an element"),
    ]
    assert taken.rejects[0].text == f"image id=1 md5={MD5[:-1]}".encode()


@pytest.mark.skipif("photodna" not in HASH_TYPES, reason="the registry has no PhotoDNA")
def test_pdna_is_base64_of_144_bytes() -> None:
    digest = bytes(range(144))
    good, short = base64.b64encode(digest).decode(), base64.b64encode(digest[:-1]).decode()
    taken = read(result(image(pdna=good) + image(pdna=short) + image(pdna="!")))
    assert taken.rows == [Row(3, {"photodna": digest.hex()}, None, b"")]
    assert [reject.reason for reject in taken.rejects] == [
        "photodna: expected 144 bytes in base64, got 143",
        "photodna: not base64",
    ]


def test_what_comes_back_after_a_withdrawal_stands_after_it() -> None:
    text = result(image(id="1", md5=MD5) + "<deletedImage><id>1</id></deletedImage>" + image(id="1", md5=MD5))
    blocks = list(read_ncmec(source_of(text), hash_type=None, on_reject=pytest.fail))
    assert [type(block).__name__ for block in blocks] == ["Rows", "Withdrawals", "Rows"]


BOMB = '<!DOCTYPE q [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE queryResult SYSTEM "file:///etc/hostname">'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (f"{HEAD}{BOMB}<queryResult>&b;</queryResult>".encode(), "line 2: it declares a document type .DOCTYPE."),
        (f"{HEAD}\n{OUTSIDE}<queryResult/>".encode(), "line 3: it declares a document type .DOCTYPE."),
        (result("<a>" * 100), "line 3: elements are nested more than 32 deep"),
        (result("".join(f"<a{number}/>" for number in range(2000))), "more than 1,000 different names"),
        (result("".join(f"<a b{number}=''/>" for number in range(2000))), "more than 1,000 different names"),
        (result(f"<a b='{'x' * 600_000}'/>"), "line 3: a tag or a comment of more than 262,144 bytes"),
        (result(f"<!--{'x' * 600_000}-->"), "line 3: a tag or a comment of more than"),
        (result("<a" + "a" * 600_000), "line 3: a tag or a comment of more than"),
        (result("\0"), r"not valid XML at line 3, column 1: not well-formed \(invalid token\)"),
        (result("\n<image>&other;</image>"), "not valid XML at line 4, column 8: undefined entity"),
        (result("")[:-5], "not valid XML at line 4"),
        (result("x") + b"\xff", "not valid XML at line 4"),
        (b'<?xml version="1.0" encoding="klingon"?><queryResult/>', "encoding that cannot be read: unknown"),
        (b"<feed><entry/></feed>", "line 1: the document is feed, not the queryResult of https"),
        (b"<queryResult xmlns='urn:other'/>", "line 1: the document is queryResult of urn:other, not"),
    ],
)
def test_what_is_dangerous_or_broken_is_refused_where_it_stands(data: bytes, reason: str) -> None:
    with pytest.raises(ReadError, match=rf"^input.*{reason}"):
        read(data, format="ncmec")


def test_an_empty_file_has_no_rows() -> None:
    assert read(b"", format="ncmec") == Taken()


WORDS = st.sampled_from(
    [
        *(
            "<image>",
            "</image>",
            "<id>",
            "</id>",
            "<fingerprints>",
            "</fingerprints>",
            f"<md5>{MD5}</md5>",
            "<md5/>",
        ),
        *("<deletedVideo><id>1</id></deletedVideo>", "<", ">", "&amp;", "&x;", "]]>", "<![CDATA[", "<!DOCTYPE a>"),
        *("<!--", "-->", "\n", "\0", "é", '"', "<?x?>", " ", "1", MD5, image(id="1", md5=MD5), "<feedback>"),
        "x" * 1001,
    ]
)


def is_placed(error: ReadError) -> bool:
    """Whether an error says where it is, or that the packing or encoding cannot be read."""
    return any(
        word in str(error)
        for word in ("line", "encoding", "near byte", "after", "this is not a list", "an HTML page", "unpack it")
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=20).map("".join), st.booleans(), st.binary(max_size=3), st.integers(1, 4))
def test_whatever_is_in_a_document_gives_rows_rejects_or_a_read_error(
    text: str, whole: bool, extra: bytes, block_items: int
) -> None:
    data = (result(text) if whole else text.encode()) + extra
    start = partial(read_ncmec, hash_type=None, block_items=block_items)
    errors: list[ReadError] = []
    taken = Taken()
    try:
        taken = collect(lambda on_reject: start(source_of(data), on_reject=on_reject))
    except ReadError as error:
        errors.append(error)
    assert all(map(is_placed, errors))
    assert [row.line for row in taken.rows] == sorted(row.line for row in taken.rows)
    assert [reject.line for reject in taken.rejects] == sorted(reject.line for reject in taken.rejects)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SAMPLE)), st.integers(0, 40), st.one_of(st.binary(max_size=8), WORDS.map(str.encode)))
def test_a_sound_document_with_a_change_gives_rows_rejects_or_a_read_error(at: int, cut: int, put: bytes) -> None:
    data = SAMPLE.encode()
    errors: list[ReadError] = []
    try:
        read(data[:at] + put + data[at + cut :], format="ncmec")
    except ReadError as error:
        errors.append(error)
    assert all(map(is_placed, errors))


def test_every_truncation_is_an_error() -> None:
    data = SAMPLE.strip().encode()
    for length in range(1, len(data)):
        with pytest.raises(ReadError, match="not valid XML at line"):
            read(data[:length], format="ncmec")


MEMORY = """
import io, sys
from hashserver.readers import Source
from hashserver.readers.ncmec import read_ncmec

class Endless(io.RawIOBase):
    def __init__(self, head, body, size):
        self.head, self.body, self.left = head, body, size
    def read(self, size=-1):
        piece, self.head = self.head or self.body, b""
        if self.left <= 0:
            return b""
        self.left -= len(piece)
        return piece

def peak():
    # Not ru_maxrss, which a process inherits from the one that started it.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))

item = b"<image><id>%d</id><fingerprints><md5>9e107d9d372bb6826bd81d3542a419d6</md5></fingerprints></image>\\n"
bodies = {
    "items": b"".join(item % number for number in range(10_000)),
    "padding": b"x" * (1 << 20),
}
head = b'<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">'
if sys.argv[1] == "text":
    head += b"<image><id>"
    bodies["text"] = b"x" * (1 << 20)
source = Source(Endless(head, bodies[sys.argv[1]], 200 << 20), "stream", None)
rows = 0
try:
    for block in read_ncmec(source, hash_type=None, on_reject=lambda reject: None):
        rows += len(block)
except Exception as error:
    assert "not valid XML" in str(error), error
print(rows, peak())
"""


@pytest.mark.parametrize(("what", "rows"), [("items", 2_000_000), ("text", 0), ("padding", 0)])
def test_200_megabytes_are_read_in_bounded_memory(what: str, rows: int) -> None:
    ran = subprocess.run([sys.executable, "-c", MEMORY, what], check=True, capture_output=True, text=True)
    read_rows, megabytes = map(int, ran.stdout.split())
    assert read_rows >= rows
    assert megabytes < 300
