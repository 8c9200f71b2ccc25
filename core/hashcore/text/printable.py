"""Text from strangers, such as names of files, fit for terminals, logs and tables."""

from __future__ import annotations

import unicodedata

# Control characters, invisible marks (which turn the direction of what follows, or hide it), halves
# of surrogate pairs, and what ends a line or a paragraph.
_UNFIT = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def printable(text: str | bytes) -> str:
    """The text on one line, with an escape such as `\\x1b` or `\\u202e` for what is not printable.

    A name of a file can hold any byte but the slash and zero: line ends, which forge lines of logs,
    and sequences that terminals obey. Letters of every language stay as they are.

    Args:
        text: bytes are taken as UTF-8; a byte that is not becomes `\\xe9`, and so does one that
            Python has as half a surrogate pair.
    """
    if isinstance(text, str):
        if text.isprintable():
            return text
        text = text.encode("utf-8", "surrogateescape" if _only_bytes(text) else "backslashreplace")
    decoded = text.decode("utf-8", "backslashreplace")
    if decoded.isprintable():
        return decoded
    return "".join(_escaped(letter) if unicodedata.category(letter) in _UNFIT else letter for letter in decoded)


def _only_bytes(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" and not "\udc80" <= letter <= "\udcff" for letter in text)


def _escaped(letter: str) -> str:
    number = ord(letter)
    if number < 0x100:
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(letter, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
