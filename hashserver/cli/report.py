"""`hashserver report`: figures of a period, the annual report, and the effect of connecting."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from hashserver.cli import records
from hashserver.cli.commands import Commands
from hashserver.cli.folders import open_ledger_to_read, open_snapshot
from hashserver.cli.options import DataDir, Json
from hashserver.cli.output import check_output, write_output
from hashserver.csv_writer import CsvWriter
from hashserver.settings import load_settings
from hashserver.times import today

if TYPE_CHECKING:
    from rich.console import Console

    from hashserver.reports.figures import Period, Usage
    from hashserver.reports.figures.effect import Effect
    from hashserver.reports.figures.usage import Line

app = Commands(
    help="""Report what was checked, what matched, and what admins changed.

Examples:

  hashserver report usage --from 2020-03 --to 2020-05
  hashserver report usage --party "Example Hosting" --csv > usage.csv
  hashserver report annual --year 2020 --lang nl -o report.html
  hashserver report effect --reports reports.csv -o effect.html
  hashserver report audit --limit 20
""",
    no_args_is_help=True,
)

app.command()(records.audit)
app.command()(records.feedback)

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="HTML file to write.", dir_okay=False)
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file, whatever it is.")]
Language = Annotated[str, typer.Option("--lang", metavar="LANGUAGE", help="Language of the report: nl or en.")]
Anonymous = Annotated[bool, typer.Option("--anonymous", help="Number the parties instead of naming them.")]


@app.command()
def usage(
    party: Annotated[
        str | None, typer.Option(metavar="NAME", help="Figures of this party only.", show_default="all parties")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DAY", help="First day or month: 2020-03-01 or 2020-03.", show_default="this year"
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="DAY", help="Last day or month, included.", show_default="this month"),
    ] = None,
    most: Annotated[
        int, typer.Option(metavar="N", help="Show this many of the most repeated entries.", min=0)
    ] = 20,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all tables as one CSV.")] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Count checks and hits by month, party, set, category, hash type and distance.

    Days are UTC. Figures about entries are kept by month, so they need a period of whole months.

    Example:

      hashserver report usage --from 2020-03 --to 2020-06 --json
    """
    from hashserver.parties.admin import PartyAdmin
    from hashserver.reports.figures import measure

    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other; choose one", param_hint="--csv")
    period = read_period(start, end)
    folder = load_settings(data_dir=data_dir).data_dir
    with (
        open_ledger_to_read(folder) as ledger,
        open_snapshot(ledger) if party is None else nullcontext() as snapshot,
    ):
        number = None if party is None else PartyAdmin(ledger, "").show(party).number
        found = measure(ledger.connection, period, party=number, snapshot=snapshot, most=most)
    if as_json:
        from hashserver.reports.figures.export import as_json as described

        print(orjson.dumps(described(found)).decode())
    elif as_csv:
        from hashserver.reports.figures.export import write_csv

        write_csv(found, sys.stdout)
    else:
        _print_usage(found)


@app.command()
def annual(
    output: Output,
    year: Annotated[
        int | None, typer.Option(metavar="YEAR", help="Year of the report.", show_default="last year")
    ] = None,
    language: Language = "en",
    anonymous: Anonymous = False,
    force: Force = False,
    data_dir: DataDir = None,
) -> None:
    """Write the report of a year: one self-contained HTML file, to read and to print.

    Example:

      hashserver report annual --year 2020 --lang nl -o report.html
    """
    from hashserver.reports.pages.annual import collect, render

    _check_language(language)
    check_output(output, force=force)
    folder = load_settings(data_dir=data_dir).data_dir
    with open_ledger_to_read(folder) as ledger, open_snapshot(ledger) as snapshot:
        chosen = year if year is not None else today().year - 1
        figures = collect(ledger.connection, chosen, snapshot)
    write_output(output, render(figures, language, anonymous=anonymous), force=force)
    print(f"the report of {chosen} is in {output}")


@app.command()
def effect(
    reports: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="CSV of the hotline's reports: columns date, provider and urls.", dir_okay=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also write an HTML file.", dir_okay=False),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            metavar="EVENT", help="A party is connected from its first-check, or from when it was created."
        ),
    ] = "first-check",
    language: Language = "en",
    force: Force = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the months around connecting as CSV.")] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Compare reported URLs of connected and unconnected providers, before and after connecting.

    A provider in the reports is the party of the same name. docs/reports.md explains the method
    and its limits.

    Example:

      hashserver report effect --reports reports.csv -o effect.html
    """
    from hashserver.reports.figures.effect import estimate_effect
    from hashserver.reports.figures.panel import connections_of, read_panel
    from hashserver.reports.pages import effect as document

    _check_language(language)
    if since not in ("first-check", "created"):
        raise typer.BadParameter(f"{since!r} is neither first-check nor created", param_hint="--since")
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other; choose one", param_hint="--csv")
    if output is not None:
        check_output(output, force=force)
    with open_ledger_to_read(load_settings(data_dir=data_dir).data_dir) as ledger:
        connections = connections_of(ledger.connection, by_first_check=since == "first-check")
    panel = read_panel(reports, connections)
    found = estimate_effect(panel)
    if output is not None:
        write_output(output, document.render(found, panel.months, language), force=force)
        print(f"the report is in {output}", file=sys.stderr)
    if as_json:
        print(orjson.dumps(found).decode())
    elif as_csv:
        _write_relative(found)
    else:
        _print_effect(found)


def _write_relative(found: Effect) -> None:
    writer = CsvWriter(sys.stdout)
    writer.write_row(["month", "providers", "reported", "expected", "ratio", "low", "high"])
    for one in found.relative:
        estimate = (one.estimate.ratio, one.estimate.low, one.estimate.high)
        figures = (f"{value:.4f}" for value in (one.reported, one.expected, *estimate))
        writer.write_row([one.month, one.providers, *figures])


def _print_effect(found: Effect) -> None:
    console = _console()
    rows = [
        (name, f"{one.providers}", f"{one.before:,.1f}", f"{one.after:,.1f}", f"{one.ratio - 1:+.1%}")
        for name, one in (("connected", found.connected), ("not connected", found.unconnected))
    ]
    _print_table(console, "URLs per provider and month", ("", "providers", "before", "after", "change"), rows)
    estimate = found.estimate
    console.print(
        f"After connecting, {found.reported:,.0f} URLs were reported where {found.expected:,.0f} were "
        f"expected: {estimate.ratio - 1:+.1%}, 95 % interval {estimate.low - 1:+.1%} to {estimate.high - 1:+.1%}."
    )
    if found.placebo is not None:
        placebo = found.placebo
        console.print(
            f"The three months before connecting, as a test: {placebo.ratio - 1:+.1%}, 95 % interval "
            f"{placebo.low - 1:+.1%} to {placebo.high - 1:+.1%}; if it is far from 0, the groups cannot be "
            "compared."
        )
    if found.few:
        console.print("One of the groups has fewer than ten providers: the interval is likely to be too narrow.")
    if found.left_out:
        console.print(f"Not compared, because nothing was reported before or after: {', '.join(found.left_out)}.")
    if found.unreported:
        console.print(f"Parties that are not in the reports: {', '.join(found.unreported)}.")
    console.print("Providers chose to connect: this shows a difference, not its cause. See docs/reports.md.")


def read_period(first: str | None, last: str | None) -> Period:
    """The period of --from and --to, both included; by default this year, to the end of this month.

    Raises:
        BadPeriod: a day is malformed, or the last is before the first.
    """
    from hashserver.reports.period import Period, read_first_day, read_last_day

    day = today()
    return Period.including(
        date(day.year, 1, 1) if first is None else read_first_day(first),
        read_last_day(f"{day:%Y-%m}") if last is None else read_last_day(last),
    )


def _check_language(language: str) -> None:
    if language not in ("nl", "en"):
        raise typer.BadParameter(f"there are no reports in {language!r}; use nl or en", param_hint="--lang")


def _print_usage(found: Usage) -> None:
    console = _console()
    title = f"{found.period.start} to {found.period.last}, {found.party or 'all parties'}"
    _print_lines(console, title, [*found.months, found.total])
    for heading, lines in (
        ("party", found.parties),
        ("hash type", found.types),
        ("set", found.sets),
        ("category", found.categories),
        ("type and distance", found.distances),
    ):
        _print_lines(console, f"by {heading}", lines)
    if found.entries is None:
        console.print("Figures about entries are kept by month; they need a period of whole months.")
        return
    entries = found.entries
    for heading, groups in (
        ("entries by the number of parties that had them", entries.parties),
        ("entries by how often they were matched", entries.repeats),
        ("entries by their age when they were first hit", entries.ages),
        ("the most repeated entries, together", entries.tops),
    ):
        rows = [(group.name, _number(group.entries), _number(group.matches)) for group in groups]
        _print_table(console, heading, ("", "entries", "matches"), rows)
    _print_repeated(console, found)
    if found.never_hit is not None:
        never = [
            (line.set, _number(line.entries), _number(line.hit), _number(line.never)) for line in found.never_hit
        ]
        _print_table(console, "entries that never hit", ("set", "entries", "hit", "never"), never)


def _console() -> Console:
    """As wide as the tables need where no terminal limits it."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=140)


def _print_lines(console: Console, title: str, lines: list[Line]) -> None:
    headings = ("", "checked", "hits", "per million", "matches", "entries", "repeats", "first time")
    rows = [
        (
            line.name or "(none)",
            _number(line.checked),
            _number(line.hits),
            "" if line.per_million is None else f"{line.per_million:,.1f}",
            *map(_number, (line.matches, line.entries, line.repeats, line.fresh)),
        )
        for line in lines
    ]
    _print_table(console, title, headings, rows)


def _print_repeated(console: Console, found: Usage) -> None:
    from hashserver.reports.figures.export import entry_name

    assert found.entries is not None
    rows = [
        (f"{one.set} {entry_name(one)}", one.category or "", _number(one.matches), _number(one.parties))
        for one in found.entries.most_repeated
    ]
    _print_table(console, "most repeated entries", ("entry", "category", "matches", "parties"), rows)


def _print_table(console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place == 0 or heading == "category" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
