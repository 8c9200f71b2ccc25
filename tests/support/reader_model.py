"""What the readers should make of a text, one character at a time; and ways to run them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import assume

from hashcore.hashtypes import HASH_TYPES
from hashcore.rows import Reject, Rows, Withdrawals
from hashserver.readers import Source, read_rows
from hashserver.readers.csv_text import usual_cells
from hashserver.readers.head import HEAD_BYTES
from hashserver.readers.recoding import AsItIs, choose_recoding

MD5 = "9e107d9d372bb6826bd81d3542a419d6"
OTHER_MD5 = "e4d909c290d0fb1ca068ffaddf22cbd0"
SHA1 = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"
SHA256 = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592"
PHASH = "f8f8f0cce0f4e84d"

BLANK = b" \t\r"


@dataclass(frozen=True)
class Row:
    """One row, written out."""

    line: int
    hashes: dict[str, str]
    category: str | None = None
    id: bytes | None = None
    name: bytes | None = None


@dataclass
class Taken:
    """What a reader made of a source."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    withdrawn: list[tuple[int, bytes]] = field(default_factory=list)
    not_checkable: int = 0

    @property
    def rejected(self) -> list[tuple[int, bytes]]:
        """Line and text of the rejects."""
        return [(reject.line, reject.text) for reject in self.rejects]


def source_of(data: bytes) -> Source:
    """A source that holds these bytes."""
    return Source(io.BytesIO(data), "input", len(data))


def read(data: bytes, *, format: str | None = None, hash_type: str | None = None) -> Taken:
    """Read bytes as `hashserver load` does."""
    source = source_of(data)
    taken = collect(lambda on_reject: read_rows(source, format=format, hash_type=hash_type, on_reject=on_reject))
    taken.not_checkable = source.not_checkable
    return taken


def read_blocks(
    reader: Callable[..., Iterator[Rows | Withdrawals]],
    data: bytes,
    block_bytes: int,
    hash_type: str | None = None,
) -> Taken:
    """Read bytes with one reader, a small block at a time."""
    # Text that happens to begin as a packed file does is taken for one, as it should be.
    if data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")) or data[1:4] == b"\x2a\x4d\x18":
        assume(False)
    # So is text that is recoded before readers see it; that has tests of its own.
    assume(isinstance(choose_recoding(data[:HEAD_BYTES]), AsItIs))
    source = source_of(data)
    taken = collect(
        lambda on_reject: reader(source, hash_type=hash_type, on_reject=on_reject, block_bytes=block_bytes)
    )
    taken.not_checkable = source.not_checkable
    return taken


def collect(start: Callable[[Callable[[Reject], None]], Iterator[Rows | Withdrawals]]) -> Taken:
    """Run a reader to its end; every block has to be well-formed."""
    taken = Taken()
    for block in start(taken.rejects.append):
        if isinstance(block, Withdrawals):
            assert len(block.lines) == len(block.ids) > 0
            taken.withdrawn += [(int(line), block.ids[index]) for index, line in enumerate(block.lines)]
        else:
            taken.rows += written_out(block)
    for reject in taken.rejects:
        assert reject.line >= 1
        assert reject.reason
        assert len(reject.text) <= 1000
    return taken


def written_out(block: Rows) -> list[Row]:
    """The rows of a block, after a look at whether it keeps what `Rows` promises."""
    count = len(block)
    assert count
    for name, column in block.hashes.items():
        assert column.digests.shape == (count, HASH_TYPES[name].width)
        assert column.digests.dtype.name == "uint8"
        assert column.digests.flags.c_contiguous
        assert column.present is None or column.present.shape == (count,)
    for strings in (block.ids, block.names):
        assert strings is None or len(strings) == count
    if block.ids is not None:
        for index in range(count):
            block.ids[index].decode()
    rows = []
    for index in range(count):
        hashes = {}
        for name, column in block.hashes.items():
            digest = column.digests[index].tobytes()
            if column.present is None or column.present[index]:
                hashes[name] = digest.hex()
            else:
                assert not any(digest)
        assert hashes
        category = None
        if block.categories is not None and (code := int(block.categories.codes[index])) >= 0:
            category = block.categories.names[code]
        rows.append(
            Row(
                int(block.lines[index]),
                hashes,
                category,
                None if block.ids is None else block.ids[index],
                None if block.names is None else block.names[index],
            )
        )
    return rows


def is_hash(hash_type: str, text: bytes) -> bool:
    """Whether a text is a hash of a type."""
    return re.fullmatch(rb"[0-9a-fA-F]{%d}" % HASH_TYPES[hash_type].hex_digits, text) is not None


def lines_in(text: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are neither blank nor comments, with their numbers."""
    for number, line in enumerate(text.split(b"\n"), 1):
        line = line.strip(BLANK)
        if line and not line.startswith(b"#"):
            yield number, line


def model_text(text: bytes, hash_type: str) -> Taken:
    """One hash a line."""
    taken = Taken()
    for number, line in lines_in(text):
        if is_hash(hash_type, line):
            taken.rows.append(Row(number, {hash_type: line.decode().lower()}))
        else:
            taken.rejects.append(Reject(number, "", line))
    return taken


_LISTED = re.compile(rb"(\\?)([0-9a-fA-F]+) [ *](.+)", re.DOTALL)
_BY_DIGITS = {32: "md5", 40: "sha1", 64: "sha256", 288: "photodna"}


def model_sums(text: bytes) -> Taken:
    """The listings of md5sum and the like, and of rclone where it has no hash."""
    taken = Taken()
    for number, written in enumerate(text.split(b"\n"), 1):
        line = written.strip(BLANK)
        if not line:
            continue
        # Blanks at the end may be the name's; one CR may be the line's.
        match = _LISTED.fullmatch(written.lstrip(BLANK).removesuffix(b"\r"))
        hash_type = _BY_DIGITS.get(len(match[2])) if match else None
        indent = re.search(rb" *$", written[: written.index(line)])
        unhashed = re.fullmatch(rb"(UNSUPPORTED|ERROR)  .+", written.lstrip(BLANK).removesuffix(b"\r"), re.DOTALL)
        if match is not None and hash_type is not None:
            name = match[3]
            if match[1]:
                name = re.sub(rb"\\([\\nr])", lambda found: {b"n": b"\n", b"r": b"\r"}.get(found[1], b"\\"), name)
            taken.rows.append(Row(number, {hash_type: match[2].decode().lower()}, name=name))
        elif unhashed or (not match and indent and len(indent[0]) >= 34):
            taken.not_checkable += 1
        elif not line.startswith(b"#"):
            taken.rejects.append(Reject(number, "", line))
    return taken


def csv_records(text: bytes, delimiter: bytes) -> Iterator[tuple[int, bytes, list[bytes] | None]]:
    """Line, text and fields of each record; None for the fields of a broken one."""
    at, line = 0, 1
    while at < len(text):
        blank = re.compile(rb"\r?\n").match(text, at)
        if blank:
            at, line = blank.end(), line + 1
            continue
        end, fields = _csv_record(text, at, delimiter)
        yield line, text[at:end].rstrip(b"\r\n"), fields
        line += text.count(b"\n", at, end)
        at = end


def _csv_record(text: bytes, at: int, delimiter: bytes) -> tuple[int, list[bytes] | None]:
    plain = re.compile(rb"[^%s\n]*" % delimiter)
    quoted = re.compile(rb'"((?:[^"]|"")*+)"([^%s\n]*)' % delimiter)
    start, fields, broken = at, [], False
    while True:
        if text[at : at + 1] == b'"':
            found: Any = quoted.match(text, at)
            if found is None:
                end = text.find(b"\n", start)
                return (len(text) if end < 0 else end + 1), None
            broken |= bool(found[2].strip(b"\r"))
            value = found[1].replace(b'""', b'"')
        else:
            found = plain.match(text, at)
            value = found[0]
            if text[found.end() : found.end() + 1] != delimiter:
                value = value.removesuffix(b"\r")
        fields.append(value)
        at = found.end() + 1
        if text[found.end() : at] != delimiter:
            return min(at, len(text)), None if broken else fields


def model_csv(text: bytes, delimiter: bytes = b",") -> Taken:
    """CSV with a header of names as they are written here, in lower case."""
    taken = Taken()
    header: list[str] = []
    usual, some_whole = 0, False
    for line, raw, fields in csv_records(text.removeprefix(b"\xef\xbb\xbf"), delimiter):
        if not header:
            header = [name.decode() for name in fields or []]
            usual = usual_cells(source_of(text).head, len(header), header=True)
            continue
        some_whole = some_whole or len(fields or []) in (usual, len(header))
        is_cut = some_whole and not text.endswith(b"\n") and text.endswith(raw)
        row = _csv_row(line, header, fields, usual, is_cut)
        if row is None:
            taken.rejects.append(Reject(line, "", raw[:1000]))
        else:
            taken.rows.append(row)
    return taken


def _text(cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell.decode("cp1252")


def _csv_row(line: int, header: list[str], fields: list[bytes] | None, usual: int, is_cut: bool) -> Row | None:
    if fields is None or any(fields[usual:]):
        return None
    if len(fields) < usual and len(fields) != len(header) and is_cut:
        return None
    fields = [*fields, *[b""] * len(header)][: len(header)]
    cells = {name: field.strip(b" \t") for name, field in zip(header, fields, strict=True)}
    hashes = {name: cells[name] for name in header if name in HASH_TYPES and cells[name]}
    if not hashes or not all(is_hash(hash_type, cell) for hash_type, cell in hashes.items()):
        return None
    try:
        category, id = (_text(cells.get(name, b"")) for name in ("category", "id"))
    except UnicodeDecodeError:
        return None
    if len(category.encode()) > 200:
        return None
    return Row(
        line,
        {hash_type: cell.decode().lower() for hash_type, cell in hashes.items()},
        category or None,
        id.encode() if "id" in cells else None,
        cells.get("name"),
    )
