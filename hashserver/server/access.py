"""Who may use a route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from hashserver.parties.directory import require
from hashserver.server.headers import headers_of
from hashserver.server.parts import Caller, identify


async def known_caller(request: Request) -> Caller:
    """The caller, whatever their permissions.

    Raises:
        NotAuthenticated: no key, or one that is not valid.
    """
    headers = headers_of(request.scope)
    return identify(request.app.state.parts, headers)


def permitted(permission: str) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: the caller, if their party has a permission.

    Raises:
        NotAuthenticated, NotPermitted: it may not use the route.
    """

    async def caller(request: Request) -> Caller:
        found = await known_caller(request)
        require(found.party, permission)
        return found

    return caller


AnyParty = Annotated[Caller, Depends(known_caller)]
MayContribute = Annotated[Caller, Depends(permitted("contribute"))]
MayGiveFeedback = Annotated[Caller, Depends(permitted("feedback"))]
MayReport = Annotated[Caller, Depends(permitted("report"))]
