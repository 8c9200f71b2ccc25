"""What a check answers, as JSON and as an Arrow stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from hashcore import Entry
from hashserver.server.bodies.request import InvalidHash

_BLOCK = 10_000  # matches encoded at a time: a request may match a million times


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry as an answer names it; `id` is its external id."""

    set: str
    category: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class NamedMatch:
    """One hash that matched, and the entries at one distance from it.

    Args:
        type: name of its hash type.
        index: its place in the request, among the hashes of its type.
        digest: the hash as bytes.
        distance: of all the entries.
        entries: at least one.
        truncated: whether there are more entries than an answer names for one hash.
    """

    type: str
    index: int
    digest: bytes
    distance: int
    entries: list[Entry]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer to one request, from one generation.

    Args:
        generation: number of that generation.
        checked: well-formed hashes by type.
        matches: by type and index, nearest first.
        invalid: what was not a hash.
        store: id of the store that the generation is of.
        state: equal in answers about the same entries only; see `hashcore.Snapshot.state`.
    """

    generation: int
    checked: dict[str, int]
    matches: list[NamedMatch]
    invalid: list[InvalidHash]
    store: str = ""
    state: str = ""


def to_json(answer: Answer) -> bytes:
    """The answer as JSON, in UTF-8, as docs/api.md describes it."""
    head = orjson.dumps(
        {
            "generation": answer.generation,
            "store": answer.store,
            "state": answer.state,
            "checked": answer.checked,
        }
    )
    invalid = orjson.dumps(answer.invalid)
    blocks = [
        orjson.dumps([_as_object(match) for match in answer.matches[start : start + _BLOCK]])[1:-1]
        for start in range(0, len(answer.matches), _BLOCK)
    ]
    return b'%s,"matches":[%s],"invalid":%s}' % (head[:-1], b",".join(blocks), invalid)


def _as_object(match: NamedMatch) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": match.type,
        "index": match.index,
        "hash": match.digest.hex(),
        "distance": match.distance,
        "entries": [EntryView(entry.set, entry.category, entry.id) for entry in match.entries],
    }
    if match.truncated:
        fields["truncated"] = True
    return fields


@cache
def _schema() -> Any:
    import pyarrow as pa

    fields = [pa.field("type", pa.string()), pa.field("index", pa.int64()), pa.field("distance", pa.int32())]
    return pa.schema([*fields, *(pa.field(name, pa.string()) for name in ("set", "category", "id"))])


def to_arrow(answer: Answer) -> bytes:
    """The answer as an Arrow stream, one row for every entry of every match.

    The metadata of its schema holds `generation`, `store` and `state`, and `checked`, `invalid` and
    `truncated` as JSON.
    """
    import pyarrow as pa

    truncated = [{"type": match.type, "index": match.index} for match in answer.matches if match.truncated]
    schema = _schema().with_metadata(
        {
            "generation": str(answer.generation),
            "store": answer.store,
            "state": answer.state,
            "checked": orjson.dumps(answer.checked),
            "invalid": orjson.dumps(answer.invalid),
            "truncated": orjson.dumps(truncated),
        }
    )
    rows = [(match, entry) for match in answer.matches for entry in match.entries]
    columns = [
        pa.array([match.type for match, _ in rows], pa.string()),
        pa.array([match.index for match, _ in rows], pa.int64()),
        pa.array([match.distance for match, _ in rows], pa.int32()),
        pa.array([entry.set for _, entry in rows], pa.string()),
        pa.array([entry.category for _, entry in rows], pa.string()),
        pa.array([entry.id for _, entry in rows], pa.string()),
    ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        if rows:
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return bytes(sink.getvalue())
