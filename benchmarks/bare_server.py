"""The batch check without parties and ledger: what accounting and authentication are measured against."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hashcore import Store
from hashserver.answers import to_json
from hashserver.bodies import parse_body
from hashserver.matching import check_request
from hashserver.problems import Limits
from hashserver.routes.body import read_body
from hashserver.warmup import warm_up


def main(folder: Path) -> None:
    store = Store(folder)
    warm_up(folder)
    limits = Limits()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/v2/check":
            await Response(b"{}")(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        body = await read_body(headers, receive, limits.max_body_bytes)
        asked = parse_body(headers[b"content-type"], "md5", body, limits)
        answer = check_request(store, asked, 1000)
        response = Response(to_json(answer), headers={"X-Request-Id": "none"}, media_type="application/json")
        await response(scope, receive, send)

    config = uvicorn.Config(
        app, port=0, http="httptools", loop="uvloop", lifespan="off", access_log=False, log_level="warning"
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}", flush=True)
        await serving

    asyncio.run(run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
