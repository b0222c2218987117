"""A child's mandate is a part of its parent's, field by field; whatever is more is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safebox.firewall.core.action import canonical
from safebox.firewall.core.lineage import lineage_facts
from safebox.firewall.core.mandate import (
    ApprovalsGrant,
    ContractGrant,
    LineageGrant,
    MailGrant,
    Mandate,
    McpGrant,
    McpServer,
    Named,
    SigningGrant,
    TokenGrant,
    WebGrant,
    WebHost,
)
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.narrowing import Taken, wider
from safebox.firewall.core.tools import TOOLS
from tests.unit.connectors.actions import PAYEE
from tests.unit.connectors.actions import mandate as granted
from tests.unit.core.asked import TOKEN

ASSET = token_asset(TOKEN)
HOST = WebHost(host="a.example", ports=(443, 80), methods=("GET", "POST"), max_body=10)
TOKENS = TokenGrant(
    name="USDC",
    address=TOKEN,
    decimals=6,
    budget=Amount(100, ASSET),
    per_approval=Amount(50, ASSET),
    spenders=(Named(name="router", address=PAYEE),),
    payees=(Named(name="acme", address=PAYEE),),
    per_transfer=Amount(40, ASSET),
)
CONTRACT = ContractGrant(name="shop", address=PAYEE, functions=("buy()", "sell()"), value=Amount(5, "ETH"))
PARENT = msgspec.structs.replace(
    granted(cap=5, ceiling=10**19),
    tokens=(TOKENS,),
    contracts=(CONTRACT,),
    signing=SigningGrant(domains=("a.example",), messages=("hi {number}",)),
    mail=MailGrant(recipients=("a@b.example", "c@d.example"), per_hour=9, inbox=True),
    web=WebGrant(hosts=(HOST,), per_hour=9),
    mcp=McpGrant(servers=(McpServer(name="files", tools=("read", "list")),), per_hour=9),
    lineage=LineageGrant(children=3, depth=2, images=("base",), commands=(("true",),), per_hour=9),
    approvals=ApprovalsGrant(group="owners", needed=2, expires_s=3600, window_s=600),
)
CHILD = msgspec.structs.replace(
    PARENT, lineage=LineageGrant(children=2, depth=1, images=("base",), commands=(("true",),), per_hour=9)
)
OTHER = "0x" + "33" * 20


def child(section: str, **changes: Any) -> Mandate:
    return msgspec.structs.replace(CHILD, **{section: msgspec.structs.replace(getattr(CHILD, section), **changes)})


def token(**changes: Any) -> Mandate:
    return msgspec.structs.replace(CHILD, tokens=(msgspec.structs.replace(TOKENS, **changes),))


def contract(**changes: Any) -> Mandate:
    return msgspec.structs.replace(CHILD, contracts=(msgspec.structs.replace(CONTRACT, **changes),))


def test_a_part_of_it_is_no_wider() -> None:
    assert list(wider(PARENT, CHILD)) == []
    least = Mandate(agent="b", purpose="q", task_digest="sha256:1", expires="2098-01-01T00:00:00Z")
    assert list(wider(PARENT, least)) == []
    assert list(wider(least, least)) == []


WIDER = [
    (msgspec.structs.replace(CHILD, expires="2099-01-01T00:00:01Z"), "agent.expires"),
    (msgspec.structs.replace(CHILD, expires="whenever"), "agent.expires"),
    (child("wallet", chain="other"), "wallet.chain"),
    (child("wallet", chain_id=1), "wallet.chain_id"),
    (child("wallet", budget=Amount(10**18 + 1, "ETH")), "wallet.budget"),
    (child("wallet", per_transfer=Amount(10**17 + 1, "ETH")), "wallet.per_transfer"),
    (child("wallet", ceiling=None), "wallet.ceiling"),
    (child("wallet", ceiling=Amount(10**19 + 1, "ETH")), "wallet.ceiling"),
    (child("wallet", max_fee_per_gas=None), "wallet.max_fee_per_gas"),
    (child("wallet", payees={"supplier": OTHER}), "wallet.payees"),
    (token(address=OTHER), "tokens.USDC"),
    (token(decimals=18), "tokens.USDC.decimals"),
    (token(standard="erc721"), "tokens.USDC.standard"),
    (token(budget=Amount(101, ASSET)), "tokens.USDC.budget"),
    (token(per_approval=Amount(51, ASSET)), "tokens.USDC.per_approval"),
    (token(spenders=(Named(name="router", address=OTHER),)), "tokens.USDC.spenders"),
    (token(payees=(Named(name="acme", address=OTHER),)), "tokens.USDC.payees"),
    (token(per_transfer=Amount(41, ASSET)), "tokens.USDC.per_transfer"),
    (contract(address=OTHER), "contracts.shop"),
    (contract(functions=("buy()", "drain()")), "contracts.shop.functions"),
    (contract(value=Amount(6, "ETH")), "contracts.shop.value"),
    (child("signing", domains=("b.example",)), "signing.domains"),
    (child("signing", messages=("{word}",)), "signing.messages"),
    (child("mail", recipients=("x@y.example",)), "mail.recipients"),
    (child("mail", per_hour=10), "mail.per_hour"),
    (child("compute", provider="other"), "compute.provider"),
    (child("compute", images=("other",)), "compute.images"),
    (child("compute", commands=(("true",), ("false",))), "compute.commands"),
    (child("compute", budget=Amount(10**6 + 1, "USD")), "compute.budget"),
    (child("compute", instances=2), "compute.instances"),
    (child("compute", max_minutes=61), "compute.max_minutes"),
    (child("inference", models=("other",)), "inference.models"),
    (child("inference", tokens=Amount(10**5 + 1, "TOKEN")), "inference.tokens"),
    (child("inference", budget=Amount(10**6 + 1, "USD")), "inference.budget"),
    (child("web", per_hour=10), "web.per_hour"),
    (child("web", hosts=(HOST, msgspec.structs.replace(HOST, host="b.example"))), "web.hosts"),
    (child("web", hosts=(msgspec.structs.replace(HOST, ports=(8443,)),)), "web.hosts"),
    (child("web", hosts=(msgspec.structs.replace(HOST, methods=("PUT",)),)), "web.hosts"),
    (child("web", hosts=(msgspec.structs.replace(HOST, max_body=11),)), "web.hosts"),
    (child("mcp", per_hour=10), "mcp.per_hour"),
    (child("mcp", servers=(McpServer(name="files", tools=("write",)),)), "mcp.servers"),
    (child("mcp", servers=(McpServer(name="other", tools=("read",)),)), "mcp.servers"),
    (child("lineage", children=3), "lineage.children"),
    (child("lineage", depth=2), "lineage.depth"),
    (child("lineage", images=("other",)), "lineage.images"),
    (child("lineage", commands=(("false",),)), "lineage.commands"),
    (child("lineage", per_hour=10), "lineage.per_hour"),
    (child("lineage", per_hour=None), "lineage.per_hour"),
    (msgspec.structs.replace(CHILD, approvals=None), "approvals"),
    (child("approvals", group="friends"), "approvals.group"),
    (child("approvals", needed=1), "approvals.needed"),
    (child("approvals", window_s=60), "approvals.window_s"),
    (child("approvals", expires_s=3601), "approvals.expires_s"),
    (child("approvals", window_s=None), "approvals.window_s"),
]


@pytest.mark.parametrize(
    ("mandate", "field"), WIDER, ids=[f"{number} {field}" for number, (_, field) in enumerate(WIDER)]
)
def test_each_field_that_is_more_is_named(mandate: Mandate, field: str) -> None:
    assert list(wider(PARENT, mandate)) == [field]


@pytest.mark.parametrize("section", ["wallet", "signing", "mail", "compute", "inference", "web", "mcp", "lineage"])
def test_a_section_that_the_parent_lacks_is_wider_as_a_whole(section: str) -> None:
    parent = msgspec.structs.replace(PARENT, **{section: None})
    assert section in list(wider(parent, CHILD))


def test_tokens_that_the_parent_lacks_are_wider() -> None:
    assert list(wider(msgspec.structs.replace(PARENT, tokens=None), CHILD)) == ["tokens.USDC"]


def test_thresholds_of_the_parent_hold_for_the_child() -> None:
    def with_threshold(units: int | None) -> Mandate:
        amount = None if units is None else Amount(units, "ETH")
        return child("wallet", approve_above=amount)

    parent = msgspec.structs.replace(PARENT, wallet=with_threshold(5).wallet)
    assert list(wider(parent, with_threshold(5))) == []
    assert list(wider(parent, with_threshold(6))) == ["wallet.approve_above"]
    assert list(wider(parent, with_threshold(None))) == ["wallet.approve_above"]


def test_the_facts_name_what_the_child_would_take() -> None:
    small = msgspec.structs.replace(CHILD, tokens=None, compute=None, inference=None)
    facts = lineage_facts(PARENT, small, known=True, depth=1, depth_limit=2, taken=Taken(), tree=1, births=0)
    found: dict[str, Any] = msgspec.json.decode(canonical(facts))
    assert found["wider"] == []
    assert [(part["rail"], part["amount"]["asset"]) for part in found["budget"]] == [("wallet", "ETH")]


def test_a_child_is_asked_for_with_its_mandate_as_text() -> None:
    spawn = TOOLS["agent.spawn"].parse({"image": "base", "command": ["true"], "mandate": "[agent]", "input": "x"})
    assert spawn.mandate_digest.startswith("sha256:")
    assert spawn.payload() == b"[agent]\nx"


@pytest.mark.parametrize(
    ("above", "below", "fields"),
    [
        (5, None, ["budget.total"]),
        (5, 6, ["budget.total"]),
        (5, 5, []),
        (None, None, []),
    ],
)
def test_a_child_of_a_run_with_a_total_needs_one_that_is_no_higher(
    above: int | None, below: int | None, fields: list[str]
) -> None:
    parent, child_mandate = (
        msgspec.structs.replace(PARENT, lineage=None, total=None if each is None else Amount(each, "USD"))
        for each in (above, below)
    )
    assert list(wider(parent, child_mandate)) == fields
