"""Child runs: what is asked for, and whether a child's mandate is no wider than its parent's.

A child gets a part of what its parent has: each list a part of the parent's list, each number at most the parent's, one
generation less below it. What the parent doesn't have can't be handed on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from safebox.firewall.core.arguments import BODY_MAX, COMMAND_MAX, Short
from safebox.firewall.core.mandate import (
    ApprovalsGrant,
    ComputeGrant,
    ContractGrant,
    InferenceGrant,
    LineageGrant,
    MailGrant,
    Mandate,
    McpGrant,
    SigningGrant,
    TokenGrant,
    WalletGrant,
    WebGrant,
)
from safebox.firewall.core.money import Amount

MANDATE_MAX: Final = 65_536
"""As much as a mandate file may have."""


class AskSpawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A child run as it is asked for: what to start, and its mandate file's text."""

    image: Short
    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=COMMAND_MAX)]
    mandate: Annotated[str, msgspec.Meta(min_length=1, max_length=MANDATE_MAX)]
    input: Annotated[str, msgspec.Meta(max_length=BODY_MAX)] | None = None


class Spawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A child run."""

    image: Short
    command: tuple[str, ...]
    mandate: str
    mandate_digest: str
    input: str | None

    def payload(self) -> bytes:
        """What the child is given."""
        return b"\n".join([self.mandate.encode(), (self.input or "").encode()])

    def payload_to(self) -> tuple[str, ...]:
        """Where it goes."""
        return ("spawn",)


def normalise_spawn(ask: AskSpawn) -> Spawn:
    """Name the mandate's text by its digest."""
    return Spawn(
        image=ask.image,
        command=ask.command,
        mandate=ask.mandate,
        mandate_digest="sha256:" + hashlib.sha256(ask.mandate.encode()).hexdigest(),
        input=ask.input,
    )


def lineage_facts(
    parent: Mandate, child: Mandate, *, known: bool, depth: int, depth_limit: int, children: int, tree: int
) -> dict[str, Any]:
    """`facts.lineage`.

    Args:
        parent: the mandate of the run that asks.
        child: the mandate the child would have.
        known: whether the ledger has the run that asks, live, and every run it descends from.
        depth: how deep the child would be; the run a human started is at 0.
        depth_limit: the deepest generation that any run above the child grants.
        children: how many children the run has had, ended ones too.
        tree: how many runs its tree has had, ended ones too.
    """
    return {
        "parent_known": known,
        "depth": depth,
        "depth_limit": depth_limit,
        "children": children,
        "tree": tree,
        "wider": list(wider(parent, child)),
        "budget": [
            {"rail": rail, "amount": Amount(units, asset)}
            for (rail, asset), units in sorted(child.grants().items())
            if units
        ],
    }


def wider(parent: Mandate, child: Mandate) -> Iterator[str]:
    """Every field in which a child's mandate grants more than its parent's."""
    if _moment(child.expires) > _moment(parent.expires):
        yield "agent.expires"
    yield from _section("wallet", parent.wallet, child.wallet, _wallet)
    yield from _tokens(parent.tokens or (), child.tokens or ())
    yield from _contracts(parent.contracts or (), child.contracts or ())
    yield from _section("signing", parent.signing, child.signing, _signing)
    yield from _section("mail", parent.mail, child.mail, _mail)
    yield from _section("compute", parent.compute, child.compute, _compute)
    yield from _section("inference", parent.inference, child.inference, _inference)
    yield from _section("web", parent.web, child.web, _web)
    yield from _section("mcp", parent.mcp, child.mcp, _mcp)
    yield from _section("lineage", parent.lineage, child.lineage, _lineage)
    yield from _approvals(parent, child)


def _moment(text: str) -> datetime:
    """A time that can't be read is later than any other."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _section(name: str, parent: Any, child: Any, fields: Any) -> Iterator[str]:
    if child is None:
        return
    if parent is None:
        yield name
        return
    for field, fits in fields(parent, child).items():
        if not fits:
            yield f"{name}.{field}"


def _at_most(parent: Amount | None, child: Amount | None) -> bool:
    """Whether a cap is no higher; no cap is the highest there is."""
    if parent is None:
        return True
    return child is not None and child.asset == parent.asset and child.units <= parent.units


def _wallet(parent: WalletGrant, child: WalletGrant) -> Mapping[str, bool]:
    caps = (
        "budget", "per_transfer", "per_hour", "per_day", "ceiling", "max_fee_per_gas", "approve_above",
        "challenge_above",
    )  # fmt: skip
    return {
        "chain": (child.chain, child.chain_id) == (parent.chain, parent.chain_id),
        "payees": set(child.payees.values()) <= set(parent.payees.values()),
        **{cap: _at_most(getattr(parent, cap), getattr(child, cap)) for cap in caps},
    }


def _tokens(parent: tuple[TokenGrant, ...], child: tuple[TokenGrant, ...]) -> Iterator[str]:
    by_address = {token.address: token for token in parent}
    for token in child:
        above = by_address.get(token.address)
        if above is None or (above.decimals, above.standard) != (token.decimals, token.standard):
            yield f"tokens.{token.name}"
            continue
        if not _at_most(above.budget, token.budget):
            yield f"tokens.{token.name}.budget"
        if not _at_most(above.per_approval, token.per_approval):
            yield f"tokens.{token.name}.per_approval"
        if not {each.address for each in token.spenders} <= {each.address for each in above.spenders}:
            yield f"tokens.{token.name}.spenders"
        if not {each.address for each in token.payees} <= {each.address for each in above.payees}:
            yield f"tokens.{token.name}.payees"
        if token.per_transfer is not None and (
            above.per_transfer is None or not _at_most(above.per_transfer, token.per_transfer)
        ):
            yield f"tokens.{token.name}.per_transfer"


def _contracts(parent: tuple[ContractGrant, ...], child: tuple[ContractGrant, ...]) -> Iterator[str]:
    by_address = {contract.address: contract for contract in parent}
    for contract in child:
        above = by_address.get(contract.address)
        if above is None:
            yield f"contracts.{contract.name}"
            continue
        if not set(contract.functions) <= set(above.functions):
            yield f"contracts.{contract.name}.functions"
        if not _at_most(above.value, contract.value):
            yield f"contracts.{contract.name}.value"


def _signing(parent: SigningGrant, child: SigningGrant) -> Mapping[str, bool]:
    return {
        "domains": set(child.domains) <= set(parent.domains),
        "messages": set(child.messages) <= set(parent.messages),
    }


def _mail(parent: MailGrant, child: MailGrant) -> Mapping[str, bool]:
    return {
        "recipients": set(child.recipients) <= set(parent.recipients),
        "per_hour": child.per_hour <= parent.per_hour,
        "inbox": parent.inbox or not child.inbox,
    }


def _compute(parent: ComputeGrant, child: ComputeGrant) -> Mapping[str, bool]:
    return {
        "provider": child.provider == parent.provider,
        "images": set(child.images) <= set(parent.images),
        "commands": set(child.commands) <= set(parent.commands),
        "budget": _at_most(parent.budget, child.budget),
        "instances": child.instances <= parent.instances,
        "max_minutes": child.max_minutes <= parent.max_minutes,
    }


def _inference(parent: InferenceGrant, child: InferenceGrant) -> Mapping[str, bool]:
    return {
        "models": set(child.models) <= set(parent.models),
        "tokens": _at_most(parent.tokens, child.tokens),
        "budget": _at_most(parent.budget, child.budget),
    }


def _web(parent: WebGrant, child: WebGrant) -> Mapping[str, bool]:
    above = {each.host: each for each in parent.hosts}
    hosts = all(
        (over := above.get(each.host)) is not None
        and set(each.ports) <= set(over.ports)
        and set(each.methods) <= set(over.methods)
        and each.max_body <= over.max_body
        for each in child.hosts
    )
    return {"hosts": hosts, "per_hour": child.per_hour <= parent.per_hour}


def _mcp(parent: McpGrant, child: McpGrant) -> Mapping[str, bool]:
    above = {server.name: set(server.tools) for server in parent.servers}
    servers = all(set(server.tools) <= above.get(server.name, set()) for server in child.servers)
    return {"servers": servers, "per_hour": child.per_hour <= parent.per_hour}


def _lineage(parent: LineageGrant, child: LineageGrant) -> Mapping[str, bool]:
    return {
        "children": child.children < parent.children or not child.children,
        "depth": child.depth < parent.depth or not child.depth,
        "images": set(child.images) <= set(parent.images),
        "commands": set(child.commands) <= set(parent.commands),
    }


def _approvals(parent: Mandate, child: Mandate) -> Iterator[str]:
    """Where the parent's payments need people, the child's need as many of the same."""
    over, under = parent.approvals, child.approvals
    if over is None or child.wallet is None:
        return
    if under is None or not _as_strict(over, under):
        yield "approvals"


def _as_strict(over: ApprovalsGrant, under: ApprovalsGrant) -> bool:
    windows = over.window_s is None or (under.window_s is not None and under.window_s >= over.window_s)
    return under.group == over.group and under.needed >= over.needed and under.expires_s <= over.expires_s and windows
