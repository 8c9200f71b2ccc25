"""Parties for tests, added with the command."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from serving import run

NAME = "Example Hosting"


def add_party(data_dir: Path, name: str = NAME, *options: object) -> str:
    """Add a party, and return its key."""
    ran = run("party", "add", name, "--data-dir", data_dir, "--json", *options, cwd=data_dir.parent)
    assert ran.code == 0, ran.err
    key = ran.json["key"]
    assert isinstance(key, str)
    return key


def basic(key: str, name: str = NAME) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()}


def ledger_rows(data_dir: Path, query: str) -> list[Any]:
    """What the ledger on disk says at this moment, what waits in its inbox included."""
    from hashserver.ledger import Ledger
    from hashserver.ledger.fold import fold

    with Ledger(data_dir, create=True) as ledger:
        fold(ledger)
        return list(ledger.connection.execute(query).fetchall())
