"""What the ledger knows of the store beside it, and whether the store is that one.

Each line of the audit log that tells of a publication has the generation, and the id of the store.
A store that is older than the newest line was put back, or lost its newest commits; one with
another id belongs to another ledger. A store may be newer: whoever published may have been killed
before the line was written, and a backup holds a ledger that is older than its store.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from hashserver.ledger.database import Ledger, LedgerError
from hashserver.ledger.tables.audit import newest_of, newest_publication
from hashserver.ledger.tables.meta import PUBLISHING, read_number, set_number

ACCEPTED = ("store accept", "store new-ledger")
"""Actions after which the ledger goes by the store as it was then."""
NO_GENERATION = 0

_ACCEPT = "hashserver store accept"
_LOAD_AGAIN = (
    f"restore a backup with hashserver store restore; or, to go on with what is there, run {_ACCEPT} and load the "
    "sets again"
)


class WrongStore(LedgerError):
    """The store is not the one that the ledger knows; the message says what to do."""


@dataclass(frozen=True, slots=True)
class KnownStore:
    """What a ledger knows of its store.

    Args:
        generation: the newest one that it has a line for; 0 without any.
        store: the id of the store in that line; None without one, as earlier programs wrote none.
        begun: whether somebody has begun to publish, or the store was accepted.
        accepted: when somebody last accepted the store as it was, Unix milliseconds; 0 if never.
    """

    generation: int
    store: str | None
    begun: bool
    accepted: int


def known_store(connection: sqlite3.Connection) -> KnownStore:
    """What a ledger knows of its store; read it before the store, which can only be newer then."""
    line = newest_publication(connection)
    accepted = newest_of(connection, *ACCEPTED)
    begun = line is not None or bool(read_number(connection, PUBLISHING))
    generation, store = (0, None) if line is None else (line.after["generation"], line.after.get("store"))
    return KnownStore(generation, store or None, begun, 0 if accepted is None else accepted.time)


def announce(ledger: Ledger) -> None:
    """Note that somebody begins to publish, unless the ledger knows of a publication.

    A store with a generation beside a ledger that knows of none would be taken for another's.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    if not known_store(ledger.connection).begun:
        with ledger.transaction() as connection:
            set_number(connection, PUBLISHING, 1)


def disagreement(known: KnownStore, store: str | None, generation: int, file: str) -> str | None:
    """Why a store is not the one that a ledger knows, and what to do, in a sentence; None if it is.

    Args:
        known: by the ledger.
        store: id of the store, "" before its first publication; None if there is no store.
        generation: its newest one.
        file: names its data file.
    """
    if known.generation > NO_GENERATION and generation == NO_GENERATION:
        state = "is missing" if store is None else "holds no sets"
        return f"{file} {state}, but the ledger knows of generation {known.generation}; {_LOAD_AGAIN}"
    if known.generation > NO_GENERATION and known.store and known.store != store:
        return f"{file} is not the store that the ledger belongs to, but another one; {_LOAD_AGAIN}"
    if known.generation > generation:
        return (
            f"{file} is at generation {generation}, but the ledger knows of generation {known.generation}: an "
            f"older file was put back, or the newest changes were lost; {_LOAD_AGAIN}"
        )
    if generation > NO_GENERATION and not known.begun:
        return (
            f"{file} is at generation {generation}, and the ledger knows nothing of it: the ledger is new, or "
            f"another one's; restore a backup with hashserver store restore; or, to go on with both, run {_ACCEPT}"
        )
    return None


def require_agreement(known: KnownStore, store: str | None, generation: int, file: str) -> None:
    """Refuse a store that is not the one that a ledger knows; see `disagreement`.

    Raises:
        WrongStore: it is another one, or older.
    """
    sentence = disagreement(known, store, generation, file)
    if sentence is not None:
        raise WrongStore(sentence)
