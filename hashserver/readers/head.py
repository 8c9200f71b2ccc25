"""The head of a source: its first bytes, which tell its format and its columns."""

from __future__ import annotations

import csv
import io
import re
from functools import cached_property

HEAD_BYTES = 1 << 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MOST_RECORDS = 100
_UTF16 = re.compile(rb"\xff\xfe|\xfe\xff|[{\[<]\0|\0[{\[<]")


class Head:
    """The first bytes of a source. What is worked out from them is kept for whatever asks next.

    Args:
        sample: the first HEAD_BYTES, or the whole source where it is shorter.
        delimiter: of CSV, where the source names it.

    Attributes:
        text: the sample without UTF-8's byte order mark.
        is_whole: whether the sample is the whole source.
        is_utf16: whether it looks like UTF-16.
    """

    def __init__(self, sample: bytes, delimiter: int | None = None) -> None:
        self._delimiter = delimiter
        self.text = sample.removeprefix(BYTE_ORDER_MARK)
        self.is_whole = len(sample) < HEAD_BYTES
        self.is_utf16 = _UTF16.match(sample) is not None
        self._records: dict[int, list[list[str]]] = {}

    @cached_property
    def is_json(self) -> bool:
        """Whether it begins with an object or an array, as JSON documents do."""
        return self.text.lstrip().startswith((b"{", b"["))

    @cached_property
    def lines(self) -> list[bytes]:
        """The lines that are not blank, with the white space around them."""
        return [line for line in self.text.splitlines() if line.strip()]

    @property
    def has_no_record(self) -> bool:
        """Whether this is the whole of a CSV file without a single record."""
        return self.is_whole and not self.text.strip(b"\r\n")

    @cached_property
    def delimiter(self) -> int:
        """The delimiter that the source names, or else that of the first record."""
        if self._delimiter is not None:
            return self._delimiter
        return delimiter_of(self.text.lstrip(b"\r\n").partition(b"\n")[0])

    def records(self, delimiter: int) -> list[list[str]]:
        """The first 100 records that are not blank, as CSV with this delimiter."""
        if delimiter not in self._records:
            self._records[delimiter] = self._read_records(delimiter)
        return self._records[delimiter]

    def _read_records(self, delimiter: int) -> list[list[str]]:
        whole = self.text if self.is_whole else self.text[: self.text.rfind(b"\n") + 1] or self.text
        text = io.StringIO(text_in(whole), newline="")
        records: list[list[str]] = []
        try:
            for record in csv.reader(text, delimiter=chr(delimiter)):
                if len(record) > 1 or "".join(record).strip():
                    records.append(record)
                if len(records) == _MOST_RECORDS:
                    break
        except csv.Error:
            pass  # the records before it are still good
        return records


def text_in(data: bytes) -> str:
    """Text in UTF-8 or, where it is not that, in Windows-1252."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def delimiter_of(record: bytes) -> int:
    """The delimiter of a CSV record: whichever of , ; tab and | it holds most often."""
    return max(b",;\t|", key=lambda delimiter: record.count(bytes([delimiter])))
