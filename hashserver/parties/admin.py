"""Changing parties: each change and its line in the audit log are one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hashserver.errors import BadInput
from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.tables import parties as table
from hashserver.ledger.tables.audit import write_audit
from hashserver.ledger.tables.meta import PARTIES_VERSION, count_up
from hashserver.parties.keys import Digester, mark_secret, new_key, read_secret
from hashserver.parties.party import PERMISSIONS
from hashserver.times import DAY_SECONDS, now_ms

DEFAULT_PERMISSIONS = ("check", "feedback")
_MOST_VALID_KEYS = 2
_MOST_NAME = 100
_MOST_HASHES = 1 << 62
_MOST_OVERLAP = 100 * 366 * DAY_SECONDS


class UnknownParty(BadInput, LedgerError):
    """There is no such party or key."""


class PartyRefused(BadInput, LedgerError):
    """A change that makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known of a key, but not the key itself.

    Args:
        number: in the ledger.
        created, expires, revoked: Unix milliseconds, or None.
    """

    number: int
    created: int
    expires: int | None
    revoked: int | None

    def is_valid(self, now: int) -> bool:
        """Whether it is accepted at a time (Unix milliseconds)."""
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
        who: makes the changes, for the audit log.
    """

    def __init__(self, ledger: Ledger, who: str) -> None:
        self._ledger, self._who = ledger, who

    def parties(self) -> list[PartyInfo]:
        """All parties by name, disabled ones included."""
        return [self.show(name) for name in table.party_names(self._ledger.connection).values()]

    def show(self, name: str) -> PartyInfo:
        """One party.

        Raises:
            UnknownParty: there is none of that name.
        """
        connection = self._ledger.connection
        found = table.find_party(connection, name)
        if found is None:
            known = ", ".join(table.party_names(connection).values())
            raise UnknownParty(f"no party named {name!r}; parties: {known or 'none'}")
        keys = [
            KeyInfo(key.number, key.created, key.expires, key.revoked)
            for key in table.keys_of(connection, found.number)
        ]
        return PartyInfo(*found, keys)

    def add(
        self,
        name: str,
        *,
        permissions: Iterable[str] = DEFAULT_PERMISSIONS,
        sets: Iterable[str] | None = None,
        max_rate: float | None = None,
        daily_quota: int | None = None,
    ) -> str:
        """Add a party, and return its key, which cannot be shown again.

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
            if table.find_party(connection, name) is not None:
                raise PartyRefused(f"a party named {name!r} already exists")
            number = table.add_party(
                connection,
                name=name,
                created=now_ms(),
                permissions=chosen,
                sets=names,
                max_rate=max_rate,
                daily_quota=daily_quota,
            )
            key = self._new_key(connection, number)
            self._note(connection, "party add", name, None, self.show(name).as_json())
        return key

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable a party, or enable it again.

        Raises:
            UnknownParty: there is none of that name.
        """
        with self._ledger.transaction() as connection:
            before = self.show(name)
            if (before.disabled is not None) == disabled:
                return
            when = now_ms() if disabled else None
            table.set_disabled(connection, before.number, when)
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
        """Change what a party may do, and return it as it is afterwards.

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
            table.change_party(
                connection,
                before.number,
                permissions=chosen,
                sets=_checked_sets(names),
                max_rate=before.max_rate if isinstance(max_rate, Unchanged) else max_rate,
                daily_quota=before.daily_quota if isinstance(daily_quota, Unchanged) else daily_quota,
            )
            after = self.show(name)
            if after != before:
                self._note(connection, "party allow", before.name, before.as_json(), after.as_json())
        return after

    def rotate_key(self, name: str, *, overlap_seconds: float) -> str:
        """Give a party a new key; its other keys work for `overlap_seconds` more.

        Raises:
            UnknownParty: there is none of that name.
            PartyRefused: two keys are valid already, or the time makes no sense.
        """
        if not 0 <= overlap_seconds <= _MOST_OVERLAP:
            raise PartyRefused(f"a key cannot stay valid for {overlap_seconds:,.0f} s more; use up to 100 years")
        with self._ledger.transaction() as connection:
            party = self.show(name)
            now = now_ms()
            valid = [key for key in party.keys if key.is_valid(now)]
            if len(valid) >= _MOST_VALID_KEYS:
                numbers = " and ".join(str(key.number) for key in valid)
                raise PartyRefused(
                    f"party {party.name!r} already has two valid keys, {numbers}; remove the older one first: "
                    f"hashserver party remove-key {party.name!r} {valid[0].number}"
                )
            expires = now + int(overlap_seconds * 1000)
            table.expire_keys(connection, party.number, expires)
            key = self._new_key(connection, party.number)
            before = {"keys": [key.number for key in valid]}
            after = {"keys": [one.number for one in self.show(name).keys if one.is_valid(now)], "expires": expires}
            self._note(connection, "party rotate-key", party.name, before, after)
        return key

    def remove_key(self, name: str, number: int) -> None:
        """Revoke a key.

        Raises:
            UnknownParty: there is no such party, or it has no such key that is not revoked.
        """
        with self._ledger.transaction() as connection:
            party = self.show(name)
            left = [key.number for key in party.keys if key.revoked is None]
            if number not in left:
                raise UnknownParty(
                    f"party {party.name!r} has no key {number}; its keys: {', '.join(map(str, left)) or 'none'}"
                )
            table.revoke_key(connection, number, now_ms())
            self._note(connection, "party remove-key", party.name, {"keys": left}, {"removed": number})

    def _new_key(self, connection: sqlite3.Connection, party: int) -> str:
        key = new_key()
        secret = read_secret(self._ledger)
        mark_secret(connection, secret)
        digest = Digester(secret)(key)
        table.add_key(connection, party, digest, now_ms())
        return key

    def _note(self, connection: sqlite3.Connection, action: str, name: str, before: Any, after: Any) -> None:
        count_up(connection, PARTIES_VERSION)
        write_audit(connection, who=self._who, action=action, subject=name, before=before, after=after)


def _checked_permissions(names: Iterable[str]) -> list[str]:
    chosen = list(names)
    if unknown := sorted(set(chosen) - set(PERMISSIONS)):
        raise PartyRefused(f"unknown permission {', '.join(unknown)}; permissions are {', '.join(PERMISSIONS)}")
    return [name for name in PERMISSIONS if name in chosen]


def _checked_sets(names: Iterable[str] | None) -> list[str] | None:
    """Names of sets as the ledger keeps them."""
    if names is None:
        return None
    chosen = sorted(set(names))
    if not chosen:
        raise PartyRefused("no set is named, so nothing would ever match; name at least one, or all")
    return chosen


def _check_limits(max_rate: float | None, daily_quota: int | None) -> None:
    if max_rate is not None and not 0 < max_rate <= _MOST_HASHES:
        raise PartyRefused(
            f"{max_rate:,} hashes per second is not a rate; use more than 0 and at most {_MOST_HASHES:,}"
        )
    if daily_quota is not None and not 0 < daily_quota <= _MOST_HASHES:
        raise PartyRefused(f"{daily_quota:,} hashes per day is not a quota; use 1 to {_MOST_HASHES:,}")
