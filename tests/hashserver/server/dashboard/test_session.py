"""Tokens of sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver.server.dashboard.session import SESSION_SECONDS, Signer

NOW = 1_800_000_000.0
SIGNER = Signer(b"s" * 32)


def test_a_token_says_who_signed_in_until_it_expires() -> None:
    token = SIGNER.issue(7, 12, NOW)
    session = SIGNER.read(token, NOW + SESSION_SECONDS - 1)
    assert session is not None
    assert (session.party, session.key, session.issued) == (7, 12, NOW)
    assert SIGNER.read(token, NOW + SESSION_SECONDS) is None
    assert SIGNER.read(token, NOW - 3600) is None  # from the future


def test_no_two_tokens_are_alike_and_another_folder_reads_none() -> None:
    assert SIGNER.issue(7, 12, NOW) != SIGNER.issue(7, 12, NOW)
    assert Signer(b"t" * 32).read(SIGNER.issue(7, 12, NOW), NOW) is None


@given(st.integers(0, 10_000), st.sampled_from("ABCDwxyz0189-_=+/ é"))
def test_a_changed_token_is_nobody(place: int, character: str) -> None:
    token = SIGNER.issue(7, 12, NOW)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert (SIGNER.read(changed, NOW) is not None) == (changed == token)


@pytest.mark.parametrize(("issued", "respelled"), [("_", "/"), ("-", "+")])
def test_a_token_has_one_spelling(issued: str, respelled: str) -> None:
    tokens = (SIGNER.issue(7, 12, NOW) for _ in range(10_000))
    token = next(token for token in tokens if issued in token)
    assert SIGNER.read(token.replace(issued, respelled), NOW) is None


@given(st.text(max_size=200))
def test_any_text_is_nobody(text: str) -> None:
    assert SIGNER.read(text, NOW) is None
    assert not SIGNER.is_form_token(SIGNER.issue(7, 12, NOW), text)


def test_a_form_token_belongs_to_one_session() -> None:
    one, other = SIGNER.issue(7, 12, NOW), SIGNER.issue(7, 12, NOW)
    assert SIGNER.is_form_token(one, SIGNER.form_token(one))
    assert not SIGNER.is_form_token(other, SIGNER.form_token(one))
    assert SIGNER.form_token(one) not in one
