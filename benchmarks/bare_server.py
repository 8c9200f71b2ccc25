"""The batch check without parties and ledger: the measure for what those cost.

It is the same application on the same event loop; but nobody is identified or charged, and nothing
is recorded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from hashserver.app import create_app
from hashserver.parties.party import LOCAL
from hashserver.server.bodies.request import CheckRequest
from hashserver.server.checks import Checked, check_request
from hashserver.server.parts import Caller, Parts
from hashserver.server.routes import check
from hashserver.settings import load_settings

_NOBODY = Caller(LOCAL, "none")


async def check_hashes(parts: Parts, caller: Caller, asked: CheckRequest) -> Checked:
    """Match, and nothing else."""
    return Checked(check_request(parts.store, asked, 1000), {"X-Request-Id": caller.request})


def main(folder: Path) -> None:
    """Serve on a free port of this machine, and print where."""
    check.identify = lambda parts, headers: _NOBODY  # type: ignore[assignment]
    check.check_hashes = check_hashes  # type: ignore[assignment]
    app = create_app(load_settings(data_dir=folder))
    config = uvicorn.Config(
        app, port=0, http="httptools", access_log=False, log_level="warning", server_header=False
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
