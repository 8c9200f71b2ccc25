"""Who may ask: parties, their keys, permissions and limits."""

from hashserver.parties.directory import Directory
from hashserver.parties.party import LOCAL, PERMISSIONS, Party

__all__ = ["LOCAL", "PERMISSIONS", "Directory", "Party"]
