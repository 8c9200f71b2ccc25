"""Rendering: templates, headers, and static files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from hashserver import __version__
from hashserver.reports.charts import share
from hashserver.server.dashboard.figures import as_time

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no-referrer browsers send forms with "Origin: null", which could not be told from another
    # site's.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FILES = ("dashboard.css", "dashboard.js", "icon.svg", "uplot/uPlot.min.css", "uplot/uPlot.iife.min.js")
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that pages refer to, and a digest of its content as its version."""

    content: bytes
    media_type: str
    version: str


def _read_file(name: str) -> StaticFile:
    content = files("hashserver.server.dashboard").joinpath("static", *name.split("/")).read_bytes()
    version = hashlib.blake2b(content, digest_size=6).hexdigest()
    return StaticFile(content, _TYPES[name.rpartition(".")[2]], version)


_static = {name: _read_file(name) for name in _FILES}


def static(name: str, version: str | None) -> Response | None:
    """The answer with a file, or None if there is no file of that name.

    Args:
        name: as in the address.
        version: that was asked for.
    """
    file = _static.get(name)
    if file is None:
        return None
    # What is asked for by its version never changes; anything else may with the next release.
    caching = _FOREVER if version == file.version else "no-cache"
    return Response(file.content, media_type=file.media_type, headers={**HEADERS, "Cache-Control": caching})


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """An HTML page; everything in `values` that is text is escaped."""
    text = _templates.get_template(template).render(path=request.url.path, version=__version__, **values)
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return Response(text, status, headers, media_type="text/html; charset=utf-8")


def _address(name: str) -> str:
    return f"/dashboard/static/{name}?v={_static[name].version}"


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def short(value: float) -> str:
    """A number for an axis, such as 1.2 M."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g}"


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("hashserver.server.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(whole=_whole, time=as_time)
    found.globals.update(static=_address, share=share)
    return found


_templates = _environment()
