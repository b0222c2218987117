"""The sections of a mandate file about signatures, the web and MCP servers."""

from __future__ import annotations

import re
from typing import Any, Final

from safebox.firewall.behaviour.confusable import confusable, hidden_text
from safebox.firewall.core.arguments import BODY_MAX
from safebox.firewall.core.mandate import McpGrant, McpServer, SigningGrant, WebGrant, WebHost
from safebox.firewall.core.mcp import NAME_MAX
from safebox.firewall.core.messages import pattern_problem
from safebox.firewall.core.web import METHODS, PORT_MAX, address_class, host_kind
from safebox.firewall.errors import ConfigError
from safebox.firewall.mandate.section import Report, Section, as_list, show

LIST_MAX: Final = 1_000
PER_HOUR_MAX: Final = 100_000
MESSAGE_MAX: Final = 4_096

HOST_KEYS: Final = ("ports", "methods", "max_body")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_DOMAIN: Final = re.compile(r"[a-z0-9.-]{1,253}(?::[0-9]{1,5})?", re.ASCII)


def signing_grant(signing: Section) -> SigningGrant:
    """Messages that may be signed."""
    return SigningGrant(
        domains=signing.words("domains", "domains to sign in to", _domain, most=LIST_MAX),
        messages=signing.words("messages", "texts with {number}, {word} or {time} in them", _message, most=LIST_MAX),
    )


def _domain(text: str) -> str:
    if _DOMAIN.fullmatch(text) is None:
        raise ConfigError(f"{show(text)} is no domain in lower case")
    return text


def _message(text: str) -> str:
    problem = pattern_problem(text) if len(text) <= MESSAGE_MAX else f"it has more than {MESSAGE_MAX} characters"
    if problem is not None:
        raise ConfigError(f"{show(text)} is not accepted: {problem}")
    return text


def web_grant(report: Report, web: Section) -> WebGrant:
    """Web requests, each host a table `[web.hosts."NAME"]`."""
    hosts: list[WebHost] = []
    for name, value in web.table("hosts").items():
        where = ("web", "hosts", name)
        if problem := _host_problem(name):
            report.wrong(where, f"{show(name)} is not accepted: {problem}", "a host's exact name in lower case")
        elif not isinstance(value, dict):
            report.wrong(where, f"{show(value)} is not accepted", "a table with ports, methods and max_body")
        else:
            section = Section(report, where, value, HOST_KEYS)  # pyright: ignore[reportUnknownArgumentType]
            hosts.append(_host(section, name))
    return WebGrant(hosts=tuple(hosts), per_hour=web.whole("per_hour", 0, PER_HOUR_MAX))


def _host_problem(name: str) -> str | None:
    kind = host_kind(name)
    if kind == "odd":
        return "it looks like a pattern, and there are none" if "*" in name else "it is no plain name"
    if kind == "address" and address_class(name) != "public":
        return f"the address is {address_class(name)}, and such are never asked"
    return None


def _host(section: Section, name: str) -> WebHost:
    return WebHost(
        host=name,
        ports=section.read("ports", "a list of ports, as in [443]", (), lambda _, value: _ports(section, value)),
        methods=section.words("methods", f"methods out of {', '.join(METHODS)}", _method, most=len(METHODS)),
        max_body=section.whole("max_body", 0, BODY_MAX),
    )


def _ports(section: Section, value: Any) -> tuple[int, ...] | None:
    items = as_list(value)
    good = items is not None and all(type(item) is int and 0 < item <= PORT_MAX for item in items)
    if items is None or not good or len(set(items)) != len(items):
        section.wrong("ports", f"{show(value)} is not accepted", "a list of ports, each once, as in [443]")
        return None
    return tuple(items)


def _method(text: str) -> str:
    if text not in METHODS:
        raise ConfigError(f"{show(text)} is no method")
    return text


def mcp_grant(report: Report, mcp: Section) -> McpGrant:
    """MCP servers, each with the list of its tools."""
    servers: list[McpServer] = []
    for name in mcp.table("servers"):
        where = ("mcp", "servers", name)
        if _NAME.fullmatch(name) is None:
            report.wrong(where, f"{show(name)} is no server's name", "letters, digits, '.', '-' and '_'")
        elif other := confusable(name, [each.name for each in servers]):
            report.wrong(where, f"{show(name)} can be mistaken for {other!r}", "names that look different")
        else:
            section = Section(report, ("mcp", "servers"), mcp.table("servers"), (*mcp.table("servers"),))
            servers.append(McpServer(name=name, tools=section.words(name, "tools", _tool, most=LIST_MAX)))
    return McpGrant(servers=tuple(servers), per_hour=mcp.whole("per_hour", 0, PER_HOUR_MAX))


def _tool(text: str) -> str:
    if not 0 < len(text) <= NAME_MAX or hidden_text(text) or not text.isascii():
        raise ConfigError(f"{show(text)} is no tool's name")
    if "*" in text:
        raise ConfigError(f"{show(text)} looks like a pattern, and there are none")
    return text
