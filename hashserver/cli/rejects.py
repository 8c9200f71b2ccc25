"""The reject file: every line that was rejected, its number, and why."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from hashserver.csv_writer import CsvWriter

if TYPE_CHECKING:
    from hashcore import Reject


class RejectFile:
    """A CSV file with the columns line, reason and text, created at the first reject.

    It holds hashes, so only its owner may read it (mode 0600).

    Attributes:
        count: how many rejects there are.
        first_reason: why the first one was not taken.
        last_line: the greatest line of any; 0 without one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._lock = threading.Lock()
        self.count = 0
        self.first_reason = ""
        self.last_line = 0

    def __enter__(self) -> RejectFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, reject: Reject) -> None:
        """Write one reject; called from the reader's thread and from the load's."""
        with self._lock:
            if self._file is None:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                self._file = os.fdopen(descriptor, "w", newline="", encoding="utf-8")
                self._writer = CsvWriter(self._file)
                self._writer.write_row(["line", "reason", "text"])
            self._writer.write_row([reject.line, reject.reason, reject.text.decode("utf-8", "backslashreplace")])
            self.count += 1
            self.first_reason = self.first_reason or reject.reason
            self.last_line = max(self.last_line, reject.line)
