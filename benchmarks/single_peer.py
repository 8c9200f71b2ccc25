"""The peer of the single-hash benchmark: FastAPI and one lmdb get, without parties or ledger."""

from __future__ import annotations

import socket
import sys

import lmdb
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

app = FastAPI()
environment = lmdb.open(sys.argv[1], readonly=True, lock=False)


@app.get("/readyz")
def readyz() -> dict[str, bool]:
    return {"ready": True}


@app.post("/v1/check/md5", response_class=PlainTextResponse)
async def check(request: Request) -> str:
    key = bytes.fromhex((await request.body()).decode())
    with environment.begin() as transaction:
        return "false" if transaction.get(key) is None else "true"


if __name__ == "__main__":
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, http="httptools", loop="uvloop", access_log=False, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])
