"""Entries that parties add and withdraw: reading what they sent, and publishing it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from hashcore import (
    HASH_TYPES,
    Categories,
    HashColumn,
    KnownEntry,
    LoadOptions,
    Outcome,
    Rows,
    Store,
    Strings,
    Withdrawals,
)
from hashcore.errors import UnknownEntry, UnknownSet
from hashcore.pictures.blank import is_blank
from hashcore.text.hexcodec import OK, decode_hex, explain_invalid
from hashserver.ledger import Ledger
from hashserver.ledger.publications import audited
from hashserver.parties import Party
from hashserver.parties.directory import NotPermitted
from hashserver.sets.errors import BadMember, NotInStore, NotJson, TooManyEntries
from hashserver.sets.names import RULE, is_set_name

MOST_ENTRIES = 10_000
MOST_BYTES = 16 << 20
MOST_ID_BYTES = 500
MOST_CATEGORY_BYTES = 200
WAIT_SECONDS = 5.0
"""How long to wait for others who change the store; then the client is asked to try again."""

_MEMBERS = ("set", "id", "category", *HASH_TYPES)


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One entry as a party sent it.

    Args:
        id: the external id.
        category: or None.
        hashes: digests by type, at least one.
    """

    id: str
    category: str | None
    hashes: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Contribution:
    """The entries of one request, all of one set, one for each id."""

    set: str
    entries: list[NewEntry]


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a contribution: how many entries are new, replace another, or did not change."""

    outcome: Outcome
    added: int
    replaced: int
    unchanged: int


@dataclass(slots=True)
class _Sorted:
    """Ids of the entries that are new, and of those that take the place of another."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def read_contribution(body: bytes | bytearray) -> Contribution:
    """Read an entry, or `{"entries": [...]}`.

    Raises:
        NotJson: it is not JSON.
        BadMember: an entry cannot be added.
        TooManyEntries: there are too many.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadMember("the body is not an object; send an entry, or entries as an array", pointer="")
    if "entries" not in value:
        return _one_set([_read_entry(value, "", "the entry")], [""])
    items = value["entries"]
    if not isinstance(items, list) or not items or len(value) > 1:
        raise BadMember("entries must be an array of at least one entry, and the only member", pointer="/entries")
    if len(items) > MOST_ENTRIES:
        detail = f"the request holds {len(items):,} entries, more than {MOST_ENTRIES:,}; send several requests"
        raise TooManyEntries(detail, MOST_ENTRIES)
    places = [f"/entries/{index}" for index in range(len(items))]
    read = [
        _read_entry(item, place, f"entry {at}") for at, (item, place) in enumerate(zip(items, places, strict=True))
    ]
    return _one_set(read, places)


def _one_set(read: list[tuple[str, NewEntry]], places: list[str]) -> Contribution:
    name = read[0][0]
    entries: dict[str, NewEntry] = {}
    for at, ((set_name, entry), place) in enumerate(zip(read, places, strict=True)):
        if set_name != name:
            raise BadMember(
                f"entry {at}: set {set_name!r} is not {name!r}, that of entry 0; one request changes one set",
                pointer=f"{place}/set",
            )
        if entries.setdefault(entry.id, entry) != entry:
            raise BadMember(f"entry {at}: an entry before it has the same id", pointer=f"{place}/id")
    return Contribution(name, list(entries.values()))


def _read_entry(item: Any, place: str, who: str) -> tuple[str, NewEntry]:
    if not isinstance(item, dict):
        raise BadMember(f"{who} is not an object", pointer=place)
    if unknown := [name for name in item if name not in _MEMBERS]:
        words = ", ".join(_MEMBERS)
        raise BadMember(f"{who} has an unknown member {unknown[0][:100]!r}; members are {words}", pointer=place)
    set_name = _text(item, "set", place, who, 4 * MOST_CATEGORY_BYTES)
    id = _text(item, "id", place, who, MOST_ID_BYTES)
    category = None
    if item.get("category") is not None:
        category = _text(item, "category", place, who, MOST_CATEGORY_BYTES)
    hashes = {
        hash_type: _digest(item[hash_type], hash_type, place, who)
        for hash_type in HASH_TYPES
        if item.get(hash_type) is not None
    }
    if not hashes:
        raise BadMember(f"{who} has no hash; give at least one of {', '.join(HASH_TYPES)}", pointer=place)
    return set_name, NewEntry(id, category, hashes)


def _text(item: dict[str, Any], name: str, place: str, who: str, most: int) -> str:
    value = item.get(name)
    pointer = f"{place}/{name}"
    if not isinstance(value, str) or not value:
        raise BadMember(f"{who}: {name} must be a string that is not empty", pointer=pointer)
    if len(value.encode()) > most:
        raise BadMember(f"{who}: {name} is longer than {most} bytes", pointer=pointer)
    if not value.isprintable():
        raise BadMember(f"{who}: {name} contains a character that cannot be printed", pointer=pointer)
    return value


def _digest(value: Any, name: str, place: str, who: str) -> bytes:
    hash_type = HASH_TYPES[name]
    pointer = f"{place}/{name}"
    if not isinstance(value, str):
        raise BadMember(f"{who}: {name} must be a hash, written as a string", pointer=pointer)
    text = value.encode()
    buffer = np.frombuffer(text or b"\0", np.uint8)
    digests, status, _ = decode_hex(hash_type, buffer, np.zeros(1, np.int64), np.array([len(text)], np.int64))
    if status[0] != OK:
        raise BadMember(f"{who}: {name}: {explain_invalid(hash_type, value)}", pointer=pointer)
    digest = digests.tobytes()
    what = "a blank picture" if is_blank(hash_type, digest) else hash_type.benign.get(digest)
    if what is not None:
        raise BadMember(
            f"{who}: {name} is the hash of {what}, which is everywhere and harmless",
            pointer=pointer,
        )
    return digest


def require_set(store: Store, party: Party, name: str, *, may_be_new: bool) -> None:
    """Refuse a set that a party may not change.

    Raises:
        NotPermitted: the party may not change it.
        NotInStore: it does not exist, and the party may not create it.
        BadMember: it would be new, and its name is not valid.
    """
    if party.sets is not None and name not in party.sets:
        raise NotPermitted(f"party {party.name!r} may not change set {name!r}; the operator can allow it")
    with store.read() as snapshot:
        known = snapshot.manifest.sets.get(name)
    admin = party.may("admin")
    if known is None and not (admin and may_be_new):
        hint = "; a party with the permission admin can create it" if may_be_new else ""
        raise NotInStore(f"there is no set named {name!r}{hint}")
    if known is None and not is_set_name(name):
        raise BadMember(f"{name!r} is not a valid name for a set; {RULE}")
    if known is not None and known.role != "match" and not admin:
        raise NotPermitted(
            f"set {name!r} keeps matches from being reported; changing it takes the permission admin"
        )


def publish(store: Store, party: Party, contribution: Contribution) -> Published:
    """Add entries to a set in one commit, or replace those whose contents differ.

    Raises:
        StoreBusy: others kept changing the store.
        StoreFull, LedgerError: there is no room; where only the audit log could not be written, the
            entries are published all the same.
    """
    found = _Sorted()
    name = contribution.set
    with Ledger(store.folder) as ledger:
        who = f"party {party.name}"
        ids = {"ids": found.added, "replaced": found.replaced}
        outcome = store.load(
            name,
            _blocks(store, contribution, found),
            LoadOptions(append=True, renew=True),
            now=time.time(),
            timeout=WAIT_SECONDS,
            on_done=audited(ledger, store, who=who, action="entries add", subject=name, **ids),
        )
    added, replaced = len(found.added), len(found.replaced)
    return Published(outcome, added, replaced, len(contribution.entries) - added - replaced)


def _blocks(store: Store, contribution: Contribution, found: _Sorted) -> Iterator[Rows | Withdrawals]:
    """The rows to load; read while nobody else may change the store, so the set stays as it is."""
    store.refresh()
    there: dict[str, list[KnownEntry]] = {}
    with store.read() as snapshot:
        if contribution.set in snapshot.manifest.sets:
            there = snapshot.find_all(contribution.set, [entry.id for entry in contribution.entries])
    new = []
    for entry in contribution.entries:
        known = there.get(entry.id, [])
        if [(each.hashes, each.category) for each in known] == [(entry.hashes, entry.category)]:
            continue
        (found.replaced if known else found.added).append(entry.id)
        new.append(entry)
    if found.replaced:
        ids = Strings.of([id.encode() for id in found.replaced])
        yield Withdrawals(np.arange(len(ids), dtype=np.int64), ids)
    if new:
        yield _rows(new)


def _rows(entries: list[NewEntry]) -> Rows:
    names = sorted({entry.category for entry in entries if entry.category is not None})
    codes = {name: code for code, name in enumerate(names)}
    hashes = {}
    for hash_type in HASH_TYPES.values():
        digests = [entry.hashes.get(hash_type.name) for entry in entries]
        present = np.array([digest is not None for digest in digests], np.bool_)
        if present.any():
            data = b"".join(digest or bytes(hash_type.width) for digest in digests)
            hashes[hash_type.name] = HashColumn(
                np.frombuffer(data, np.uint8).reshape(-1, hash_type.width).copy(), present
            )
    categories = np.array([-1 if each.category is None else codes[each.category] for each in entries], np.int32)
    return Rows(
        np.arange(len(entries), dtype=np.int64),
        hashes,
        Categories(categories, names),
        Strings.of([entry.id.encode() for entry in entries]),
    )


def withdraw(store: Store, party: Party, name: str, id: str) -> Outcome:
    """Take the entry with an external id out of a set.

    Raises:
        NotInStore: there is no such entry.
        StoreBusy, StoreFull, LedgerError: as for `publish`.
    """
    with Ledger(store.folder) as ledger:
        note = audited(ledger, store, who=f"party {party.name}", action="entries withdraw", subject=name, ids=[id])
        try:
            return store.withdraw(name, [id], now=time.time(), timeout=WAIT_SECONDS, on_done=note)
        except (UnknownEntry, UnknownSet) as error:
            raise NotInStore(str(error)) from None
