"""Routes that are answered before the framework, each registered once for both ways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.types import Receive, Scope

from hashserver.server.parts import Parts

Handler = Callable[[Parts, Scope, Receive], Awaitable[Response]]


class DirectRoutes:
    """Routes whose handlers `Shortcut` calls itself, and which the framework documents.

    The framework's routes call the same handlers, so the answers are the same either way.

    Args:
        tag: of the routes in the OpenAPI document.

    Attributes:
        handlers: by method and path, for the shortcut; a path that ends in / stands for all paths
            with one more segment.
        router: the same routes for the framework.
    """

    def __init__(self, tag: str) -> None:
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.router = APIRouter(tags=[tag])

    def add(
        self,
        method: str,
        path: str,
        *,
        direct: tuple[str, ...] = (),
        parameters: Callable[..., Awaitable[None]] | None = None,
        **documented: Any,
    ) -> Callable[[Handler], Handler]:
        """Register the decorated handler; its name becomes part of the operation's id.

        Args:
            method: of HTTP.
            path: as the framework has it, such as `/v1/check/{type}`.
            direct: keys of `handlers`; by default the one that follows from a path with at most one
                parameter, at its end.
            parameters: a function whose arguments describe the parameters in path and query; the
                handler reads them itself.
            documented: of `APIRouter.add_api_route`, such as summary, description and responses.
        """

        def register(handler: Handler) -> Handler:
            async def endpoint(request: Request) -> Response:
                return await handler(request.app.state.parts, request.scope, request.receive)

            self.router.add_api_route(
                path,
                endpoint,
                methods=[method],
                name=handler.__name__,
                response_class=Response,
                dependencies=[] if parameters is None else [Depends(parameters)],
                **documented,
            )
            for key in direct or (path.partition("{")[0],):
                self.handlers[method, key] = handler
            return handler

        return register
