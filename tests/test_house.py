"""The house of docs/architecture.md: which side may import which, and one name for one thing.

All imports count, those inside functions and for type checkers only as well: what a reader has to
follow does not depend on when it is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LOOSE = 9

# Sides by what they may import: a side imports itself, and what stands below it.
SIDES = (
    {"app", "cli", "__main__", "bench"},
    {"server"},
    {"sets", "provider", "reports", "data_folder"},
    {"parties"},
    {"ledger", "client", "readers"},
    {"settings", "times", "processes", "kernels", "csv_writer", "errors", "__init__"},
)
CORE_SIDES = (
    {"store", "warmup", "__init__"},
    {"changes", "verifying"},
    {"reading"},
    {"text", "exact", "near", "pictures", "disk"},
    {"arrays"},
    {"errors", "hashtypes", "rows"},
)


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for top, package in ((ROOT, "hashserver"), (ROOT / "core", "hashcore")):
        for path in sorted((top / package).rglob("*.py")):
            name = ".".join(path.relative_to(top).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text("utf-8"))


@cache
def arrows() -> dict[str, frozenset[str]]:
    """The modules of ours that each module names in its imports."""
    return {name: frozenset(_imports(name)) - {name} for name in modules()}


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in modules())
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import"
            for each in node.names:
                full = f"{node.module}.{each.name}"
                if full in modules():
                    yield full
                elif node.module in modules():
                    yield str(node.module)


def _side(name: str, sides: tuple[set[str], ...]) -> int:
    part = name.split(".")[1] if "." in name else "__init__"
    for number, side in enumerate(sides):
        if part in side:
            return number
    raise AssertionError(f"{name} belongs to no side; give it a place here and in docs/architecture.md")


def _circle() -> list[str]:
    """Modules that import each other in a circle, or none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(arrows()[name]):
            if found := visit(other):
                return found
        path.pop()
        done.add(name)
        return []

    for name in modules():
        if found := visit(name):
            return found
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert _circle() == []


def test_the_engine_knows_nothing_of_the_server() -> None:
    wrong = [
        (name, other)
        for name, others in arrows().items()
        for other in others
        if name.startswith("hashcore") and other.startswith("hashserver")
    ]
    assert wrong == []


@pytest.mark.parametrize(("package", "sides"), [("hashserver", SIDES), ("hashcore", CORE_SIDES)])
def test_arrows_point_down(package: str, sides: tuple[set[str], ...]) -> None:
    wrong = [
        f"{name} -> {other}"
        for name, others in arrows().items()
        for other in sorted(others)
        if name.split(".")[0] == other.split(".")[0] == package
        if other != package and _side(name, sides) > _side(other, sides)
    ]
    assert wrong == []


def test_sides_of_one_floor_do_not_depend_on_each_other_in_a_circle() -> None:
    between: dict[str, set[str]] = {}
    for name, others in arrows().items():
        here = ".".join(name.split(".")[:2])
        between.setdefault(here, set()).update(".".join(other.split(".")[:2]) for other in others)
    wrong = [
        (here, there)
        for here, others in between.items()
        for there in others
        if here < there and here in between.get(there, set()) and "." in here and "." in there
    ]
    assert wrong == []


def test_few_modules_stand_outside_a_folder() -> None:
    loose = [path.name for path in (ROOT / "hashserver").glob("*.py") if not path.name.startswith("__")]
    assert len(loose) <= MOST_LOOSE, sorted(loose)


# Clients name what they are told as the server does, and others import both.
TWICE = {"Entry", "Match", "Invalid"}


def test_a_class_name_stands_for_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for name in modules():
        for node in tree_of(name).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    double = {name: where for name, where in places.items() if len(where) > 1}
    for name, where in list(double.items()):
        ours = [each for each in where if not each.startswith("hashserver.client.")]
        if name in TWICE and len(ours) <= 1 and len(where) == 2:
            del double[name]
    assert double == {}


def _public(name: str) -> Iterator[tuple[str, str | None]]:
    for node in tree_of(name).body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        yield node.name, ast.get_docstring(node)
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
                yield f"{node.name}.{inner.name}", ast.get_docstring(inner)


@pytest.mark.parametrize("name", [name for name in modules() if not name.startswith("hashserver.cli")])
def test_public_docstrings_say_more_than_the_name(name: str) -> None:
    poor = []
    for each, docstring in _public(name):
        said = set((docstring or "").lower().replace(".", " ").split())
        named = set(each.lower().replace(".", " ").replace("_", " ").split())
        if len(said - named - {"the", "a", "an", "of", "to", "is", "and"}) < 2:
            poor.append(each)
    assert poor == []
