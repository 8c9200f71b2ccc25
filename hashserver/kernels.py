"""Where compiled kernels are cached between runs; must be chosen before numba is imported."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path


def choose_cache(folder: Path) -> None:
    """Choose where compiled kernels are cached, before numba is imported.

    They are cached beside the source if that is writable, as numba does by default, and in `folder`
    otherwise: services often have no home folder and may not write to the installation.
    """
    spec = find_spec("hashcore")
    places = spec.submodule_search_locations if spec else None
    if "NUMBA_CACHE_DIR" not in os.environ and not (places and os.access(places[0], os.W_OK)):
        os.environ["NUMBA_CACHE_DIR"] = os.fspath(folder.resolve() / "kernels")
