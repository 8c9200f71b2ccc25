"""Progress on standard error, when a person is there to see it."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Items per second, in thousands or millions."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        count = task.fields.get("count", task.completed)
        speed = count / task.elapsed if task.elapsed else 0.0
        return Text(f"{short(speed)} {self._unit}/s", style="progress.data.speed")


def short(number: float) -> str:
    """A number in thousands (k), millions (M) or billions (G), to a tenth."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f} {suffix}"
    return f"{number:.0f}"


def bytes_progress(unit: str) -> Progress:
    """A progress bar over the bytes of a file, with a rate in `unit` per second.

    The task's field `count` is what the rate counts; without it, the bytes.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        _Rate(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def steps_progress() -> Progress:
    """A progress bar over steps that take about equally long."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
