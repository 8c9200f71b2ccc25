"""Who is looking at the dashboard, and what they may see."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

from fastapi import Request

from hashserver.parties import LOCAL, Party
from hashserver.server.body import read_body
from hashserver.server.dashboard.session import COOKIE
from hashserver.server.dashboard.state import Dashboard
from hashserver.server.headers import headers_of
from hashserver.server.parts import Parts
from hashserver.server.problems import Problem, forbidden

_MOST_FORM_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is looking.

    Args:
        party: that has signed in.
        form_token: for the forms of its session; None where nobody needs to sign in.
        expires: when the key that it signed in with expires (Unix seconds), or None.
    """

    party: Party
    form_token: str | None
    expires: float | None = None

    @property
    def sees_all(self) -> bool:
        """Whether it may see the figures of all parties."""
        return self.party.may("report")


def viewer(request: Request) -> Viewer | None:
    """Who is looking, or None if they have to sign in first."""
    parts: Parts = request.app.state.parts
    dashboard: Dashboard = request.app.state.dashboard
    if parts.directory.is_open:
        return Viewer(LOCAL, None)
    token = request.cookies.get(COOKIE, "")
    session = dashboard.signer.read(token)
    if session is None:
        return None
    key = parts.directory.key_of(session.key)
    if key is None or key.party.number != session.party:
        return None
    return Viewer(key.party, dashboard.signer.form_token(token), key.expires)


def scope_of(parts: Parts, looks: Viewer, asked: str | None) -> Party | None:
    """Whose figures to show: those of a party, or None for those of all.

    Raises:
        Problem: 403 when they are those of another party, 404 when there is no such party.
    """
    if not looks.sees_all:
        if asked is not None and asked != str(looks.party.number):
            raise forbidden("you can only see the figures of your own party")
        return looks.party
    if asked is None:
        return None
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else -1
    if number not in parts.directory.parties:
        raise Problem(404, "not-found", "Not found", "there is no such party, or it is disabled")
    return parts.directory.parties[number]


def is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site sent this form, as far as the browser says."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("host", "")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, the last value of each.

    Raises:
        Problem: 413 when it is too large.
        ValueError: it has too many fields.
    """
    headers = headers_of(request.scope)
    body = await read_body(headers, request.receive, _MOST_FORM_BYTES)
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20, keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}
