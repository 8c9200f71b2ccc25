"""Names of files can be anything, and end up in logs, terminals and tables."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcore.text.printable import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a b.jpg", "a b.jpg"),
        ("été 写真 \U0001f600.jpg".encode(), "été 写真 \U0001f600.jpg"),
        (b"new\nline\r\t", "new\\nline\\r\\t"),
        (b"\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        (b"caf\xe9", "caf\\xe9"),
        ("invoice\u202egpj.exe".encode(), "invoice\\u202egpj.exe"),
        ("\u2028\u2029\u200b\ufeff".encode(), "\\u2028\\u2029\\u200b\\ufeff"),
        ("\x9b31m".encode(), "\\x9b31m"),
        ("caf\udce9", "caf\\xe9"),
        ("half \ud800 pair", "half \\ud800 pair"),
        ("narrow\u202fspace", "narrow\u202fspace"),
    ],
)
def test_what_a_terminal_would_obey_is_written_as_an_escape(name: str | bytes, shown: str) -> None:
    assert printable(name) == shown


@given(st.binary(max_size=40))
def test_any_name_is_one_line_of_text_as_bytes_and_as_python_has_it(name: bytes) -> None:
    shown = printable(name)
    assert shown == printable(os.fsdecode(name))
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in shown)
