"""Opening the store as the settings say."""

from __future__ import annotations

from hashcore import Limits, Store
from hashserver.settings import Settings


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name."""
    limits = Limits(run_bytes=settings.load_memory_bytes, keep_generations=settings.keep_generations)
    return Store(settings.data_dir, map_size=settings.map_size_bytes, limits=limits)
