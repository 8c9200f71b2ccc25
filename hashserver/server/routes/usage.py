"""`GET /v2/usage`: how much a party has checked, and what matched."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from hashserver.ledger import Ledger, LedgerError
from hashserver.parties import Party
from hashserver.parties.directory import require
from hashserver.reports.party_usage import read_usage
from hashserver.reports.period import BadPeriod, Period, period_of
from hashserver.server.access import AnyParty
from hashserver.server.errors import refusal
from hashserver.server.parts import Caller, Parts
from hashserver.server.problems import Problem, not_found, unprocessable

router = APIRouter(tags=["usage"])

_COUNTS = {"requests": 12, "checked": 120000, "hits": 3, "invalid": 1}
_EXAMPLE = {
    "party": "Example Hosting",
    "from": "2026-03-01",
    "to": "2026-03-17",
    "max_rate": 5000000,
    "daily_quota": None,
    "days": [{"day": "2026-03-02", "type": "md5", **_COUNTS}],
    "hits": [{"set": "police", "category": "baseline", "type": "md5", "hits": 3, "matches": 3}],
}


@router.get(
    "/v2/usage",
    summary="A party's own counts and hits",
    response_class=Response,
    responses={
        200: {
            "description": "By day (UTC) and hash type; hits by set and category, the nearest match of each.",
            "content": {"application/json": {"example": _EXAMPLE}},
        },
        401: refusal("No valid key."),
        403: refusal("The party may not see the figures of other parties."),
        404: refusal("The party does not exist."),
        422: refusal("Not a valid period."),
        503: refusal("The ledger cannot be read or written."),
    },
)
async def usage(
    request: Request,
    caller: AnyParty,
    first: Annotated[
        date | None, Query(alias="from", description="First day; by default the first of the month.")
    ] = None,
    last: Annotated[date | None, Query(alias="to", description="Last day; by default today.")] = None,
    party: Annotated[str | None, Query(description="Another party, for the permissions report and admin.")] = None,
) -> Response:
    """Counts are at most a second old, hits are exact."""
    parts: Parts = request.app.state.parts
    chosen = _chosen(parts, caller, party)
    try:
        period = period_of(first, last)
    except BadPeriod as error:
        raise unprocessable(str(error), parameter="from" if first else "to") from None
    try:
        found = await run_in_threadpool(_read, parts, chosen, period)
    except LedgerError as error:
        problem = Problem(503, "ledger-unavailable", "Figures are not available", str(error))
        problem.headers["Retry-After"] = "10"
        raise problem from None
    return Response(orjson.dumps(found), media_type="application/json")


def _chosen(parts: Parts, caller: Caller, name: str | None) -> Party:
    if name is None or name.casefold() == caller.party.name.casefold():
        return caller.party
    require(caller.party, "report")
    for party in parts.directory.parties.values():
        if party.name.casefold() == name.casefold():
            return party
    raise not_found(f"there is no party named {name[:100]!r}, or it is disabled")


def _read(parts: Parts, party: Party, period: Period) -> dict[str, Any]:
    with Ledger(parts.settings.data_dir) as ledger:
        return read_usage(ledger, party, period)
