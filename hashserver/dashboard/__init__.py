"""Pages for people: what is checked, what matches, what is served, and what needs attention."""

from hashserver.dashboard.routes import router
from hashserver.dashboard.state import Dashboard

__all__ = ["Dashboard", "router"]
