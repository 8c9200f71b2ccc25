"""Pages for people: what is checked, what matches, what is served, and what needs attention."""

from hashserver.server.dashboard.routes import router
from hashserver.server.dashboard.state import Dashboard

__all__ = ["Dashboard", "router"]
