"""Web requests, normalised, and what the addresses behind a host are.

A URL has one reading or none. Whether its host may be asked at all is for policy: an odd spelling of an address is
shown as one, never put right.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Annotated, Any, Final, Literal

import msgspec

from safebox.firewall.core.arguments import BODY_MAX, Outgoing, decode_base64
from safebox.firewall.errors import CallerError

URL_MAX: Final = 8_192
"""What common servers accept (RFC 9110 4.1 asks for 8000 at least)."""
HEADERS_MAX: Final = 64
HEADER_MAX: Final = 8_192
PORT_MAX: Final = 65_535
HOST_MAX: Final = 253
"""RFC 1035 2.3.4, without the root's dot."""
PORTS: Final = {"http": 80, "https": 443}
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT")
"""RFC 9110 9.3 and RFC 5789; TRACE, which sends a request's headers back, is none of ours."""

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"]

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?:(?P<user>[^/?#@]*)@)?(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^/?#:@\[\]]{1,253})"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?",
    re.ASCII,
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^/?#:@\[\]]{1,253}):(?P<port>[0-9]{1,5})", re.ASCII)
_SHOWN: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_ENDS_IN_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)
"""A last label like this makes a browser read the whole as an IPv4 address (WHATWG URL, host parsing)."""
_TOKEN: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)

_METADATA: Final = frozenset(
    ipaddress.ip_address(each)
    for each in (
        "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
    )
)  # fmt: skip
"""Where clouds tell a machine who it is, some of them at public addresses."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE: Final = ipaddress.ip_network("::/96")


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One header, its name in lower case."""

    name: str
    value: Annotated[str, msgspec.Meta(max_length=HEADER_MAX)]


class AskWeb(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request as a proxy sees it; for CONNECT the URL is `host:port`."""

    method: Method
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=URL_MAX)]
    headers: Annotated[tuple[Header, ...], msgspec.Meta(max_length=HEADERS_MAX)] = ()
    body_base64: str = ""


class WebRequest(Outgoing, frozen=True, forbid_unknown_fields=True):
    """One request to one host. `scheme` is `connect` for a tunnel; `path` has the query with it."""

    method: Method
    scheme: Literal["http", "https", "connect"]
    host: str
    port: int
    path: str
    credentials: bool
    headers: tuple[Header, ...]
    body_base64: str
    body_bytes: int
    body_digest: str

    def payload(self) -> bytes:
        """What leaves with it: the path and every header, too."""
        lines = [self.host.encode(), self.path.encode()]
        lines += [f"{header.name}: {header.value}".encode() for header in self.headers]
        return b"\n".join([*lines, decode_base64(self.body_base64)])

    def payload_to(self) -> tuple[str, ...]:
        """Where it goes."""
        return (self.host,)


def normalise_web(ask: AskWeb) -> WebRequest:
    """Take the URL apart.

    Raises:
        CallerError: if it has no single reading, or a header or the body is none.
    """
    pattern = _AUTHORITY if ask.method == "CONNECT" else _URL
    if _SHOWN.fullmatch(ask.url) is None or "\\" in ask.url or (found := pattern.fullmatch(ask.url)) is None:
        raise CallerError("url must be http or https, in plain ASCII, without a fragment; host:port for CONNECT")
    parts = found.groupdict()
    scheme = parts.get("scheme") or "connect"
    port = int(parts["port"]) if parts["port"] else PORTS[scheme]
    if not 0 < port <= PORT_MAX:
        raise CallerError(f"there is no port {port}")
    body = decode_base64(ask.body_base64)
    if len(body) > BODY_MAX:
        raise CallerError("the body is too large", code="request.too_large")
    return WebRequest(
        method=ask.method,
        scheme=scheme,  # type: ignore[arg-type] # one of the three by the patterns
        host=parts["host"].lower().strip("[]"),
        port=port,
        path="" if scheme == "connect" else (parts.get("path") or "/") + (parts.get("query") or ""),
        credentials=parts.get("user") is not None,
        headers=tuple(_header(each) for each in ask.headers),
        body_base64=ask.body_base64,
        body_bytes=len(body),
        body_digest="sha256:" + hashlib.sha256(body).hexdigest(),
    )


def _header(header: Header) -> Header:
    name = header.name.lower()
    if (
        _TOKEN.fullmatch(name) is None
        or not header.value.isascii()
        or not header.value.replace("\t", " ").isprintable()
    ):
        raise CallerError("a header has a name or value that is none")
    return Header(name=name, value=header.value)


def host_kind(host: str) -> str:
    """What a host is: a `name`, an `address` in its usual spelling, or `odd`: something else that may become one."""
    try:
        if "%" not in host and str(ipaddress.ip_address(host)) == host:
            return "address"
    except ValueError:
        pass
    labels = host.split(".")
    named = len(host) <= HOST_MAX and len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
    return "name" if named and _ENDS_IN_NUMBER.fullmatch(labels[-1]) is None else "odd"


def address_class(text: str) -> str:
    """What an address is: `public`, or why nobody outside is there; `unknown` for what is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "unknown"
    for inner in _carried(address):
        if (found := address_class(inner)) != "public":
            return found
    reasons = {
        "metadata": address in _METADATA,
        "loopback": address.is_loopback or address.is_unspecified,
        "link_local": address.is_link_local,
        "multicast": address.is_multicast,
        "private": not address.is_global,
    }
    return next((reason for reason, holds in reasons.items() if holds), "public")


def _carried(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[str]:
    """The IPv4 addresses an IPv6 one leads to: mapped, compatible, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 0xFFFF):  # noqa: PLR2004 - not :: or ::1
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [str(each) for each in found if each is not None]


def web_facts(request: WebRequest, learned: Any) -> dict[str, Any]:
    """`facts.web`: what the host is, and every address it leads to now (`learned`), with its class; null if unknown."""
    kind = host_kind(request.host)
    known = [request.host] if kind == "address" else learned
    addresses = [{"address": str(each), "class": address_class(str(each))} for each in known] if known else None
    return {"host_kind": kind, "addresses": addresses}
