"""Compiling the kernels before the first request, once for all workers.

numba keeps compiled kernels on disk, keyed by source and CPU. Two processes that compile at the same
time may spoil each other's index, so workers take turns: the first compiles, the others load.
"""

from __future__ import annotations

import fcntl
import os
from importlib.util import find_spec
from pathlib import Path


def choose_cache(folder: Path) -> None:
    """Say where compiled kernels are kept, before numba is first imported.

    Beside the source where that can be written, as numba does by itself; else in `folder`. A service
    often has no home, and an installation that it may not touch.
    """
    spec = find_spec("hashcore")
    places = spec.submodule_search_locations if spec else None
    if "NUMBA_CACHE_DIR" not in os.environ and not (places and os.access(places[0], os.W_OK)):
        os.environ["NUMBA_CACHE_DIR"] = os.fspath(folder.resolve() / "kernels")


def warm_up(data_dir: Path) -> None:
    """Run every kernel that a check may need, on a little data, one worker at a time."""
    from hashcore import HASH_TYPES
    from hashcore.warmup import warm_kernels
    from hashserver.bodies import parse_body
    from hashserver.problems import Limits

    lock = os.open(data_dir, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        warm_kernels()
        for kind in HASH_TYPES.values():
            text = b"0" * kind.hex_digits
            for content_type, body in (
                ("application/octet-stream", bytes(kind.width)),
                ("text/plain", text),
                ("application/json", b'{"%s":["%s"]}' % (kind.name.encode(), text)),
            ):
                parse_body(content_type, kind.name, bytearray(body), Limits())
    finally:
        os.close(lock)
