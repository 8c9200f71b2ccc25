"""Write the reference pages of docs/ from the code: commands, settings, HTTP routes and metrics.

`make docs` writes them. With `--check`, as in `make check`, nothing is written, and the exit code
is 1 if a page is out of date. The pages are the same on every machine.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import annotated_types
import httpx
import typer.main
from fastapi import FastAPI, routing
from pydantic.fields import FieldInfo
from rich.text import Text

from hashserver.app import create_app
from hashserver.cli.main import EXIT_CODES, app
from hashserver.settings import MIB, Settings

FOLDER = Path(__file__).parents[1] / "docs"
WRITTEN = "<!-- Written by tools/write_docs.py: change the code, and run `make docs`. -->\n"
ADDRESS = "http://127.0.0.1:8080"

VARIABLES = {
    "HASHSERVER_CONFIG": "Path of the settings file, in place of `hashserver.toml` in the working directory.",
    "HASHSERVER_DEBUG": "With 1, the traceback of an error is printed as well, as with `--debug`.",
    "NUMBA_CACHE_DIR": "Where compiled kernels are cached. Default: beside the installed package, or if that is "
    "not writable, in the data folder, the user's folder for caches or the temporary folder.",
    "PROMETHEUS_MULTIPROC_DIR": "An empty folder in which several workers count together. `hashserver serve` sets "
    "it; under another server, set it yourself.",
    "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY": "The proxy for `scan`, `check` and the client, as for "
    "curl. This machine is never asked through one. `NO_PROXY`: names, addresses and networks, with commas "
    "between them.",
    "XDG_CACHE_HOME": "The user's folder for caches. Default: `~/.cache`.",
    "XDG_STATE_HOME": "Where `hashserver scan` keeps its states, in the folder `hashserver`. Default: "
    "`~/.local/state`.",
}
OTHER_ROUTES = {
    "/openapi.json": "The OpenAPI document",
    "/docs": "The API's documentation, to try out (Swagger UI)",
    "/docs/oauth2-redirect": "Part of Swagger UI",
    "/redoc": "The API's documentation, to read (ReDoc)",
    "/dashboard": "Dashboard: figures, charts and alarms",
    "/dashboard/sets": "Dashboard: the sets and their history",
    "/dashboard/parties": "Dashboard: the parties, for the owner",
    "/dashboard/live": "Dashboard: totals as JSON, for its script",
    "/dashboard/sign-in": "Dashboard: sign in with a key",
    "/dashboard/sign-out": "Dashboard: sign out",
    "/dashboard/static/{name}": "Dashboard: styles and scripts",
}
"""Summaries of routes that are not in the OpenAPI document."""


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them; the exit code."""
    outdated = []
    for name, make in PAGES.items():
        text, file = make(), FOLDER / name
        if not file.is_file() or file.read_text("utf-8") != text:
            outdated.append(name)
            if "--check" not in arguments:
                file.write_text(text, "utf-8")
    if "--check" not in arguments:
        print(f"written: {', '.join(outdated) or 'nothing, all pages are up to date'}")
        return 0
    if outdated:
        print(f"docs/ is out of date: {', '.join(outdated)}; run make docs", file=sys.stderr)
    return 1 if outdated else 0


def commands_page() -> str:
    """docs/commands.md: every command with its arguments, options and examples; exit codes."""
    found = list(commands())
    parts = [
        WRITTEN,
        "# Commands\n",
        "`hashserver COMMAND --help` shows the same in a terminal. Most commands take `--json` for scripts.\n",
        table(
            ("command", "what it does"),
            (
                (f"[`{words}`](#{words.replace(' ', '-')})", first_sentence(command))
                for words, command, _ in found[1:]
            ),
        ),
        "## Exit codes\n",
        table(("code", "meaning"), ((str(code), meaning) for code, meaning in sorted(EXIT_CODES.items()))),
    ]
    for words, command, context in found:
        parts += command_section(words, command, context)
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Every command that is not hidden, groups before their own: its words, itself, its context."""
    root = typer.main.get_command(app)
    yield from _below(root, "hashserver", root.context_class(root, info_name="hashserver"))


def _below(command: Any, words: str, context: Any) -> Iterator[tuple[str, Any, Any]]:
    yield words, command, context
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        found = command.get_command(context, name)
        if not found.hidden:
            inner = found.context_class(found, info_name=name, parent=context)
            yield from _below(found, f"{words} {name}", inner)


def command_section(words: str, command: Any, context: Any) -> Iterator[str]:
    """The section of one command, in paragraphs."""
    yield f"## {words}\n"
    description, examples = read_help(command)
    yield "\n\n".join(map(paragraph, description.split("\n\n"))) + "\n"
    pieces = " ".join(piece for piece in command.collect_usage_pieces(context) if piece)
    yield block([f"{words} {pieces}"])
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    for heading, kind in (("argument", "argument"), ("option", "option")):
        rows = [(code(spelling(param)), described(param)) for param in params if param.param_type_name == kind]
        if rows:
            yield table((heading, "meaning"), rows)
    if examples:
        yield "Example:\n" if len(examples) == 1 else "Examples:\n"
        yield block(examples)


def read_help(command: Any) -> tuple[str, list[str]]:
    """The text of a command's help, and its examples."""
    lines = Text.from_markup(command.help or "").plain.splitlines()
    text = [line for line in lines if not line.startswith("  ") and line not in ("Example:", "Examples:")]
    examples = [line.strip() for line in lines if line.startswith("  ")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(text)).strip(), examples


def first_sentence(command: Any) -> str:
    """The first paragraph of a command's help."""
    return read_help(command)[0].partition("\n\n")[0].removesuffix(".")


def spelling(param: Any) -> str:
    """How an argument or option is written, such as `-o, --output FILE`."""
    if param.param_type_name == "argument":
        name = str(param.metavar)
        return name + "..." if param.nargs != 1 else name
    names = ", ".join(sorted(param.opts, key=len))
    if param.is_bool_flag:
        return " / ".join([names, *param.secondary_opts])
    return f"{names} {param.metavar}"


def described(param: Any) -> str:
    """The help of an argument or option, with its range, default and environment variable."""
    notes = ["Required."] if param.required else []
    if limits := bounds(param.min, param.max):
        notes.append(f"{limits[0].upper()}{limits[1:]}.")
    if isinstance(param.show_default, str):
        notes.append(f"Default: {param.show_default}.")
    elif param.param_type_name == "option" and param.is_bool_flag:
        notes += [f"Default: {code(param.secondary_opts[0])}."] if param.secondary_opts else []
    elif param.default is not None and not param.required:
        notes.append(f"Default: {code(number(param.default))}.")
    if param.envvar:
        notes.append(f"Environment: {code(param.envvar)}.")
    return " ".join([with_code(param.help), *notes])


def settings_page() -> str:
    """docs/settings.md: every setting and every environment variable."""
    rows = [
        (code(name), code(f"HASHSERVER_{name.upper()}"), kind(field), default(name, field), str(field.description))
        for name, field in Settings.model_fields.items()
    ]
    variables = dict(VARIABLES)
    for words, command, _ in commands():
        for param in command.params:
            if param.envvar:
                known = variables.get(param.envvar, "Used if the option is not given:")
                variables[param.envvar] = f"{known}{', ' if '`' in known else ' '}`{words} {param.opts[0]}`"
    return "\n".join(
        [
            WRITTEN,
            "# Settings\n",
            paragraph(
                "A setting is taken from the command line if it is given there, else from the environment, else "
                "from the file `hashserver.toml` in the working directory. An unknown name in the file and a "
                "value out of range are errors that name the setting. A server reads its settings when it starts."
            )
            + "\n",
            table(("setting", "environment variable", "type and range", "default", "meaning"), rows),
            "In the file, settings are keys at the top level:\n",
            block(
                ["# hashserver.toml", 'data_dir = "/srv/hashes"', "workers = 2", "keep_hits_days = 365"], "toml"
            ),
            "## Other environment variables\n",
            table(("variable", "meaning"), ((code(name), variables[name]) for name in sorted(variables))),
        ]
    )


def kind(field: FieldInfo) -> str:
    """The type and the range of a setting, in words."""
    words = {int: "integer", float: "number", str: "text", Path: "path"}
    chosen = [each for each in get_args(field.annotation) or (field.annotation,) if each is not type(None)]
    found: dict[type, Any] = {type(one): one for one in field.metadata}
    low = found[annotated_types.Ge].ge if annotated_types.Ge in found else None
    high = found[annotated_types.Le].le if annotated_types.Le in found else None
    above = f"more than {number(found[annotated_types.Gt].gt)}" if annotated_types.Gt in found else ""
    return ", ".join(filter(None, [*(words[each] for each in chosen), above, bounds(low, high)]))


def default(name: str, field: FieldInfo) -> str:
    """The default of a setting."""
    if field.default is None:
        return "not set"
    text = code(number(field.default))
    is_size = name.endswith("_bytes") and field.default % MIB == 0
    return f"{text} ({field.default // MIB:,} MiB)" if is_size else text


def reference_page() -> str:
    """docs/reference.md: every HTTP route and every metric."""
    front = create_app(Settings.model_construct())  # the defaults, whatever the environment says
    api = front.app.openapi()["paths"]
    documented = [
        (method.upper(), path, operation["summary"])
        for path, methods in api.items()
        for method, operation in methods.items()
    ]
    others = [route for route in routes(front.app) if route[1] not in api]
    return "\n".join(
        [
            WRITTEN,
            "# Reference: HTTP routes and metrics\n",
            "## HTTP routes\n",
            paragraph(
                "[api.md](api.md), [protocols.md](protocols.md) and [dashboard.md](dashboard.md) explain them. A "
                "server describes requests and answers at `/docs` and in `/openapi.json`."
            )
            + "\n",
            table(
                ("method", "path", "summary"), ((method, code(path), words) for method, path, words in documented)
            ),
            "Not in the OpenAPI document:\n",
            table(("method", "path", "summary"), ((method, code(path), words) for method, path, words in others)),
            "## Metrics\n",
            paragraph(
                "`GET /metrics` has these, in Prometheus' text format. [operating.md](operating.md#prometheus) "
                "says how to scrape them, and what to alert on."
            )
            + "\n",
            table(("metric", "type", "meaning"), ((code(name), type, words) for name, type, words in metrics())),
        ]
    )


def routes(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Method, path and summary of all routes of an application, documented or not."""
    flat = getattr(routing, "iter_route_contexts", iter)  # from some version on, included routers are kept apart
    for route in flat(app.routes):
        path = re.sub(r":\w+\}", "}", route.path)
        for method in sorted(set(route.methods or ()) - {"HEAD"}):
            yield method, path, OTHER_ROUTES.get(path) or getattr(route, "summary", None) or route.name


def metrics() -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of all metrics of a server with an empty data folder."""
    with tempfile.TemporaryDirectory(prefix="hashserver-docs-") as folder:
        text = asyncio.run(_scrape(Settings.model_construct(data_dir=Path(folder))))
    meanings = dict(re.findall(r"(?m)^# HELP (\S+) (.*)$", text))
    for name, type in re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text):
        yield name, type, meanings[name]


async def _scrape(settings: Settings) -> str:
    front = create_app(settings)
    transport = httpx.ASGITransport(front)
    async with (
        front.app.router.lifespan_context(front.app),
        httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client,
    ):
        return (await client.get("/metrics")).raise_for_status().text


def bounds(low: float | None, high: float | None) -> str:
    """A range in words; empty without bounds."""
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}"
    if low is not None:
        return f"at least {number(low)}"
    return "" if high is None else f"at most {number(high)}"


def number(value: object) -> str:
    """A value as it is written in a command or a file, so without thousands separators."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def paragraph(text: str) -> str:
    """A paragraph, wrapped."""
    return textwrap.fill(with_code(text), 100, break_long_words=False, break_on_hyphens=False)


def with_code(text: str) -> str:
    """A text in which options, and the `-` for standard input, are code."""
    return re.sub(r"(?<![\w`/-])(--[a-z][a-z-]*|-)(?=[\s.,;:]|$)", r"`\1`", text)


def code(text: str) -> str:
    """Text as code, in a table too."""
    return f"`{text}`"


def block(lines: Iterable[str], language: str = "") -> str:
    """Lines as a block of code."""
    return "\n".join([f"```{language}", *lines, "```", ""])


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "reference.md": reference_page,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
