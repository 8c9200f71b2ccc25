"""The pages of the documentation, for tests: their code blocks, links and headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = frozenset({"commands.md", "settings.md", "reference.md"})
"""Pages that are made from the code, and tested where they are made."""

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
WRITTEN = [page for page in PAGES if page.name not in GENERATED]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Args:
        page: that it is on.
        line: of its opening fence, counted from 1.
        section: the heading above it.
        language: the first word after the fence.
        options: the other words, as NAME=VALUE. `no-test=REASON`: it cannot run, and why.
            `reads-as=FORMAT`: a listing, and the format it is detected as. `request=PATH`: a body
            that the server takes there.
        text: what is between the fences.
    """

    page: Path
    line: int
    section: str
    language: str
    options: dict[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str, option: str | None = None) -> list[Block]:
    """All blocks that are tested, of these languages and with this option where given."""
    return [
        block
        for page in WRITTEN
        for block in blocks_of(page)
        if "no-test" not in block.options
        and (not languages or block.language in languages)
        and (option is None or option in block.options)
    ]


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    section, opened, lines = "", None, []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            if opened is None:
                opened, lines = (number, line[3:].split()), []
            else:
                at, words = opened
                options = dict(word.partition("=")[::2] for word in words[1:])
                yield Block(page, at, section, "".join(words[:1]), options, "".join(lines))
                opened = None
        elif opened is not None:
            lines.append(line + "\n")
        elif line.startswith("#"):
            section = line.lstrip("#").strip()
    assert opened is None, f"{page.name}: the block of line {opened[0]} has no end"


def prose_of(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline_code(page: Path) -> list[str]:
    """The code within the prose of a page, each on one line."""
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose_of(page))]


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def commands_in(text: str) -> list[str]:
    """The commands of a script, or of a session with `$ ` as prompt; continued lines are joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = joined.splitlines()
    if any(line.startswith("$ ") for line in lines):
        return [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def calls_of_hashserver(command: str) -> Iterator[list[str]]:
    """The arguments of each call of hashserver within a command, through pipes and wrappers."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    simple: list[str] = []
    for token in [*lexer, "|"]:
        if not set(token) <= set("|&;"):
            simple.append(token)
            continue
        words = list(_without_wrappers(_without_redirections(simple)))
        if words and words[0].rpartition("/")[2] == "hashserver" and "$@" not in words:
            yield words[1:]
        simple = []


def _without_redirections(words: list[str]) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        if set(word) <= set("<>"):
            next(rest)
        else:
            yield word


def _without_wrappers(words: Iterator[str]) -> Iterator[str]:
    begun = False
    for word in words:
        if not begun and (word in ("exec", "env") or re.match(r"\w+=", word)):
            continue
        begun = True
        yield word
