"""Who may look: this machine under its own name, and others with the token alone."""

from __future__ import annotations

import pytest

from harness.watch.access import Access, is_loopback

OWN = Access(is_open=False, token=None)
OPEN = Access(is_open=True, token="right")


@pytest.mark.parametrize(
    ("client", "host", "is_answered"),
    [
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1", "localhost:9000", True),  # through a tunnel, which has a port of its own
        ("127.0.0.1", "LocalHost", True),
        ("::1", "[::1]:8000", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "evil.example:8000", False),  # a name that its owner has turned to 127.0.0.1
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "127.0.0.1.evil.example:8000", False),
        ("127.0.0.1", "evil.example:80@localhost", False),
        ("127.0.0.1", "", False),
        ("192.0.2.7", "127.0.0.1:8000", False),
        ("192.0.2.7", "localhost", False),
        ("2001:db8::1", "[::1]:8000", False),
    ],
)
def test_this_machine_under_its_own_name(client: str, host: str, is_answered: bool) -> None:
    assert (OWN.refusal(client=client, host=host, token="") is None) is is_answered


@pytest.mark.parametrize(
    ("token", "is_answered"), [("right", True), ("", False), ("righ", False), ("r\u0131ght", False)]
)
def test_others_with_the_token(token: str, is_answered: bool) -> None:
    for client in ("192.0.2.7", "127.0.0.1"):
        assert (OPEN.refusal(client=client, host="node7:8000", token=token) is None) is is_answered


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("node7", False),
        ("", False),
    ],
)
def test_an_address_that_others_reach_has_a_token(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours
    access = Access.to(host, with_token=False)
    assert access.is_open is not is_ours
    assert (access.token is None) is is_ours
    assert Access.to(host, with_token=True).token


def test_no_two_tokens_are_alike() -> None:
    tokens = {Access.to("0.0.0.0", with_token=False).token for _ in range(100)}
    assert len(tokens) == 100
    assert min(len(token or "") for token in tokens) >= 32
