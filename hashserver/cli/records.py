"""`hashserver report audit` and `report feedback`: what admins did, and verdicts of parties."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any

import orjson
import typer

from hashserver.cli.options import DataDir, Json
from hashserver.settings import load_settings

Limit = Annotated[int, typer.Option(metavar="N", min=1, help="Show this many lines, the newest ones.")]


def audit(limit: Limit = 100, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the audit log, newest line first: who changed what and when, before and after.

    Example:

      hashserver report audit --limit 20 --json
    """
    from hashserver.cli.folders import open_ledger_to_read
    from hashserver.ledger.tables.audit import newest_lines
    from hashserver.times import timestamp

    with open_ledger_to_read(load_settings(data_dir=data_dir).data_dir) as ledger:
        lines = [
            {
                "number": line.number,
                "time": timestamp(line.time / 1000),
                "who": line.who,
                "action": line.action,
                "subject": line.subject,
                "before": line.before,
                "after": line.after,
            }
            for line in newest_lines(ledger.connection, limit)
        ]
    _show(lines, as_json)


def feedback(limit: Limit = 100, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the feedback of parties on entries that matched, newest line first.

    Example:

      hashserver report feedback --json
    """
    from hashserver.cli.folders import open_ledger_to_read
    from hashserver.sets.feedback import read_all
    from hashserver.times import timestamp

    with open_ledger_to_read(load_settings(data_dir=data_dir).data_dir) as ledger:
        lines = [{**line, "time": timestamp(line["time"] / 1000)} for line in read_all(ledger, limit)]
    _show(lines, as_json)


def _show(lines: Iterable[dict[str, Any]], as_json: bool) -> None:
    lines = list(lines)
    if as_json:
        for line in lines:
            print(orjson.dumps(line).decode())
        return
    if not lines:
        print("nothing yet")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*lines[0])
    for line in lines:
        table.add_row(*(value if isinstance(value, str) else _words(value) for value in line.values()))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table, markup=False)


def _words(value: Any) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else orjson.dumps(value).decode()
