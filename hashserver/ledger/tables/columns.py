"""Reading a table column by column."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson


def read_columns(
    connection: sqlite3.Connection, query: str, parameters: Mapping[str, int | None]
) -> list[list[Any]]:
    """The columns of a query that gives each as one JSON array.

    Reading row by row takes three times as long.
    """
    return [orjson.loads(column) for column in connection.execute(query, parameters).fetchone()]
