"""The tables of the ledger: parties and keys, counts, matches, feedback, and what admins did.

Times are Unix milliseconds, hours, days and months are whole ones since 1970, UTC. Hits arrive in
`inbox`, one row per commit of a worker, and are folded into the other tables soon (see
`hashserver.ledger.fold`). `matches` has a row for every match; `rank` 0 marks the nearest match of
a hit, so hits are counted by it. `hit_days` and `sightings` are sums over `matches`, kept in the
same transactions: reports need not go through millions of rows, and what retention deletes from
`matches` stays counted. A row of `entries` is made when an entry is first hit.

Whoever changes the tables raises VERSION, and adds a step to `hashserver.ledger.migrations`.
"""

from __future__ import annotations

VERSION = 2

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('parties_version', 0), ('probe', 0);

CREATE TABLE parties (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    created INTEGER NOT NULL,
    disabled INTEGER,
    permissions TEXT NOT NULL,
    sets TEXT,
    max_rate REAL,
    daily_quota INTEGER
) STRICT;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    party INTEGER NOT NULL REFERENCES parties (id),
    digest BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT;

CREATE TABLE counts (
    hour INTEGER NOT NULL,
    party INTEGER NOT NULL,
    type TEXT NOT NULL,
    requests INTEGER NOT NULL,
    checked INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    PRIMARY KEY (hour, party, type)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    matches INTEGER NOT NULL,
    hits TEXT NOT NULL
) STRICT;

CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    set_name TEXT NOT NULL,
    key TEXT NOT NULL,
    external_id TEXT,
    category TEXT,
    added INTEGER NOT NULL,
    first_hit INTEGER NOT NULL,
    UNIQUE (set_name, key)
) STRICT;

CREATE TABLE matches (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    party INTEGER NOT NULL,
    request TEXT NOT NULL,
    generation INTEGER NOT NULL,
    type TEXT NOT NULL,
    entry INTEGER NOT NULL,
    distance INTEGER NOT NULL,
    rank INTEGER NOT NULL
) STRICT;

CREATE TABLE hit_days (
    day INTEGER NOT NULL,
    party INTEGER NOT NULL,
    set_name TEXT NOT NULL,
    category TEXT NOT NULL,
    type TEXT NOT NULL,
    distance INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    matches INTEGER NOT NULL,
    PRIMARY KEY (day, party, set_name, category, type, distance)
) STRICT, WITHOUT ROWID;

CREATE TABLE sightings (
    month INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    party INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    matches INTEGER NOT NULL,
    PRIMARY KEY (month, entry, party)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    party INTEGER NOT NULL,
    set_name TEXT NOT NULL,
    external_id TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('false-positive', 'confirmed')),
    note TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_keeps_numbers BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""
