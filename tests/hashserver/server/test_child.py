"""A server that is started as a child is ready, or says why not; it is gone at the end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hashserver.server.child import NotStarted, plain_environment, running


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def run_and_fail(program: str, log: Path, patience: float = 60.0) -> None:
    with running(python(program), log, patience=patience):
        raise AssertionError("it is ready")


def test_one_that_ends_is_quoted(tmp_path: Path) -> None:
    program = "import sys; print('first', file=sys.stderr); sys.exit('the port is taken')"
    with pytest.raises(NotStarted, match="did not start: the port is taken"):
        run_and_fail(program, tmp_path / "log")


def test_one_that_ends_after_it_has_named_its_address_is_quoted(tmp_path: Path) -> None:
    program = "import sys; print('at http://127.0.0.1:9', flush=True); sys.exit('no store')"
    with pytest.raises(NotStarted, match="did not start: no store"):
        run_and_fail(program, tmp_path / "log")


@pytest.mark.parametrize("said", ["''", "'at http://127.0.0.1:9'"])
def test_one_that_hangs_is_ended(tmp_path: Path, said: str) -> None:
    program = f"import time; print({said}, end='\\n' if {said} else '', flush=True); time.sleep(600)"
    with pytest.raises(NotStarted, match=r"not ready within 0\.5 s: it logged nothing"):
        run_and_fail(program, tmp_path / "log", patience=0.5)


def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    program = """
import http.server, signal
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""
    with running(python(program), tmp_path / "log", grace=0.5) as child:
        assert child.process.poll() is None
        assert child.seconds > 0
        assert '"GET /readyz HTTP/1.1" 200' in child.log
    assert child.process.poll() == -9


def test_settings_of_this_process_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHSERVER_PORT", "80")
    assert not [name for name in plain_environment() if name.startswith("HASHSERVER_")]
