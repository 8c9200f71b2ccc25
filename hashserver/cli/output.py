"""Writing a report to a file, and never over a file that is not one of our reports."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from hashserver.errors import BadInput
from hashserver.reports.pages.mark import MARK

_HEAD_BYTES = 2048


class NotOurFile(BadInput):
    """A file that is there already is not a report of ours; the message names it."""


def check_output(file: Path, *, force: bool) -> None:
    """Refuse a file that a report must not be written over.

    Args:
        file: to be written.
        force: it may be overwritten, whatever it is.

    Raises:
        NotOurFile: there is a file, and it does not begin as our reports do.
    """
    if force or not os.path.lexists(file):
        return
    if not file.is_file() or MARK.encode() not in _head(file):
        raise NotOurFile(
            f"{file} exists and is not a report of hashserver; nothing was overwritten. Name another file, or use "
            "--force"
        )


def check_table(file: Path | None, *columns: str) -> None:
    """Refuse a file that a table of matches or rejects must not be written over.

    Tables are written anew by every run, so one of ours is overwritten; a hash set is not.

    Args:
        file: to be written; None for standard output.
        columns: the first ones of the table, which tell it from other files.

    Raises:
        NotOurFile: there is a file with something in it, and it does not begin as such a table.
    """
    if file is None or not file.is_file():  # a pipe or a device has nothing to lose
        return
    head = _head(file)
    ours = ",".join(columns).encode(), b'{"%s":' % columns[0].encode()
    if head and not head.startswith(ours) and not (head.startswith(b"PAR1") and _has_columns(file, columns)):
        raise NotOurFile(
            f"{file} exists and is not a table of hashserver with these columns; nothing was overwritten. Name "
            "another file, or delete it first"
        )


def _has_columns(file: Path, columns: tuple[str, ...]) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return tuple(pq.read_schema(file).names[: len(columns)]) == columns
    except pa.ArrowException:
        return False


def write_output(file: Path, content: str, *, force: bool) -> None:
    """Write a report, whole or not at all.

    Raises:
        NotOurFile: see `check_output`.
        OSError: it cannot be written.
    """
    check_output(file, force=force)
    if file.exists() and not file.is_file():  # a pipe or a device, which --force named
        file.write_text(content, encoding="utf-8")
        return
    target = file.resolve()  # what a link leads to is replaced, not the link
    new = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with new.open("x", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(target)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = os.fspath(file)
        raise


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_HEAD_BYTES)
