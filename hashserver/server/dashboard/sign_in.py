"""Signing in with a key, and out."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from hashserver.server.dashboard.access import is_from_elsewhere, read_form, viewer
from hashserver.server.dashboard.pages import HEADERS, page
from hashserver.server.dashboard.session import COOKIE, SESSION_SECONDS
from hashserver.server.dashboard.state import Dashboard
from hashserver.server.parts import Parts
from hashserver.server.problems import Problem

PATH = "/dashboard/sign-in"
router = APIRouter()
_WRONG = (
    "The key is not known, has expired or was revoked. Check that it is complete, or ask the operator for a new "
    "one."
)


@router.get(PATH)
async def show(request: Request) -> Response:
    """The form, or the overview for those who have signed in."""
    if viewer(request) is not None:
        return _go("/dashboard")
    return _form(request, None)


@router.post(PATH)
async def sign_in(request: Request) -> Response:
    """Take a key, and answer with a session or with the form and what was wrong."""
    parts: Parts = request.app.state.parts
    dashboard: Dashboard = request.app.state.dashboard
    if is_from_elsewhere(request):
        return _refuse_foreign(request)
    try:
        fields = await read_form(request)
    except (Problem, ValueError):
        return _form(request, "That is not a key.", 401)
    if parts.directory.is_open:
        return _go("/dashboard")
    key = parts.directory.find_key(fields.get("key", "").strip())
    if key is None:
        if not await dashboard.delay_failure():
            return _form(request, "There were too many wrong keys just now. Try again in a few seconds.", 429)
        return _form(request, _WRONG, 401)
    response = _go("/dashboard")
    _set_cookie(request, response, dashboard.signer.issue(key.party.number, key.number), SESSION_SECONDS)
    return response


@router.post("/dashboard/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session of this browser."""
    dashboard: Dashboard = request.app.state.dashboard
    try:
        fields = await read_form(request)
    except (Problem, ValueError):
        fields = {}
    looks = viewer(request)
    token = request.cookies.get(COOKIE, "")
    ours = dashboard.signer.is_form_token(token, fields.get("token", ""))
    if is_from_elsewhere(request) or (looks is not None and not ours):
        return _refuse_foreign(request)
    response = _go(PATH)
    _set_cookie(request, response, "", 0)
    return response


def _form(request: Request, failure: str | None, status: int = 200) -> Response:
    response = page(request, "sign-in.html", status=status, failure=failure, viewer=None)
    if status == 429:
        response.headers["Retry-After"] = "5"
    return response


def _refuse_foreign(request: Request) -> Response:
    detail = "the form did not come from this dashboard; open the dashboard and try again"
    return page(request, "message.html", status=403, title="Forbidden", detail=detail, viewer=None)


def _go(path: str) -> Response:
    return Response(status_code=303, headers={**HEADERS, "Location": path, "Cache-Control": "no-store"})


def _set_cookie(request: Request, response: Response, value: str, seconds: int) -> None:
    # The scheme is what a proxy on this machine said in X-Forwarded-Proto, which uvicorn believes
    # of no other.
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, value, max_age=seconds, path="/dashboard", httponly=True, samesite="strict", secure=secure
    )
