"""The rails of a mandate in plain words: the parts each is told in, and those that lead outside by other protocols."""

from __future__ import annotations

import msgspec

from safebox.firewall.core.mandate import ContractGrant, McpGrant, SigningGrant, TokenGrant, WebGrant
from safebox.firewall.core.money import format_token


class Rail(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing an agent might do: what it may, and what it may not."""

    name: str
    granted: bool
    may: tuple[str, ...]
    may_not: tuple[str, ...]


def rail(name: str, may: list[str], may_not: list[str]) -> Rail:
    """A rail is granted if it has anything that may be done."""
    return Rail(name=name, granted=bool(may), may=tuple(may), may_not=tuple(may_not))


def count(number: int, noun: str) -> str:
    """A cap on a number of things."""
    return f"up to {number} {noun}{'' if number == 1 else 's'}"


def command_line(command: tuple[str, ...]) -> str:
    """A command as one line, with quotes where they are needed."""
    return " ".join(word if _plain(word) else ascii(word) for word in command)


def _plain(word: str) -> bool:
    return word.isascii() and word.isprintable() and " " not in word


def tokens_rail(tokens: tuple[TokenGrant, ...] | None) -> Rail:
    """Which contracts may be let take which tokens, and who may be paid in them."""
    may: list[str] = []
    for token in tokens or ():
        may += _token(token)
    if not may:
        return rail("tokens", [], ["pay in any token", "let anybody take any token"])
    return rail("tokens", may, ["pay anybody else in tokens", "let anybody else take tokens, or all of one"])


def _token(token: TokenGrant) -> list[str]:
    budget, at_once, paid = (
        format_token(amount, name=token.name, decimals=token.decimals)
        for amount in (token.budget, token.per_approval, token.per_transfer or token.per_approval)
    )
    may: list[str] = []
    if token.spenders and token.per_approval.units:
        may.append(f"let others take up to {budget} in all, {at_once} at once ({token.address})")
        may += [f"let {each.name}, {each.address}, take {token.name}" for each in token.spenders]
    if token.payees and token.per_transfer is not None and token.per_transfer.units:
        may.append(f"pay up to {budget} in all, with what others are let take, {paid} at once ({token.address})")
        may += [f"pay {each.name}, {each.address}, in {token.name}" for each in token.payees]
    return may


def contracts_rail(contracts: tuple[ContractGrant, ...] | None) -> Rail:
    """Which functions of which contracts may be called."""
    may = [
        f"call {each} of {contract.name}, {contract.address}, with {_at_most(contract)}"
        for contract in contracts or ()
        for each in contract.functions
    ]
    return rail("contracts", may, ["call any other function of a contract"] if may else ["call any contract"])


def _at_most(contract: ContractGrant) -> str:
    return f"up to {contract.value}" if contract.value.units else "no ether"


def signing_rail(signing: SigningGrant | None) -> Rail:
    """What may be signed that is no payment."""
    if signing is None or not (signing.domains or signing.messages):
        return rail("signing", [], ["sign any message"])
    may = [f"sign in to {domain}" for domain in signing.domains]
    may += [f"sign the text {message!a}" for message in signing.messages]
    return rail("signing", may, ["sign another message"])


def web_rail(web: WebGrant | None) -> Rail:
    """Which hosts may be asked what."""
    hosts = [] if web is None else [each for each in web.hosts if each.ports and each.methods]
    if web is None or not hosts or not web.per_hour:
        return rail("web", [], ["send any web request"])
    may = [f"send {count(web.per_hour, 'web request')} an hour"]
    for host in hosts:
        ports = ", ".join(str(port) for port in host.ports)
        body = f", with up to {host.max_body} bytes in each" if host.max_body else ", with nothing in them"
        may.append(f"send {', '.join(host.methods)} to {host.host}, port {ports}{body}")
    return rail("web", may, ["reach any other host, or an address inside a network"])


def mcp_rail(mcp: McpGrant | None) -> Rail:
    """Which tools of which servers may be called."""
    tools = [] if mcp is None else [(server.name, tool) for server in mcp.servers for tool in server.tools]
    if mcp is None or not tools or not mcp.per_hour:
        return rail("mcp", [], ["call any tool of an MCP server"])
    may = [f"call {count(mcp.per_hour, 'MCP tool')} an hour", *(f"call {tool} on {server}" for server, tool in tools)]
    return rail("mcp", may, ["call another tool, or one that changed since it was approved"])
