"""The proxy variables of the environment, usual and unusual."""

from __future__ import annotations

import os

import pytest

from hashserver.client import Client
from hashserver.client.errors import ClientError
from hashserver.client.proxies import proxy_for

SERVER = "https://hashes.example.org"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, SERVER, None),
        ({"HTTPS_PROXY": "http://p:1"}, SERVER, "http://p:1"),
        ({"https_proxy": "p:1"}, SERVER, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, SERVER, None),
        ({"ALL_PROXY": "http://p:1"}, SERVER, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "example.org"}, SERVER, None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": ".example.org"}, SERVER, None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "ample.org"}, SERVER, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, SERVER, None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "a, 10.0.0.0/8"}, "http://10.1.2.3:8080", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "10.1.2.3:8081"}, "http://10.1.2.3:8080", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "[fd00::1]"}, "http://[fd00::1]:8080", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "fd00::1"}, "http://[fd00::1]:8080", None),
        ({"NO_PROXY": "[::1]"}, SERVER, None),
        # This machine is asked directly, and a proxy that is not needed need not be one.
        ({"ALL_PROXY": "socks://p:1"}, "http://127.0.0.1:8080", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost:8080", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://[::1]:8080", None),
    ],
)
def test_the_proxy_is_that_of_the_environment(
    variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy
    Client(url).close()


@pytest.mark.parametrize(
    "proxy", ["socks://user:secret@p:1", "ftp://secret@p", "http://", "http://[secret", "socks5://p:1"]
)
def test_a_proxy_that_cannot_be_used_is_a_sentence_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setattr("hashserver.client.proxies.find_spec", lambda _name: None)
    with pytest.raises(ClientError, match=r"the proxy in ALL_PROXY .* NO_PROXY") as caught:
        Client(SERVER)
    assert "secret" not in str(caught.value)


def test_certificates_that_are_not_there_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    with pytest.raises(ClientError, match="SSL_CERT_FILE"):
        Client(SERVER)
