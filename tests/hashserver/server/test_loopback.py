"""Which addresses are this machine's own."""

from __future__ import annotations

import pytest

from hashserver.server.loopback import came_over_loopback, listens_on_loopback_only


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *(("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.7", False), ("2001:db8::1", False)),
    ],
)
def test_who_can_reach_an_address(host: str, alone: bool) -> None:
    assert listens_on_loopback_only(host) is alone


@pytest.mark.parametrize(
    ("server", "local"),
    [
        (("127.0.0.1", 8080), True),
        (("::1", 8080), True),
        (("::ffff:127.0.0.1", 8080), True),
        (("/run/hashserver.sock", None), True),
        (("192.0.2.7", 8080), False),
        (("::ffff:192.0.2.7", 8080), False),
        (("fe80::1%eth0", 8080), False),
        (("a name", 8080), False),
        (None, False),
    ],
)
def test_what_a_connection_was_made_to(server: tuple[str, int | None] | None, local: bool) -> None:
    assert came_over_loopback(server) is local
