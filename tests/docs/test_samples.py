"""Samples in the documentation do what the pages say.

Every fenced block is run, parsed or read. One that cannot be has `no-test=REASON` after its
language.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import typer.main
import yaml
from pages import (
    PAGES,
    ROOT,
    WRITTEN,
    Block,
    blocks,
    blocks_of,
    calls_of_hashserver,
    commands_in,
    inline_code,
)
from serving import Server, environment, eventually, load, serving

from hashserver.cli.main import app
from hashserver.readers import choose_format, open_source, read_rows
from hashserver.settings import load_settings

LANGUAGES = frozenset(
    ("console", "csv", "ini", "json", "jsonl", "nginx", "python", "sh", "sql", "text", "toml", "xml", "yaml")
)
COMMAND_LINE = typer.main.get_command(app)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the entry that the pages ask about."""
    data = tmp_path_factory.mktemp("docs") / "data"
    load(data, "police", "md5,category,id\n9e107d9d372bb6826bd81d3542a419d6,baseline,A-17\n")
    with serving(data) as running:
        yield running


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_block_has_a_language_and_a_reason_if_it_is_not_tested(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, block
        assert block.options.keys() <= {"no-test", "reads-as", "request"}, block
        assert all(block.options.values()), block


# Python


@pytest.mark.parametrize("page", sorted({block.page for block in blocks("python")}), ids=lambda page: page.name)
def test_python_runs(page: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    examples = [block.text for block in blocks("python") if block.page == page]
    exec("\n".join(examples).replace("http://127.0.0.1:8080", server.url), {})
    if page.name == "client.md":
        out = capsys.readouterr().out
        assert len(examples) == 3
        assert "answered by generation 1" in out
        assert "md5 0 0 ['police']" in out
        assert "md5 number 1 was not checked: expected 32 hexadecimal digits, got 10" in out
        assert "{'md5': 1}" in out


# Commands


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_shell_is_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _commands() -> Iterator[tuple[str, list[str]]]:
    for block in blocks("sh", "console"):
        for command in commands_in(block.text):
            for arguments in calls_of_hashserver(command):
                yield f"{block} {shlex.join(arguments)}", arguments
    for block in blocks("ini"):
        for command in re.findall(r"^ExecStart=(.+)$", block.text, re.MULTILINE):
            for arguments in calls_of_hashserver(command):
                yield f"{block} {shlex.join(arguments)}", arguments


COMMANDS = list(_commands())


@pytest.mark.parametrize("arguments", [call for _, call in COMMANDS], ids=[name for name, _ in COMMANDS])
def test_commands_are_taken_by_the_command_line(arguments: list[str]) -> None:
    command, rest = _find(arguments)
    with contextlib.suppress(typer.Exit):  # as --version ends
        command.make_context("hashserver", rest)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_commands_within_sentences_exist(page: Path) -> None:
    for code in inline_code(page):
        if not code.startswith("hashserver ") or code == "hashserver test entry":
            continue
        command, rest = _find(shlex.split(code)[1:])
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        unknown = [word for word in rest if re.match(r"--?[a-z]", word) and word not in known]
        assert not unknown, code


def _find(arguments: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
    """The command that arguments begin with, and what follows it."""
    command, rest = COMMAND_LINE, list(arguments)
    while rest and not rest[0].startswith("-") and hasattr(command, "get_command"):
        context = command.make_context("hashserver", [], resilient_parsing=True)
        found = command.get_command(context, rest.pop(0))
        assert found is not None, f"there is no command {shlex.join(arguments)}"
        command = found
    return command, rest


# README.md


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_check_and_the_first_party(tmp_path: Path) -> None:
    sections = ("The first check", "The first party")
    found = [block for block in blocks_of(ROOT / "README.md") if block.section in sections]
    assert [block.section for block in found] == list(sections)
    command = tmp_path / ".venv" / "bin" / "hashserver"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m hashserver "$@"\n')
    command.chmod(0o755)
    with serving(tmp_path / "hashserver-data") as running:
        key = _run_session(found[0], running, tmp_path, environment())
        key = _run_session(found[1], running, tmp_path, environment())
        asked = {"md5": ["9e107d9d372bb6826bd81d3542a419d6"]}
        eventually(lambda: httpx.post(f"{running.url}/v2/check", json=asked).status_code == 401)
        headers = {"Authorization": f"Bearer {key}"}
        assert httpx.post(f"{running.url}/v2/check", json=asked, headers=headers).json()["matches"]


def _run_session(block: Block, running: Server, folder: Path, variables: dict[str, str]) -> str:
    """Type the commands of a session, compare what they print, and return the key among it."""
    key = ""
    joined = re.sub(r"\\\n\s*", "", block.text)
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        command = command.replace("127.0.0.1:8080", f"127.0.0.1:{running.port}").replace("hs_...", key)
        if command.startswith("export "):
            name, _, value = shlex.split(command, comments=True)[1].partition("=")
            variables[name] = value
            continue
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=variables, capture_output=True, text=True, check=True
        )
        if published := re.search(r"^generation (\d+) published", done.stdout, re.MULTILINE):
            eventually(partial(_serves, running, int(published[1])))
        _compare(done.stdout, expected)
        key = next(iter(re.findall(r"hs_\S+", done.stdout)), key)
    return key


def _serves(running: Server, generation: int) -> bool:
    return httpx.get(f"{running.url}/readyz").json()["generation"] == generation


def _compare(printed: str, expected: str) -> None:
    if expected.startswith("{"):
        told, shown = json.loads(printed), json.loads(expected)
        for name in ("store", "state"):  # of this store alone
            assert len(told.pop(name, "")) == len(shown.pop(name, "")), told
        assert told == shown
        return
    pattern = re.escape(expected.strip()).replace(r"hs_\.\.\.", r"hs_\S+")
    pattern = re.sub(r"in\\ \d+\\\.\d\\ s", r"in \\d+\\.\\d s", pattern)
    assert re.fullmatch(pattern, printed.strip()), printed


# What is sent and read


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("jsonl"), ids=str)
def test_json_lines_are_json(block: Block) -> None:
    assert [json.loads(line) for line in block.text.splitlines()]


@pytest.mark.parametrize("block", blocks(option="request"), ids=str)
def test_requests_are_taken_by_the_server(block: Block, server: Server) -> None:
    with server.client() as client:
        answer = client.post(block.options["request"], json=json.loads(block.text))
    assert answer.is_success, answer.text


@pytest.mark.parametrize("block", blocks(option="reads-as"), ids=str)
def test_listings_are_detected_and_read(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "listing"
    if block.language == "sql":
        with sqlite3.connect(file) as database:
            database.executescript(block.text)
        database.close()
    else:
        file.write_text(block.text, encoding="utf-8")
    rejects: list[object] = []
    with open_source(str(file)) as source:
        assert choose_format(source, None, None) == block.options["reads-as"]
        rows = list(read_rows(source, on_reject=rejects.append))
    assert rows
    assert not rejects


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_are_taken(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HASHSERVER_"):
            monkeypatch.delenv(name)
    file = tmp_path / "hashserver.toml"
    file.write_text(block.text)
    monkeypatch.setenv("HASHSERVER_CONFIG", str(file))
    assert load_settings().data_dir == Path("/srv/hashes")


@pytest.mark.parametrize("block", blocks("ini"), ids=str)
def test_units_of_systemd_are_read(block: Block) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.read_string(block.text)
    assert unit.sections()


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_yaml(block: Block) -> None:
    assert yaml.safe_load(block.text)


# Messages


def test_messages_that_are_explained_are_those_that_the_code_has() -> None:
    page = next(page for page in PAGES if page.name == "operating.md").read_text("utf-8")
    table = page.partition("| message | do |")[2].partition("\n\n")[0]
    messages = [code for row in table.splitlines()[2:] for code in re.findall("`([^`]+)`", row.split("|")[1])]
    assert len(messages) > 10
    sources = [*(ROOT / "hashserver").rglob("*.py"), *(ROOT / "core").rglob("*.py")]
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(source.read_text("utf-8") for source in sources))
    for message in messages:
        text = re.sub(r"^(data\.mdb|ledger\.sqlite|key-secret) ", "", message)
        for part in text.split("..."):
            assert message == "Bus error" or part.strip() in said, message
