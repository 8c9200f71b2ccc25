"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# Kernels compile at their first call, and machines are shared: how long an example takes says nothing.
settings.register_profile("hashserver", deadline=None)
settings.load_profile("hashserver")
