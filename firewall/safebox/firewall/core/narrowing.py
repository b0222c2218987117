"""Whether a child's mandate is no wider than its parent's, field by field.

Rule 1: each list is a part of the parent's list, each number at most the parent's, one generation less is below.
Rule 2: what the parent doesn't have can't be handed on; a limit that it has can't be left off.
Rule 3: what is counted is divided: children and instances that one child has, another can't have, too.
Rule 4: a field that nothing here compares is wider, whatever it says; so is one thing that is named twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from safebox.firewall.core.mandate import (
    ApprovalsGrant,
    ComputeGrant,
    ContractGrant,
    InferenceGrant,
    LineageGrant,
    MailGrant,
    Mandate,
    McpGrant,
    McpServer,
    Named,
    SigningGrant,
    TokenGrant,
    WalletGrant,
    WebGrant,
    WebHost,
)
from safebox.firewall.core.money import Amount


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What of a run's counted grants is with its children already, or in use by itself."""

    children: int = 0
    instances: int = 0


NOTHING: Final = Taken()
"""Of a run that has shared nothing out."""


def wider(parent: Mandate, child: Mandate, taken: Taken = NOTHING) -> Iterator[str]:
    """Every field in which a child's mandate grants more than its parent's still can."""
    if not _at_most(parent.total, child.total):
        yield "budget.total"
    for field in child.__struct_fields__:
        if field != "total":
            yield from _field(field, parent, child, taken)


def _field(field: str, parent: Mandate, child: Mandate, taken: Taken) -> Iterator[str]:
    match getattr(child, field):
        case None:
            if field == "approvals":
                yield from _no_approvals(parent, child)
        case things if field in _THINGS:
            yield from _things(field, getattr(parent, field) or (), things)
        case str() as text if field in _WORDS:
            if not _WORDS[field](getattr(parent, field), text):
                yield f"agent.{field}"
        case section if field in _SECTIONS:
            yield from _section(field, getattr(parent, field), section, _SECTIONS[field](taken))
        case _:
            yield field


Compared = Mapping[str, bool]
"""Field -> whether the child's is no wider."""


def _section(name: str, over: Any, under: Any, compare: Callable[[Any, Any], Compared]) -> Iterator[str]:
    if over is None:
        if name != "approvals":  # people who are asked although the parent needs to ask none are no grant
            yield name
        return
    yield from (f"{name}.{field}" for field in _more(over, under, compare))


def _more(over: Any, under: Any, compare: Callable[[Any, Any], Compared]) -> Iterator[str]:
    """The fields of one thing that are wider, or that nobody compared."""
    fits = compare(over, under)
    return (field for field in under.__struct_fields__ if not fits.get(field, False))


def _things(name: str, above: Sequence[Any], things: Sequence[Any]) -> Iterator[str]:
    """Tokens and contracts, told apart by their addresses."""
    by_address = {each.address: each for each in above}
    seen: set[str] = set()
    for each in things:
        over = by_address.get(each.address)
        if over is None or each.address in seen:
            yield f"{name}.{each.name}"
        else:
            yield from (f"{name}.{each.name}.{field}" for field in _more(over, each, _THINGS[name]))
        seen.add(each.address)


def _earlier(over: str, under: str) -> bool:
    return _moment(under) <= _moment(over)


def _moment(text: str) -> datetime:
    """A time that can't be read is later than any other."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _free(over: str, under: str) -> bool:
    """What grants nothing: a child has a name, a purpose and a task of its own."""
    return True


def _at_most(over: Amount | None, under: Amount | None) -> bool:
    """Whether a cap is no higher; no cap is the highest there is."""
    if over is None:
        return True
    return under is not None and under.asset == over.asset and under.units <= over.units


def _wallet(over: WalletGrant, under: WalletGrant) -> Compared:
    caps = (
        "budget", "per_transfer", "per_hour", "per_day", "ceiling", "max_fee_per_gas", "approve_above",
        "challenge_above",
    )  # fmt: skip
    return {
        "chain": under.chain == over.chain,
        "chain_id": under.chain_id == over.chain_id,
        "payees": set(under.payees.values()) <= set(over.payees.values()),
        **{cap: _at_most(getattr(over, cap), getattr(under, cap)) for cap in caps},
    }


def _token(over: TokenGrant, under: TokenGrant) -> Compared:
    once = under.per_transfer is None  # then nothing is paid at all
    return {
        "name": True,
        "address": under.address == over.address,
        "decimals": under.decimals == over.decimals,
        "standard": under.standard == over.standard,
        "budget": _at_most(over.budget, under.budget),
        "per_approval": _at_most(over.per_approval, under.per_approval),
        "ceiling": _at_most(over.ceiling, under.ceiling),
        "per_transfer": once or (over.per_transfer is not None and _at_most(over.per_transfer, under.per_transfer)),
        "spenders": _addresses(under.spenders) <= _addresses(over.spenders),
        "payees": _addresses(under.payees) <= _addresses(over.payees),
    }


def _addresses(named: Sequence[Named]) -> set[str]:
    return {each.address for each in named}


def _contract(over: ContractGrant, under: ContractGrant) -> Compared:
    return {
        "name": True,
        "address": under.address == over.address,
        "functions": set(under.functions) <= set(over.functions),
        "value": _at_most(over.value, under.value),
    }


def _signing(over: SigningGrant, under: SigningGrant) -> Compared:
    return {
        "domains": set(under.domains) <= set(over.domains),
        "messages": set(under.messages) <= set(over.messages),
    }


def _mail(over: MailGrant, under: MailGrant) -> Compared:
    return {
        "recipients": set(under.recipients) <= set(over.recipients),
        "per_hour": under.per_hour <= over.per_hour,
        "inbox": over.inbox or not under.inbox,
    }


def _compute(taken: Taken) -> Callable[[ComputeGrant, ComputeGrant], Compared]:
    return lambda over, under: {
        "provider": under.provider == over.provider,
        "images": set(under.images) <= set(over.images),
        "commands": set(under.commands) <= set(over.commands),
        "budget": _at_most(over.budget, under.budget),
        "instances": not under.instances or taken.instances + under.instances <= over.instances,
        "max_minutes": under.max_minutes <= over.max_minutes,
    }


def _inference(over: InferenceGrant, under: InferenceGrant) -> Compared:
    return {
        "models": set(under.models) <= set(over.models),
        "tokens": _at_most(over.tokens, under.tokens),
        "budget": _at_most(over.budget, under.budget),
    }


def _web(over: WebGrant, under: WebGrant) -> Compared:
    above = {each.host: each for each in over.hosts}
    hosts = all(each.host in above and not [*_more(above[each.host], each, _host)] for each in under.hosts)
    return {"hosts": hosts, "per_hour": under.per_hour <= over.per_hour}


def _host(over: WebHost, under: WebHost) -> Compared:
    return {
        "host": under.host == over.host,
        "ports": set(under.ports) <= set(over.ports),
        "methods": set(under.methods) <= set(over.methods),
        "max_body": under.max_body <= over.max_body,
    }


def _mcp(over: McpGrant, under: McpGrant) -> Compared:
    above = {each.name: each for each in over.servers}
    servers = all(each.name in above and not [*_more(above[each.name], each, _server)] for each in under.servers)
    return {"servers": servers, "per_hour": under.per_hour <= over.per_hour}


def _server(over: McpServer, under: McpServer) -> Compared:
    return {"name": under.name == over.name, "tools": set(under.tools) <= set(over.tools)}


def _lineage(taken: Taken) -> Callable[[LineageGrant, LineageGrant], Compared]:
    """A child's own children come out of what is left after it; that it fits itself is asked by policy."""
    return lambda over, under: {
        "children": not under.children or taken.children + 1 + under.children <= over.children,
        "depth": not under.depth or under.depth < over.depth,
        "images": set(under.images) <= set(over.images),
        "commands": set(under.commands) <= set(over.commands),
        "per_hour": over.per_hour is None or (under.per_hour is not None and under.per_hour <= over.per_hour),
    }


def _approvals(over: ApprovalsGrant, under: ApprovalsGrant) -> Compared:
    """Where the parent's payments need people, the child's need as many of the same, and silence as long."""
    silence = over.window_s is None or (under.window_s is not None and under.window_s >= over.window_s)
    return {
        "group": under.group == over.group,
        "needed": under.needed >= over.needed,
        "expires_s": under.expires_s <= over.expires_s,
        "window_s": silence,
    }


def _no_approvals(parent: Mandate, child: Mandate) -> Iterator[str]:
    pays = child.wallet is not None or child.tokens or child.contracts
    if parent.approvals is not None and pays:
        yield "approvals"


def _plain(compare: Callable[[Any, Any], Compared]) -> Callable[[Taken], Callable[[Any, Any], Compared]]:
    """A comparison for which it is all the same what is shared out."""
    return lambda _: compare


_WORDS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "agent": _free,
    "purpose": _free,
    "task_digest": _free,
    "expires": _earlier,
}
_THINGS: Final[Mapping[str, Callable[[Any, Any], Compared]]] = {"tokens": _token, "contracts": _contract}
_SECTIONS: Final[Mapping[str, Callable[[Taken], Callable[[Any, Any], Compared]]]] = {
    "wallet": _plain(_wallet),
    "signing": _plain(_signing),
    "mail": _plain(_mail),
    "compute": _compute,
    "inference": _plain(_inference),
    "web": _plain(_web),
    "mcp": _plain(_mcp),
    "lineage": _lineage,
    "approvals": _plain(_approvals),
}
