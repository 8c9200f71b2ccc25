"""Opening the store of the data folder."""

from __future__ import annotations

from hashcore import Limits, Store
from hashserver.settings import Settings


def open_store(settings: Settings) -> Store:
    """Open the store in `data_dir` of the settings, with their limits; it is created if missing."""
    limits = Limits(
        run_bytes=settings.load_memory_bytes,
        keep_generations=settings.keep_generations,
        reserve_bytes=settings.disk_reserve_bytes,
    )
    return Store(settings.data_dir, map_size=settings.map_size_bytes, limits=limits)
