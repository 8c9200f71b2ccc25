from __future__ import annotations

from hashserver.server.headers import headers_of


def test_headers_are_latin_1_and_the_last_of_each_name_counts() -> None:
    raw = [(b"accept", b"text/plain"), (b"x-request-id", b"r\xe9"), (b"accept", b"application/json"), (b"x", b"")]
    assert headers_of({"type": "http", "headers": raw}) == {
        b"accept": "application/json",
        b"x-request-id": "ré",
        b"x": "",
    }
