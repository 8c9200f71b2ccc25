"""The client of a hashserver: `Client` for threads, `AsyncClient` for asyncio, with equal answers.

with Client("https://hashes.example.org", key) as client:
    result = client.check(md5=["9e107d9d372bb6826bd81d3542a419d6"], pdq=digests)
for match in result.matches:
    print(match.type, match.index, match.distance, match.entries)
"""

from __future__ import annotations

from hashserver.client.asynchronous import AsyncClient
from hashserver.client.errors import ClientError
from hashserver.client.hashes import Hashes
from hashserver.client.protocol import Verdict
from hashserver.client.results import CheckResult, Entry, Invalid, Match
from hashserver.client.sync import Client

__all__ = ["AsyncClient", "CheckResult", "Client", "ClientError", "Entry", "Hashes", "Invalid", "Match", "Verdict"]
