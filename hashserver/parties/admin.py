"""Changing parties. Every change and its line in the audit log are one transaction; workers see it at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from hashserver.errors import BadInput
from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.audit import write_audit
from hashserver.parties.keys import Digester, new_key, read_secret
from hashserver.parties.party import PERMISSIONS
from hashserver.times import DAY_SECONDS, now_ms

DEFAULT_PERMISSIONS = ("check", "feedback")
_MOST_VALID_KEYS = 2
_MOST_NAME = 100
_MOST_HASHES = 1 << 62
_MOST_OVERLAP = 100 * 366 * DAY_SECONDS


class UnknownParty(BadInput, LedgerError):
    """There is no party, or no key, of that name."""


class PartyRefused(BadInput, LedgerError):
    """A change that makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key, without the key: its number, and when it was made, expires and was removed (Unix milliseconds)."""

    number: int
    created: int
    expires: int | None
    revoked: int | None

    def is_valid(self, now: int) -> bool:
        """Whether it lets its party in."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class PartyInfo:
    """A party as the operator sees it; see `hashserver.parties.Party`."""

    number: int
    name: str
    created: int
    disabled: int | None
    permissions: list[str]
    sets: list[str] | None
    max_rate: float | None
    daily_quota: int | None
    keys: list[KeyInfo]

    def as_json(self) -> dict[str, Any]:
        """For people and scripts, and for the audit log."""
        return {
            "party": self.name,
            "number": self.number,
            "permissions": self.permissions,
            "sets": self.sets,
            "max_rate": self.max_rate,
            "daily_quota": self.daily_quota,
            "disabled": self.disabled is not None,
        }


class Unchanged:
    """Stands for a setting that a change leaves as it is, where None says "no bound"."""


UNCHANGED = Unchanged()


class PartyAdmin:
    """Changes the parties of a data folder.

    Args:
        ledger: of the folder.
        who: does it, for the audit log.
    """

    def __init__(self, ledger: Ledger, who: str) -> None:
        self._ledger, self._who = ledger, who

    def parties(self) -> list[PartyInfo]:
        """All parties by name, disabled ones included."""
        rows = self._ledger.connection.execute("SELECT name FROM parties ORDER BY name COLLATE NOCASE")
        return [self.show(name) for (name,) in rows.fetchall()]

    def show(self, name: str) -> PartyInfo:
        """One party.

        Raises:
            UnknownParty: there is none of that name.
        """
        connection = self._ledger.connection
        row = connection.execute(
            "SELECT id, name, created, disabled, permissions, sets, max_rate, daily_quota "
            "FROM parties WHERE name = ?",
            (name,),
        ).fetchone()
        if row is None:
            known = ", ".join(each for (each,) in connection.execute("SELECT name FROM parties ORDER BY name"))
            raise UnknownParty(f"no party named {name!r}; parties: {known or 'none'}")
        keys = connection.execute(
            "SELECT id, created, expires, revoked FROM keys WHERE party = ? ORDER BY id", (row[0],)
        ).fetchall()
        sets = None if row[5] is None else orjson.loads(row[5])
        number, name, created, disabled = row[:4]
        permissions, max_rate, daily_quota = orjson.loads(row[4]), row[6], row[7]
        known_keys = [KeyInfo(*key) for key in keys]
        return PartyInfo(number, name, created, disabled, permissions, sets, max_rate, daily_quota, known_keys)

    def add(
        self,
        name: str,
        *,
        permissions: Iterable[str] = DEFAULT_PERMISSIONS,
        sets: Iterable[str] | None = None,
        max_rate: float | None = None,
        daily_quota: int | None = None,
    ) -> str:
        """Add a party, and return its key, which cannot be had again.

        Raises:
            PartyRefused: the name is taken or unusable, a permission is unknown, or a bound makes
                no sense.
        """
        if not name.strip() or len(name) > _MOST_NAME or ":" in name or not name.isprintable():
            raise PartyRefused(
                f"{name!r} cannot name a party; use up to {_MOST_NAME} characters without a colon (HTTP Basic "
                "ends names at one)"
            )
        chosen = _checked_permissions(permissions)
        names = _checked_sets(sets)
        _check_limits(max_rate, daily_quota)
        with self._ledger.transaction() as connection:
            if connection.execute("SELECT 1 FROM parties WHERE name = ?", (name,)).fetchone():
                raise PartyRefused(f"there is a party named {name!r} already")
            connection.execute(
                "INSERT INTO parties (name, created, permissions, sets, max_rate, daily_quota) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (name, now_ms(), orjson.dumps(chosen).decode(), names, max_rate, daily_quota),
            )
            info = self.show(name)
            key = self._new_key(connection, info.number)
            self._note(connection, "party add", name, None, info.as_json())
        return key

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Let a party in no longer, or again."""
        with self._ledger.transaction() as connection:
            before = self.show(name)
            if (before.disabled is not None) == disabled:
                return
            when = now_ms() if disabled else None
            connection.execute("UPDATE parties SET disabled = ? WHERE id = ?", (when, before.number))
            action = "party disable" if disabled else "party enable"
            self._note(connection, action, before.name, before.as_json(), self.show(name).as_json())

    def change(
        self,
        name: str,
        *,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        sets: Iterable[str] | Unchanged | None = UNCHANGED,
        max_rate: float | Unchanged | None = UNCHANGED,
        daily_quota: int | Unchanged | None = UNCHANGED,
    ) -> PartyInfo:
        """Change what a party may do, and return it as it is then.

        Raises:
            UnknownParty: there is none of that name.
            PartyRefused: a permission is unknown, or a bound makes no sense.
        """
        more, fewer = _checked_permissions(allow), _checked_permissions(deny)
        _check_limits(
            None if isinstance(max_rate, Unchanged) else max_rate,
            None if isinstance(daily_quota, Unchanged) else daily_quota,
        )
        with self._ledger.transaction() as connection:
            before = self.show(name)
            chosen = [one for one in PERMISSIONS if one in {*before.permissions, *more} - set(fewer)]
            names = before.sets if isinstance(sets, Unchanged) else sets
            connection.execute(
                "UPDATE parties SET permissions = ?, sets = ?, max_rate = ?, daily_quota = ? WHERE id = ?",
                (
                    orjson.dumps(chosen).decode(),
                    _checked_sets(names),
                    before.max_rate if isinstance(max_rate, Unchanged) else max_rate,
                    before.daily_quota if isinstance(daily_quota, Unchanged) else daily_quota,
                    before.number,
                ),
            )
            after = self.show(name)
            if after != before:
                self._note(connection, "party allow", before.name, before.as_json(), after.as_json())
        return after

    def rotate_key(self, name: str, *, overlap_seconds: float) -> str:
        """Give a party a new key; those it has are good for `overlap_seconds` more.

        Raises:
            PartyRefused: two keys are valid already, or the time makes no sense.
        """
        if not 0 <= overlap_seconds <= _MOST_OVERLAP:
            raise PartyRefused(f"a key cannot stay good for {overlap_seconds:,.0f} s more; use up to 100 years")
        with self._ledger.transaction() as connection:
            party = self.show(name)
            now = now_ms()
            valid = [key for key in party.keys if key.is_valid(now)]
            if len(valid) >= _MOST_VALID_KEYS:
                numbers = " and ".join(str(key.number) for key in valid)
                raise PartyRefused(
                    f"party {party.name!r} has two valid keys already, {numbers}; remove the older one first: "
                    f"hashserver party remove-key {party.name!r} {valid[0].number}"
                )
            expires = now + int(overlap_seconds * 1000)
            connection.execute(
                "UPDATE keys SET expires = min(coalesce(expires, ?1), ?1) WHERE party = ?2 AND revoked IS NULL",
                (expires, party.number),
            )
            key = self._new_key(connection, party.number)
            before = {"keys": [key.number for key in valid]}
            after = {"keys": [one.number for one in self.show(name).keys if one.is_valid(now)], "expires": expires}
            self._note(connection, "party rotate-key", party.name, before, after)
        return key

    def remove_key(self, name: str, number: int) -> None:
        """Take a key back; its party is let in with it no longer.

        Raises:
            UnknownParty: the party has no such key, or it was removed before.
        """
        with self._ledger.transaction() as connection:
            party = self.show(name)
            left = [key.number for key in party.keys if key.revoked is None]
            if number not in left:
                raise UnknownParty(
                    f"party {party.name!r} has no key {number}; its keys: {', '.join(map(str, left)) or 'none'}"
                )
            connection.execute("UPDATE keys SET revoked = ? WHERE id = ?", (now_ms(), number))
            self._note(connection, "party remove-key", party.name, {"keys": left}, {"removed": number})

    def _new_key(self, connection: sqlite3.Connection, party: int) -> str:
        key = new_key()
        digest = Digester(read_secret(self._ledger))(key)
        connection.execute("INSERT INTO keys (party, digest, created) VALUES (?, ?, ?)", (party, digest, now_ms()))
        return key

    def _note(self, connection: sqlite3.Connection, action: str, name: str, before: Any, after: Any) -> None:
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'parties_version'")
        write_audit(connection, who=self._who, action=action, subject=name, before=before, after=after)


def _checked_permissions(names: Iterable[str]) -> list[str]:
    chosen = list(names)
    if unknown := sorted(set(chosen) - set(PERMISSIONS)):
        raise PartyRefused(f"unknown permission {', '.join(unknown)}; permissions are {', '.join(PERMISSIONS)}")
    return [name for name in PERMISSIONS if name in chosen]


def _checked_sets(names: Iterable[str] | None) -> str | None:
    """Names of sets as the ledger keeps them."""
    if names is None:
        return None
    chosen = sorted(set(names))
    if not chosen:
        raise PartyRefused("no set is named, so nothing would ever match; name some, or all")
    return orjson.dumps(chosen).decode()


def _check_limits(max_rate: float | None, daily_quota: int | None) -> None:
    if max_rate is not None and not 0 < max_rate <= _MOST_HASHES:
        raise PartyRefused(
            f"{max_rate:,} hashes a second is no rate; use more than 0 and at most {_MOST_HASHES:,}"
        )
    if daily_quota is not None and not 0 < daily_quota <= _MOST_HASHES:
        raise PartyRefused(f"{daily_quota:,} hashes a day is no quota; use 1 to {_MOST_HASHES:,}")
