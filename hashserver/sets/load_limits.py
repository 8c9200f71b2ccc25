"""How much a load may remove and reject: what goes beyond is a mistake, unless somebody insists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hashcore import Planned
from hashserver.errors import BadInput


class LoadRefused(BadInput):
    """A load that goes beyond a limit; nothing was changed.

    Args:
        sentence: what it would do, with the figures.
        limit: the name of the setting, or `no_entries` or `cut_short`.
        figures: those in the sentence, for programs.
    """

    def __init__(self, sentence: str, limit: str, **figures: Any) -> None:
        super().__init__(f"{sentence}. Nothing was changed; --force loads the file all the same")
        self.limit, self.figures = limit, figures


@dataclass(frozen=True, slots=True)
class FileRead:
    """What was read of a file.

    Args:
        name: of the file.
        rows: entries and withdrawals that it held, those that were rejected later included.
        rejected: rows that were not taken, for whatever reason.
        first_reason: why the first of these was not.
        last_rejected: the greatest line of these; 0: none.
        not_checkable: rows that tell no hash.
        unfinished_line: the last line, if it has no end.
    """

    name: str
    rows: int
    rejected: int = 0
    first_reason: str = ""
    last_rejected: int = 0
    not_checkable: int = 0
    unfinished_line: int | None = None


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """The limits of a load.

    Args:
        most_removed: share of the entries of the set.
        most_rejected: share of the rows of the file.
    """

    most_removed: float
    most_rejected: float

    def look_over(self, set_name: str, planned: Planned, read: FileRead, *, append: bool) -> None:
        """Refuse a load that goes beyond them.

        Args:
            set_name: the set.
            planned: what would change.
            read: what the file held.
            append: whether the load adds to the set.

        Raises:
            LoadRefused: it does.
        """
        total = read.rows + read.rejected - planned.tally.rejected
        if not total:
            more = f", only {read.not_checkable:,} rows without a hash" if read.not_checkable else ""
            raise LoadRefused(f"{read.name} holds no entry{more}", "no_entries", rows=0)
        if read.rejected == total:
            raise LoadRefused(
                f"{read.name} holds no entry that can be used: {total:,} rows were read and all were rejected, "
                f"the first one because: {read.first_reason}",
                "no_entries",
                rows=total,
                rejected=read.rejected,
            )
        if read.unfinished_line is not None and read.last_rejected >= read.unfinished_line:
            raise LoadRefused(
                f"{read.name} ends in the middle of line {read.unfinished_line:,}, so it is not complete",
                "cut_short",
                line=read.unfinished_line,
            )
        if read.rejected > self.most_rejected * total:
            raise LoadRefused(
                f"{read.rejected:,} of {total:,} rows of {read.name} ({_share(read.rejected / total)}) were "
                f"rejected, more than load_most_rejected allows ({_share(self.most_rejected)}), the first one "
                f"because: {read.first_reason}",
                "load_most_rejected",
                rows=total,
                rejected=read.rejected,
            )
        self._look_over_removals(set_name, planned, append)

    def _look_over_removals(self, set_name: str, planned: Planned, append: bool) -> None:
        before, removed = planned.before or 0, planned.tally.removed
        if not removed:
            return
        figures = {"entries": before, "removed": removed, "added": planned.tally.added}
        if not planned.after:
            raise LoadRefused(
                f"set {set_name} would lose all of its {before:,} entries", "load_most_removed", **figures
            )
        if removed > self.most_removed * before:
            hint = "" if append else "; if the file holds only what is new, use --append"
            raise LoadRefused(
                f"set {set_name} would lose {removed:,} of its {before:,} entries ({_share(removed / before)}), "
                f"more than load_most_removed allows ({_share(self.most_removed)}){hint}",
                "load_most_removed",
                **figures,
            )


def _share(part: float) -> str:
    return f"{100 * part:.3g} %"
