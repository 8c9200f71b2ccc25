"""The one error of the client."""

from __future__ import annotations

from hashserver.errors import Trouble


class ClientError(Trouble):
    """The server cannot be reached, or does not answer as it should; the message says what to do.

    Args:
        message: the sentence.
        refused: the server has answered, and trying again will not help.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
