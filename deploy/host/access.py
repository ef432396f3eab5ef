"""Who may ask: this machine alone, unless a token or a source range is set."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.host.errors import HttpError, send_error

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AccessError(ValueError):
    """The host would be open to anybody."""


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """The rule for every request: from an allowed network, or with the token.

    Attributes:
        token: what ``Authorization: Bearer`` must hold; ``None`` if there is no token.
        networks: source ranges that need no token (CVAT sends none).
    """

    token: str | None
    networks: tuple[Network, ...]

    @classmethod
    def make(cls, host: str, token: str | None, allow: Sequence[str]) -> Access:
        """Make the rule for listening on `host`.

        Raises:
            AccessError: open to anybody, an empty token, or a range that is none.
        """
        if token is not None and not token.strip():
            raise AccessError("the token is empty: put a long random text into its environment variable")
        networks = tuple(_network(text) for text in allow)
        if not is_loopback(host) and token is None and not networks:
            raise AccessError(
                f"--host {host} can be reached from other machines: name who may ask, with --allow CIDR (for a CVAT in"
                " Docker its network, such as 172.16.0.0/12) or --token-env NAME"
            )
        loopback = () if token else (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
        return cls(token, networks + loopback)

    def permits(self, client: str | None, authorization: str) -> bool:
        """Whether a request from the address `client` with this ``Authorization`` header may pass."""
        return self._from_network(client) or self._has_token(authorization)

    def _from_network(self, client: str | None) -> bool:
        try:
            address = ipaddress.ip_address(client or "")
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self.networks)

    def _has_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if self.token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self.token.encode())


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise AccessError(f"--allow {text}: expected a source range such as 172.16.0.0/12 ({error})") from error
    if network.prefixlen == 0:
        raise AccessError(f"--allow {text} is everybody: name a range, or use --token-env")
    return network


class Guard:
    """ASGI middleware that lets pass what `Access` permits."""

    def __init__(self, app: Any, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 401 or 403, or hand the request on."""
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", [])}
        client = (scope.get("client") or (None,))[0]
        if self._access.permits(client, headers.get(b"authorization", "")):
            await self._app(scope, receive, send)
        else:
            await send_error(scope, send, self._refusal(client))

    def _refusal(self, client: str | None) -> HttpError:
        if self._access.token:
            message = "send the host's token as `Authorization: Bearer TOKEN`"
            return HttpError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})
        return HttpError(403, "forbidden", f"{client} is in none of the ranges that --allow names")
