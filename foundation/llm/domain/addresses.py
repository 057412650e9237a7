"""Which addresses a provider key may be sent to. Pure: names are looked up elsewhere and judged here."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

MAX_LENGTH = 300


class BadAddress(ValueError):
    """The text is not an address of a provider; `str()` says why, for people."""


def checked_base_url(text: str, *, allow_private: bool) -> str:
    """The address in its plain form, without a trailing slash or `/v1`. Raises BadAddress.

    Plain http is only for addresses inside one's own network, and those only where the operator allows them.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH or any(c.isspace() or ord(c) < 32 for c in text):
        raise BadAddress("The address holds blanks or is too long.")
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise BadAddress("The address cannot be read. It looks like https://api.anthropic.com.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadAddress("The address must begin with https:// and a host, like https://api.anthropic.com.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("Leave names and passwords out of the address; the key has its own field.")
    if parts.query or parts.fragment:
        raise BadAddress("Leave out everything from ? or # on.")
    if not host.isascii():
        raise BadAddress("Write the host in its ASCII form, beginning with xn--.")
    private = looks_private(host)
    if private and not allow_private:
        raise BadAddress("This portal sends no keys into private networks. Give a public address.")
    if parts.scheme == "http" and not private:
        raise BadAddress("Use https://, or the key would travel in the open.")
    path = parts.path.rstrip("/")
    if path.endswith("/v1"):
        path = path.removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def looks_private(host: str) -> bool:
    """Whether a host, as written, names this machine or a private network.

    A name may still resolve to one.
    """
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa")):
        return True
    if (address := _as_address(host)) is not None:
        return not is_public(address)
    return "." not in host


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address | str) -> bool:
    """Whether an IP address is reachable from everywhere, looked at through IPv6 wrappings of IPv4."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(ip.ipv4_mapped)
        if ip.sixtofour is not None:
            return is_public(ip.sixtofour)
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return ip.is_global and not ip.is_multicast


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address a host is, also in the spellings that only resolvers read: 2130706433, 0x7f.1,
    0177.0.0.1."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    parts = host.split(".")
    if not 1 <= len(parts) <= 4 or not all(parts):
        return None
    numbers = []
    for part in parts:
        try:
            base = 16 if part.startswith("0x") else 8 if part.startswith("0") and len(part) > 1 else 10
            numbers.append(int(part, base))
        except ValueError:
            return None
    *head, last = numbers
    if any(n > 255 or n < 0 for n in head) or not 0 <= last < 256 ** (5 - len(numbers)):
        return None
    value = last
    for position, number in enumerate(head):
        value |= number << (24 - 8 * position)
    return ipaddress.IPv4Address(value)
