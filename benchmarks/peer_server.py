"""The peer of the HTTP benchmarks: the same job with FastAPI, pydantic and lmdb's getmulti."""

from __future__ import annotations

import socket
import sys

import lmdb
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
environment = lmdb.open(sys.argv[1], readonly=True, lock=False)


class Batch(BaseModel):
    md5: list[str]


@app.get("/readyz")
def readyz() -> dict[str, bool]:
    return {"ready": True}


@app.post("/v2/check")
def check(batch: Batch) -> dict[str, list[str]]:
    keys = [bytes.fromhex(text) for text in batch.md5]
    with environment.begin() as transaction, transaction.cursor() as cursor:
        return {"matches": [key.hex() for key, _ in cursor.getmulti(keys)]}


if __name__ == "__main__":
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, http="httptools", loop="uvloop", access_log=False, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])
