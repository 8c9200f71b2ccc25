"""Where compiled kernels are kept between runs; to be chosen before numba is first imported."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path


def choose_cache(folder: Path) -> None:
    """Say where compiled kernels are kept, before numba is first imported.

    Beside the source where that can be written, as numba does by itself; else in `folder`. A
    service often has no home, and an installation that it may not touch.
    """
    spec = find_spec("hashcore")
    places = spec.submodule_search_locations if spec else None
    if "NUMBA_CACHE_DIR" not in os.environ and not (places and os.access(places[0], os.W_OK)):
        os.environ["NUMBA_CACHE_DIR"] = os.fspath(folder.resolve() / "kernels")
