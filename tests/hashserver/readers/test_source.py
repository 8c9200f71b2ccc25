"""Tests of `hashserver.readers.source`."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import sys
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, read, source_of

from hashserver.readers import ReadError, Source, open_source
from hashserver.readers.head import HEAD_BYTES
from hashserver.readers.recoding import AsItIs, choose_recoding

TEXT = f"{MD5}\n{OTHER_MD5}\n".encode()
LONG = b"".join(b"%032x\n" % number for number in range(20_000))


def skippable(size: int, kind: int = 0) -> bytes:
    return (0x184D2A50 + kind).to_bytes(4, "little") + size.to_bytes(4, "little") + b"x" * size


def zstd(data: bytes, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


def everything(source: Source, size: int = 1 << 16) -> bytes:
    parts = []
    while piece := source.read(size):
        assert len(piece) <= size
        parts.append(piece)
    assert source.read(size) == b""
    return b"".join(parts)


def contents(data: bytes) -> bytes:
    return everything(source_of(data))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
@pytest.mark.parametrize("text", [TEXT, LONG], ids=["short", "long"])
def test_a_packed_file_reads_like_a_plain_one(tmp_path: Path, pack: type[bytes], text: bytes) -> None:
    path = tmp_path / "set.dat"
    path.write_bytes(pack(text))
    with open_source(str(path)) as source:
        assert source.name == str(path)
        assert source.total_bytes == path.stat().st_size
        assert everything(source) == text
        assert source.bytes_read == source.total_bytes


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch, pack: type[bytes]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(TEXT))))
    with open_source("-") as source:
        assert source.total_bytes is None
        assert source.name == "standard input"
        assert everything(source) == TEXT


def test_a_pipe_is_read_in_the_pieces_that_it_gives() -> None:
    receiver, sender = os.pipe()
    try:
        packed = gzip.compress(TEXT)
        os.write(sender, packed[:1])
        os.write(sender, packed[1:])
        os.close(sender)
        with open_source(f"/dev/fd/{receiver}") as source:
            assert source.total_bytes is None
            assert everything(source) == TEXT
    finally:
        os.close(receiver)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_peeking_takes_nothing(pack: type[bytes]) -> None:
    source = source_of(pack(LONG))
    assert source.peek(10) == LONG[:10]
    assert source.peek(100_000) == LONG[:100_000]
    assert source.read(7) == LONG[:7]
    assert source.peek(len(LONG) * 2) == LONG[7:]
    assert everything(source) == LONG[7:]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_a_seekable_view_holds_the_whole_even_after_a_peek(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "set.dat"
    path.write_bytes(pack(LONG))
    with open_source(str(path)) as source:
        source.peek(4)
        with source.seekable() as file:
            assert file.seek(-33, os.SEEK_END) == len(LONG) - 33
            assert file.read() == LONG[-33:]
            file.seek(0)
            assert file.read() == LONG


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=200).map(lambda data: (data, zstd(data))),
        st.binary(max_size=200).map(
            lambda data: (data, zstd(data, write_content_size=False, write_checksum=True))
        ),
        st.integers(1, 400_000).map(lambda size: (b"ab\n" * size, zstd(b"ab\n" * size))),
        st.tuples(st.sampled_from([0, 1, 5, 65_528, 70_000]), st.integers(0, 15)).map(
            lambda chosen: (b"", skippable(*chosen))
        ),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(PIECES)
def test_frames_of_every_kind_in_any_order_give_their_contents_once(pieces: list[tuple[bytes, bytes]]) -> None:
    plain = b"".join(plain for plain, _ in pieces)
    assume(isinstance(choose_recoding(plain[:HEAD_BYTES]), AsItIs))
    assert contents(b"".join(packed for _, packed in pieces)) == plain


@pytest.mark.parametrize("kind", range(16))
def test_a_skippable_frame_may_stand_first_last_and_between(kind: int) -> None:
    extra = skippable(5, kind)
    for packed in (extra + zstd(TEXT), zstd(TEXT) + extra, zstd(TEXT[:33]) + extra + zstd(TEXT[33:]) + extra):
        assert contents(packed) == TEXT
        taken = read(packed)
        assert [(row.line, row.hashes) for row in taken.rows] == [(1, {"md5": MD5}), (2, {"md5": OTHER_MD5})]
        assert not taken.rejects


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.integers(0, 70_000))
def test_gzip_members_follow_one_another_and_zeros_may_follow_them(members: list[bytes], zeros: int) -> None:
    packed = b"".join(gzip.compress(member) for member in members)
    assume(isinstance(choose_recoding(b"".join(members)[:HEAD_BYTES]), AsItIs))
    assert contents(packed + bytes(zeros)) == b"".join(members)


def test_zeros_between_gzip_members_are_passed_over() -> None:
    assert contents(gzip.compress(TEXT[:33]) + bytes(512) + gzip.compress(TEXT[33:]) + bytes(3 << 20)) == TEXT


def test_thousands_of_tiny_members_are_read() -> None:
    assert contents(gzip.compress(b"x") * 20_000) == b"x" * 20_000


@pytest.mark.parametrize(("pack", "word"), [(gzip.compress, "gzip"), (zstd, "zstd")])
@pytest.mark.parametrize("before", [b"", TEXT], ids=["first", "second"])
def test_a_truncated_file_says_so_wherever_it_ends(pack: type[bytes], word: str, before: bytes) -> None:
    first = pack(before) if before else b""
    packed = first + pack(TEXT)
    for length in range(max(len(first) + 1, 4), len(packed)):
        with pytest.raises(ReadError, match=rf"input: the {word} data end too early, after {length} bytes"):
            contents(packed[:length])


def test_a_truncated_skippable_frame_says_so() -> None:
    with pytest.raises(ReadError, match="the zstd data end too early"):
        contents(zstd(TEXT) + skippable(100)[:-1])


def test_what_stands_before_a_truncation_is_read_first() -> None:
    source = source_of(gzip.compress(TEXT) + gzip.compress(TEXT)[:-4])
    assert source.read(len(TEXT)) == TEXT


@pytest.mark.parametrize(("pack", "word"), [(gzip.compress, "gzip"), (zstd, "zstd")])
def test_garbage_after_packed_data_is_corrupt_and_not_left_out(pack: type[bytes], word: str) -> None:
    with pytest.raises(ReadError, match=f"input: the {word} data are corrupt near byte"):
        contents(pack(TEXT) + b"garbage, and not a header")


def test_a_wrong_checksum_is_corrupt() -> None:
    for packed, place in ((gzip.compress(LONG), -8), (zstd(LONG, write_checksum=True), -2)):
        broken = bytearray(packed)
        broken[place] ^= 0x55
        with pytest.raises(ReadError, match="corrupt"):
            contents(bytes(broken))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([gzip.compress(TEXT), zstd(TEXT, write_checksum=True)]), st.data())
def test_a_flipped_byte_raises_nothing_but_a_read_error(packed: bytes, data: st.DataObject) -> None:
    broken = bytearray(packed)
    broken[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ReadError):
        contents(bytes(broken))


def test_a_frame_that_wants_too_much_memory_is_refused() -> None:
    window = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=window).compressobj()
    with pytest.raises(ReadError, match="memory"):
        contents(compressor.compress(TEXT) + compressor.flush())


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_bomb_is_unpacked_in_small_steps(pack: type[bytes]) -> None:
    packed = pack(bytes(400 << 20))
    tracemalloc.start()
    try:
        source = source_of(packed)
        total = 0
        while piece := source.read(8 << 20):
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 400 << 20
    assert peak < 250 << 20


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with open_source(str(path)) as source:
        assert source.peek(10) == b""
        assert source.read(10) == b""
        assert source.total_bytes == 0


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ReadError, match=r"cannot read .*missing\.csv: No such file"),
        open_source(str(tmp_path / "missing.csv")),
    ):
        pass
    with pytest.raises(ReadError, match="directory"), open_source(str(tmp_path)):
        pass
