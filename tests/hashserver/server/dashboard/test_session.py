"""Tokens of sessions."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver.server.dashboard.session import SESSION_SECONDS, Session, SessionSigner

SIGNER = SessionSigner(b"s" * 32)


def test_a_token_says_who_signed_in_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    token = SIGNER.issue(7, 12)
    assert SIGNER.read(token) == Session(7, 12)
    now += SESSION_SECONDS - 1
    assert SIGNER.read(token) == Session(7, 12)
    now += 2
    assert SIGNER.read(token) is None
    now -= SESSION_SECONDS + 3600
    assert SIGNER.read(token) is None, "it is from the future"


def test_no_two_tokens_are_alike_and_another_folder_reads_none() -> None:
    assert SIGNER.issue(7, 12) != SIGNER.issue(7, 12)
    assert SessionSigner(b"t" * 32).read(SIGNER.issue(7, 12)) is None


@given(st.integers(0, 10_000), st.sampled_from("ABCDwxyz0189-_=+/. é\0"))
def test_a_changed_token_is_nobody(place: int, character: str) -> None:
    token = SIGNER.issue(7, 12)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert (SIGNER.read(changed) is not None) == (changed == token)


@given(st.integers(0, 10_000), st.sampled_from("AB-_=+/. \n\0"))
def test_a_token_with_something_added_or_cut_off_is_nobody(place: int, character: str) -> None:
    token = SIGNER.issue(7, 12)
    place %= len(token) + 1
    assert SIGNER.read(token[:place] + character + token[place:]) is None
    assert SIGNER.read(token[:place]) is None or place == len(token)


@pytest.mark.parametrize(("issued", "respelled"), [("_", "/"), ("-", "+")])
def test_a_token_has_one_spelling(issued: str, respelled: str) -> None:
    tokens = (SIGNER.issue(7, 12) for _ in range(10_000))
    token = next(token for token in tokens if issued in token.rpartition(".")[2])
    assert SIGNER.read(token.replace(issued, respelled)) is None


def test_bits_that_base64_leaves_over_are_as_they_were_issued() -> None:
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = SIGNER.issue(7, 12)
    others = [token[:-1] + digit for digit in digits if digit != token[-1]]
    assert [other for other in others if SIGNER.read(other) is not None] == []


@given(st.text(max_size=200))
def test_any_text_is_nobody(text: str) -> None:
    assert SIGNER.read(text) is None
    assert not SIGNER.is_form_token(SIGNER.issue(7, 12), text)


def test_a_form_token_belongs_to_one_session() -> None:
    one, other = SIGNER.issue(7, 12), SIGNER.issue(7, 12)
    assert SIGNER.is_form_token(one, SIGNER.form_token(one))
    assert not SIGNER.is_form_token(other, SIGNER.form_token(one))
    assert SIGNER.form_token(one) not in one
