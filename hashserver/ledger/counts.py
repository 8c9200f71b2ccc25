"""What was checked, hour by hour."""

from __future__ import annotations

import sqlite3

from hashserver.ledger.database import Ledger, explain


def checked_on(ledger: Ledger, day: int) -> dict[int, int]:
    """Hashes that parties asked about on a day, malformed ones included.

    Args:
        ledger: to look in.
        day: since 1970, UTC.

    Returns:
        Hashes by the party's number.

    Raises:
        LedgerError: it cannot be read.
    """
    try:
        rows = ledger.connection.execute(
            "SELECT party, sum(checked + invalid) FROM counts WHERE hour BETWEEN ? AND ? GROUP BY party",
            (24 * day, 24 * day + 23),
        ).fetchall()
    except sqlite3.Error as error:
        raise explain(error, ledger.folder) from error
    return {int(party): int(hashes) for party, hashes in rows}
