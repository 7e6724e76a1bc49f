"""Who may look."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from dataclasses import dataclass

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d+)?")


@dataclass(frozen=True)
class Access:
    """The rule by which a request is answered.

    Attributes:
      is_open: Whether other machines may ask.
      token: What every address must have in it; None for nothing.
    """

    is_open: bool
    token: str | None

    @staticmethod
    def to(host: str, *, with_token: bool) -> Access:
        """For a server at this address: what other machines reach asks for a token."""
        is_open = not is_loopback(host)
        return Access(is_open, secrets.token_urlsafe(24) if is_open or with_token else None)

    def refusal(self, *, client: str, host: str, token: str) -> str | None:
        """Why a request is not answered, for a person; None if it is.

        Args:
          client: The address it comes from.
          host: Its header Host, which is the name of another site where a page of that makes it.
          token: Of its address; empty if it has none.
        """
        if not self.is_open and not is_loopback(client):
            return "this page is for the machine that it runs on alone; 'harness watch --host ADDRESS' is for others"
        if not self.is_open and not is_loopback(_name_in(host)):
            return "this page has no such name; it is at http://127.0.0.1 or http://localhost, with its port"
        if self.token is not None and not hmac.compare_digest(token.encode(), self.token.encode()):
            return "the address lacks its token; copy the whole of what 'harness watch' has printed"
        return None


def is_loopback(host: str) -> bool:
    """Whether an address, or a name that always is one, is this machine's alone."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _name_in(host: str) -> str:
    """A header Host without its port; empty where it is none."""
    found = _HOST.fullmatch(host.strip())
    return found["name"].strip("[]") if found else ""
