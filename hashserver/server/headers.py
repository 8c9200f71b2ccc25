"""The headers of a request."""

from __future__ import annotations

from starlette.types import Scope


def headers_of(scope: Scope) -> dict[bytes, str]:
    """The headers of a request, decoded as Latin-1 as HTTP has them; the last one of each name.

    Returns:
        Values by name; names are bytes in lower case, as ASGI servers hand them over.
    """
    return {name: value.decode("latin-1") for name, value in scope["headers"]}
