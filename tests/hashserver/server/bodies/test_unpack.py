from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver.server.bodies.unpack import unpack
from hashserver.server.problems import Problem

Pack = Callable[[bytes], bytes]

ENOUGH = 1 << 20
SKIPPED = bytes.fromhex("502a4d18 05000000") + b"hello"


def streamed_zstd(data: bytes) -> bytes:
    """A frame that does not say how much comes out of it."""
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return packer.compress(data) + packer.flush()


PACKS: dict[str, Pack] = {"gzip": gzip.compress, "zstd": zstandard.compress}
BOTH = pytest.mark.parametrize("encoding", ["gzip", "zstd"])


def refused(body: bytes, encoding: str | None, limit: int = ENOUGH) -> Problem:
    with pytest.raises(Problem) as caught:
        unpack(body, encoding, limit)
    return caught.value


def unpacked_or_status(body: bytes | bytearray, encoding: str, limit: int = ENOUGH) -> bytes | bytearray | int:
    """Anything but a problem goes through."""
    try:
        return unpack(body, encoding, limit)
    except Problem as problem:
        return problem.status


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_a_body_without_encoding_stays_as_it_is(encoding: str | None) -> None:
    body = b"plain"
    assert unpack(body, encoding, 1) is body


@settings(max_examples=80, deadline=None)
@given(
    parts=st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 300_000).map(bytes)), min_size=1, max_size=4),
    name=st.sampled_from(["gzip", "GZIP", " x-gzip ", "zstd", "Zstd"]),
    streamed=st.booleans(),
)
def test_what_was_packed_comes_out(parts: list[bytes], name: str, streamed: bool) -> None:
    """Several gzip members or zstd frames are one body."""
    pack = gzip.compress if "gzip" in name.lower() else streamed_zstd if streamed else zstandard.compress
    whole = b"".join(parts)
    packed = b"".join(map(pack, parts))
    assert unpack(packed, name, len(whole)) == whole
    assert unpack(bytearray(packed), name, len(whole)) == whole
    if whole:
        assert refused(packed, name, len(whole) - 1).status == 413


@pytest.mark.parametrize("order", [(SKIPPED, b"abc"), (b"abc", SKIPPED), (b"abc", SKIPPED, b"abc")])
def test_zstd_frames_to_be_skipped_are_skipped(order: tuple[bytes, ...]) -> None:
    packed = b"".join(part if part is SKIPPED else zstandard.compress(part) for part in order)
    assert unpack(packed, "zstd", 6) == b"abc" * order.count(b"abc")


@BOTH
def test_a_body_cut_anywhere_says_that_it_is_cut(encoding: str) -> None:
    packed = PACKS[encoding](bytes(range(256)) * 3)
    for end in range(len(packed)):
        problem = refused(packed[:end], encoding)
        assert problem.status == 400
        assert problem.detail == f"the {encoding} body is cut short"
        assert problem.extra == {"offset": end}


@BOTH
def test_a_second_part_that_is_cut_is_not_left_out(encoding: str) -> None:
    packed = PACKS[encoding](b"first") + PACKS[encoding](b"second")[:-3]
    assert "cut short" in refused(packed, encoding).detail


@BOTH
@pytest.mark.parametrize("rest", [b"trailing", b"\x00" * 600, b'{"md5":[]}', b"\x1f\x8c\x00"])
def test_what_follows_the_packed_body_is_refused(encoding: str, rest: bytes) -> None:
    problem = refused(PACKS[encoding](b"body") + rest, encoding)
    assert problem.status == 400
    assert encoding in problem.detail


@pytest.mark.parametrize("body", [b'{"md5":[]}', b"\x00", zlib.compress(b"abc"), b"BZh9" + bytes(30)])
@BOTH
def test_a_body_that_is_not_what_its_encoding_says_is_refused(body: bytes, encoding: str) -> None:
    assert refused(body, encoding).status == 400


@settings(max_examples=150, deadline=None)
@given(encoding=st.sampled_from(["gzip", "zstd"]), at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_a_problem_or_changes_nothing(encoding: str, at: float, flip: int) -> None:
    """Both formats have a checksum of the content; a few header bytes mean nothing to it."""
    whole = bytes(range(256)) * 20
    packed = bytearray((streamed_zstd if encoding == "zstd" else gzip.compress)(whole))
    packed[int(at * len(packed))] ^= flip
    assert unpacked_or_status(packed, encoding) in (whole, 400, 413)


@settings(max_examples=150, deadline=None)
@given(
    encoding=st.sampled_from(["gzip", "zstd"]),
    head=st.sampled_from([b"", b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", SKIPPED]),
    rest=st.binary(max_size=80),
)
def test_arbitrary_bytes_are_unpacked_or_refused(encoding: str, head: bytes, rest: bytes) -> None:
    got = unpacked_or_status(head + rest, encoding, 10_000)
    assert got in (400, 413) if isinstance(got, int) else len(got) <= 10_000


@BOTH
def test_a_bomb_is_refused_before_it_takes_much_memory(encoding: str) -> None:
    limit = 100_000
    bomb = PACKS[encoding](bytes(200 << 20))
    tracemalloc.start()
    try:
        problem = refused(bomb, encoding, limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert problem.status == 413
    assert problem.extra == {"limit": limit}
    assert "100,000 bytes" in problem.detail
    assert peak < 40 << 20


@BOTH
def test_a_bomb_in_a_later_part_is_refused(encoding: str) -> None:
    pack = PACKS[encoding]
    assert refused(pack(b"a" * 500) + pack(bytes(1 << 20)), encoding, 1000).status == 413
    assert refused(pack(b"a") * 1001, encoding, 1000).status == 413


def test_a_zstd_window_beyond_all_measure_is_refused() -> None:
    """The window is memory that the sender asks us for."""
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=30)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    problem = refused(packer.compress(b"abc") + packer.flush(), "zstd")
    assert problem.status == 400
    assert "not valid zstd" in problem.detail


@BOTH
@pytest.mark.timeout(30)
def test_millions_of_empty_parts_take_time_in_proportion_to_the_body(encoding: str) -> None:
    """Where each part copies what follows it, this takes minutes."""
    part = PACKS[encoding](b"")
    assert unpack(part * (12_000_000 // len(part)), encoding, 0) == b""


@pytest.mark.parametrize(
    "encoding",
    ["br", "deflate", "compress", "gzip, zstd", "zstd,gzip", "gzip, identity", "*", "gzip;q=1", "utf-8"],
)
def test_another_encoding_or_a_list_is_refused_with_those_that_are_read(encoding: str) -> None:
    problem = refused(gzip.compress(b"abc"), encoding)
    assert problem.status == 415
    assert problem.headers == {"Accept-Encoding": "gzip, zstd"}
    assert "gzip, zstd" in problem.detail
