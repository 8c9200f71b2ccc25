"""The error of the reports."""

from __future__ import annotations

from hashserver.errors import BadInput


class ReportError(BadInput):
    """A report that cannot be written as asked; the message says why and what to do."""
