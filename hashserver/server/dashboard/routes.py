"""`/dashboard`: the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from hashcore.disk.layout import Manifest
from hashserver.ledger import LedgerError
from hashserver.ledger.tables.inbox import waiting
from hashserver.parties import Party
from hashserver.reports.charts import Chart, strip
from hashserver.server.dashboard import sign_in
from hashserver.server.dashboard.access import Viewer, scope_of, viewer
from hashserver.server.dashboard.alarms import Alarm, alarms_of_owner, alarms_of_party, read_complaints
from hashserver.server.dashboard.figures import Figures, Live, PartyRow, read_figures, read_live, read_parties
from hashserver.server.dashboard.pages import HEADERS, page, short, static
from hashserver.server.dashboard.state import Dashboard
from hashserver.server.errors import as_response
from hashserver.server.parts import Parts
from hashserver.server.problems import Problem
from hashserver.sets.describe import describe
from hashserver.times import now_ms

router = APIRouter(include_in_schema=False)
router.include_router(sign_in.router)
_SECONDS, _LIVE_SECONDS = 4.0, 1.0

_Page = Callable[[Request, Viewer], Awaitable[Response]]


def _for_viewers(show: _Page) -> Callable[[Request], Awaitable[Response]]:
    """Show a page to those who have signed in; others sign in first. Refusals are pages too."""

    @wraps(show)
    async def route(request: Request) -> Response:
        looks = viewer(request)
        if looks is None:
            return Response(
                status_code=303, headers={**HEADERS, "Location": sign_in.PATH, "Cache-Control": "no-store"}
            )
        try:
            return await show(request, looks)
        except Problem as problem:
            status, title, detail = problem.status, problem.title, problem.detail
        except LedgerError as error:
            status, title, detail = 503, "Figures are not available", str(error)
        return page(request, "message.html", status=status, title=title, detail=detail, viewer=looks)

    route.__annotations__ = {"request": Request, "return": Response}
    del route.__wrapped__
    return route


@router.get("/dashboard")
@_for_viewers
async def overview(request: Request, looks: Viewer) -> Response:
    """What is checked and what matches, of all parties or one, and what needs attention."""
    parts, dashboard = _parts(request)
    party = scope_of(parts, looks, request.query_params.get("party"))
    figures = await _figures(dashboard, party)
    live = await _live(dashboard, party)
    return page(
        request,
        "overview.html",
        viewer=looks,
        party=party,
        figures=figures,
        live=live,
        charts=_charts(figures),
        alarms=await _alarms(parts, dashboard, looks, party),
        generation=_manifest(parts).generation,
        live_address="/dashboard/live" + ("" if party is None else f"?party={party.number}"),
    )


@router.get("/dashboard/sets")
@_for_viewers
async def sets(request: Request, looks: Viewer) -> Response:
    """The sets that are served, and for owners the generations to roll back to."""
    parts, dashboard = _parts(request)
    described = describe(_manifest(parts))
    names = looks.party.sets
    shown = [
        each for each in described["sets"] if names is None or each["role"] != "match" or each["name"] in names
    ]
    history: list[Manifest] = []
    if looks.sees_all:
        history = await dashboard.kept("history", _SECONDS, lambda: list(reversed(parts.store.history())))
    return page(request, "sets.html", viewer=looks, described=described, sets=shown, history=history)


@router.get("/dashboard/parties")
@_for_viewers
async def parties(request: Request, looks: Viewer) -> Response:
    """All parties with their use and limits, for those who may see the figures of all."""
    if not looks.sees_all:
        raise Problem(403, "forbidden", "Forbidden", "you can only see the figures of your own party")
    _, dashboard = _parts(request)
    return page(request, "parties.html", viewer=looks, parties=await _party_rows(dashboard), now=now_ms())


@router.get("/dashboard/live")
async def live(request: Request) -> Response:
    """Totals as JSON, for the page's script; refusals are problem details, as everywhere."""
    try:
        response = Response(orjson.dumps(await _read_live(request)), media_type="application/json")
    except Problem as problem:
        response = as_response(problem)
    except LedgerError as error:
        response = as_response(Problem(503, "ledger-unavailable", "Figures are not available", str(error)))
        response.headers["Retry-After"] = "10"
    response.headers.update({**HEADERS, "Cache-Control": "no-store"})
    return response


async def _read_live(request: Request) -> Live:
    looks = viewer(request)
    if looks is None:
        # Without the usual challenge: a browser would ask for a name and a password.
        raise Problem(401, "unauthorized", "Unauthorized", f"you are not signed in; sign in at {sign_in.PATH}")
    parts, dashboard = _parts(request)
    return await _live(dashboard, scope_of(parts, looks, request.query_params.get("party")))


@router.get("/dashboard/static/{name:path}")
async def static_file(name: str, v: str | None = None) -> Response:
    """A style sheet, script or picture; browsers may keep what is asked for by its version."""
    found = static(name, v)
    if found is None:
        raise Problem(404, "not-found", "Not found", "the dashboard has no such file")
    return found


def _parts(request: Request) -> tuple[Parts, Dashboard]:
    return request.app.state.parts, request.app.state.dashboard


def _manifest(parts: Parts) -> Manifest:
    with parts.store.read() as snapshot:
        return snapshot.manifest


def _number(party: Party | None) -> int | None:
    return None if party is None else party.number


async def _figures(dashboard: Dashboard, party: Party | None) -> Figures:
    number = _number(party)

    def read(connection: Any) -> Figures:
        with suppress(LedgerError):  # what is folded can be read, and an alarm says the rest
            dashboard.fold()
        return read_figures(connection, number, now_ms())

    return await dashboard.figures(("figures", number), _SECONDS, read)


async def _live(dashboard: Dashboard, party: Party | None) -> Live:
    number = _number(party)
    return await dashboard.figures(("live", number), _LIVE_SECONDS, partial(read_live, party=number))


async def _party_rows(dashboard: Dashboard) -> list[PartyRow]:
    return await dashboard.figures("parties", _SECONDS, lambda connection: read_parties(connection, now_ms()))


async def _alarms(parts: Parts, dashboard: Dashboard, looks: Viewer, party: Party | None) -> list[Alarm]:
    rows = await _party_rows(dashboard)
    now = now_ms()
    if party is not None:
        own = party.number == looks.party.number
        row = next((each for each in rows if each.number == party.number), None)
        return alarms_of_party(party, row, looks.expires if own else None, now)
    complaints = await dashboard.figures(
        "complaints", _SECONDS, lambda connection: read_complaints(connection, now_ms())
    )
    backlog = await dashboard.figures("backlog", _SECONDS, waiting)
    trouble = parts.ledger.trouble
    return await run_in_threadpool(
        alarms_of_owner,
        trouble=None if trouble is None else str(trouble),
        backlog=backlog,
        manifest=_manifest(parts),
        parties=rows,
        complaints=complaints,
        folder=parts.settings.data_dir,
        now_ms=now,
    )


def _charts(figures: Figures) -> list[Chart]:
    return [
        strip(f"{word} per {unit}", [one.name for one in counts], [getattr(one, what) for one in counts], short)
        for unit, counts in (("day", figures.days), ("month", figures.months))
        for word, what in (("Checks", "checked"), ("Hits", "hits"))
    ]
