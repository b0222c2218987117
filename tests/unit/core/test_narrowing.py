"""Of any mandate at all: a part of it is no wider, and one field more is named, whichever field it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.narrowing import Taken, wider
from tests.unit.core.asked import TOKEN

TIMES: Final = ("2098-01-01T00:00:00Z", "2098-06-01T00:00:00Z", "2099-01-01T00:00:00Z")
NEVER: Final = "2100-01-01T00:00:00Z"
NUMBER: Final = st.integers(min_value=1, max_value=50)
WORDS: Final = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True).map(tuple)
LINES: Final = WORDS.map(lambda words: tuple((word, "-x") for word in words))
NAMED: Final = WORDS.map(lambda words: tuple(Named(name=word, address="0x" + word) for word in words))
TOKEN_ASSET: Final = token_asset(TOKEN)
replace: Final = msgspec.structs.replace


def amount(asset: str) -> st.SearchStrategy[Amount]:
    return NUMBER.map(lambda units: Amount(units, asset))


MANDATES: Final = st.builds(
    Mandate,
    agent=st.just("a"),
    purpose=st.just("p"),
    task_digest=st.just("sha256:0"),
    expires=st.sampled_from(TIMES),
    total=amount("USD"),
    wallet=st.builds(
        WalletGrant, chain=st.just("dev"), chain_id=NUMBER,
        payees=WORDS.map(lambda words: {word: "0x" + word for word in words}),
        **{
            cap: amount("ETH")
            for cap in ("budget", "per_transfer", "ceiling", "max_fee_per_gas", "approve_above", "challenge_above",
                        "per_hour", "per_day")
        },
    ),
    tokens=st.tuples(
        st.builds(
            TokenGrant, name=st.just("T"), address=st.just("0xt"), decimals=NUMBER, budget=amount(TOKEN_ASSET),
            per_approval=amount(TOKEN_ASSET), spenders=NAMED, standard=st.just("erc20"), payees=NAMED,
            per_transfer=amount(TOKEN_ASSET), ceiling=amount(TOKEN_ASSET),
        )
    ),
    contracts=st.tuples(
        st.builds(ContractGrant, name=st.just("C"), address=st.just("0xc"), functions=WORDS, value=amount("ETH"))
    ),
    signing=st.builds(SigningGrant, domains=WORDS, messages=WORDS),
    mail=st.builds(MailGrant, recipients=WORDS, per_hour=NUMBER, inbox=st.just(False)),
    compute=st.builds(
        ComputeGrant, provider=st.just("local"), images=WORDS, commands=LINES, budget=amount("USD"), instances=NUMBER,
        max_minutes=NUMBER,
    ),
    inference=st.builds(InferenceGrant, models=WORDS, tokens=amount("TOKEN"), budget=amount("USD")),
    web=st.builds(
        WebGrant, per_hour=NUMBER,
        hosts=st.tuples(st.builds(WebHost, host=st.just("h"), ports=st.just((443,)), methods=WORDS, max_body=NUMBER)),
    ),
    mcp=st.builds(
        McpGrant, per_hour=NUMBER, servers=st.tuples(st.builds(McpServer, name=st.just("s"), tools=WORDS))
    ),
    lineage=st.builds(
        LineageGrant, children=st.integers(min_value=2, max_value=50), depth=NUMBER, images=WORDS, commands=LINES,
        per_hour=NUMBER,
    ),
    approvals=st.builds(
        ApprovalsGrant, group=st.just("owners"), needed=st.integers(min_value=2, max_value=5), expires_s=NUMBER,
        window_s=NUMBER,
    ),
)  # fmt: skip


def more(value: Any) -> Any:
    """Something more than this: a larger number, another entry, another word."""
    match value:
        case bool():
            return True
        case int():
            return value + 1
        case str():
            return value + "!"
        case Amount():
            return Amount(value.units + 1, value.asset)
        case dict():
            return {**cast("dict[str, str]", value), "zz": "0xzz"}
        case _:
            return (*value, another(value[0]))


def another(entry: Any) -> Any:
    """An entry that no list of the parent has."""
    match entry:
        case Named():
            return Named(name="zz", address="0xzz")
        case WebHost():
            return replace(entry, host="zz")
        case McpServer():
            return replace(entry, name="zz")
        case tuple():
            return ("zz",)
        case _:
            return type(entry)(1)


def less(value: Any) -> Any:
    return value - 1


MORE: Final[dict[str, Callable[[Any], Any]]] = {"approvals.needed": less, "approvals.window_s": less}
"""Where less is more."""
FREE: Final = {"tokens.name", "contracts.name"}
"""What grants nothing."""
SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "wallet": WalletGrant, "tokens": TokenGrant, "contracts": ContractGrant, "signing": SigningGrant,
    "mail": MailGrant, "compute": ComputeGrant, "inference": InferenceGrant, "web": WebGrant, "mcp": McpGrant,
    "lineage": LineageGrant, "approvals": ApprovalsGrant,
}  # fmt: skip
FIELDS: Final = sorted(
    f"{section}.{field}"
    for section, kind in SECTIONS.items()
    for field in kind.__struct_fields__
    if f"{section}.{field}" not in FREE
)


LISTED: Final = ("tokens", "contracts")
"""The sections that are lists."""


def one_of(mandate: Mandate, section: str) -> Any:
    """A section, or the first of its list."""
    grant = getattr(mandate, section)
    return grant[0] if section in LISTED else grant


def put(mandate: Mandate, section: str, one: Any) -> Mandate:
    return replace(mandate, **{section: (one,) if section in LISTED else one})


def part_of(mandate: Mandate) -> Mandate:
    """The same for a child: one generation and one child less, as the only thing that can't be handed on whole."""
    assert mandate.lineage is not None
    children, depth = mandate.lineage.children - 1, mandate.lineage.depth - 1
    return replace(mandate, lineage=replace(mandate.lineage, children=children, depth=depth))


def smaller(draw: Callable[[st.SearchStrategy[Any]], Any], value: Any) -> Any:
    """A part of a list or a number, at random."""
    match value:
        case bool() | str():
            return value
        case int():
            return draw(st.integers(min_value=0, max_value=value))
        case Amount():
            return Amount(draw(st.integers(min_value=0, max_value=value.units)), value.asset)
        case _ if hasattr(value, "keys"):
            return value
        case _:
            return tuple(draw(st.lists(st.sampled_from(value), unique_by=repr)))


FEW: Final = settings(max_examples=25)
"""Where the fields that are tried matter, and hardly the values in them."""
FIXED: Final = {"wallet.chain_id", "tokens.decimals"}
"""What has to be the same."""


@st.composite
def narrowed(draw: Callable[[st.SearchStrategy[Any]], Any], parent: Mandate) -> Mandate:
    """Any part of a mandate: whole sections gone, the rest smaller, field by field."""
    child = part_of(parent)
    for section in SECTIONS:
        if section == "approvals":
            continue
        if draw(st.booleans()):
            child = replace(child, **{section: None})
            continue
        one = one_of(child, section)
        keys = [key for key in one.__struct_fields__ if f"{section}.{key}" not in FIXED]
        one = replace(one, **{key: smaller(draw, getattr(one, key)) for key in keys})
        child = put(child, section, one)
    return child


def widened(child: Mandate, name: str) -> Mandate:
    section, field = name.split(".")
    one = one_of(child, section)
    return put(child, section, replace(one, **{field: MORE.get(name, more)(getattr(one, field))}))


def said(name: str, mandate: Mandate) -> str:
    """How the comparison names a field."""
    section, field = name.split(".")
    if section not in LISTED:
        return name
    return f"{section}.{one_of(mandate, section).name}" + ("" if field == "address" else f".{field}")


@given(st.data())
def test_any_part_of_a_mandate_is_no_wider_and_a_part_of_that_is_not_either(data: st.DataObject) -> None:
    parent = data.draw(MANDATES)
    child = data.draw(narrowed(parent))
    assert list(wider(parent, child)) == []


@given(MANDATES, NUMBER)
def test_a_total_is_kept_or_made_smaller(parent: Mandate, units: int) -> None:
    assert parent.total is not None
    child = replace(part_of(parent), total=Amount(units, "USD"))
    assert list(wider(parent, child)) == (["budget.total"] if units > parent.total.units else [])
    assert list(wider(parent, replace(child, total=None))) == ["budget.total"]
    assert list(wider(replace(parent, total=None), child)) == []


@FEW
@given(st.data())
def test_one_field_more_is_named_whichever_it_is(data: st.DataObject) -> None:
    parent = data.draw(MANDATES)
    child = part_of(parent)
    for name in FIELDS:
        assert list(wider(parent, widened(child, name))) == [said(name, child)]


@FEW
@given(MANDATES, st.sampled_from([name for name in FIELDS if name.split(".")[0] not in ("tokens", "contracts")]))
def test_a_limit_that_the_parent_has_cannot_be_left_off(parent: Mandate, name: str) -> None:
    section, field = name.split(".")
    grant = getattr(parent, section)
    if isinstance(getattr(grant, field), Amount):
        child = part_of(parent)
        child = replace(child, **{section: replace(getattr(child, section), **{field: None})})
        assert list(wider(parent, child)) == [name]


@FEW
@given(MANDATES)
def test_each_section_the_parent_lacks_is_wider(parent: Mandate) -> None:
    child = part_of(parent)
    for section in SECTIONS.keys() - {"approvals"}:
        names = list(wider(replace(parent, **{section: None}), child))
        assert names == [{"tokens": "tokens.T", "contracts": "contracts.C"}.get(section, section)]


@FEW
@given(MANDATES, st.sampled_from(["agent", "purpose", "task_digest"]))
def test_a_child_has_a_name_a_purpose_and_a_task_of_its_own(parent: Mandate, field: str) -> None:
    assert list(wider(parent, replace(part_of(parent), **{field: "other"}))) == []


@FEW
@given(MANDATES)
def test_a_child_ends_no_later_and_no_later_than_can_be_read(parent: Mandate) -> None:
    for late in (NEVER, "whenever", "2099-01-01T00:00:00-01:00"):
        assert list(wider(parent, replace(part_of(parent), expires=late))) == ["agent.expires"]


def test_every_field_of_a_mandate_and_of_each_grant_is_tried_here() -> None:
    assert set(Mandate.__struct_fields__) == {*SECTIONS, "agent", "purpose", "task_digest", "expires", "total"}
    example = whole_mandate()
    for name in FIELDS:
        section, field = name.split(".")
        one = one_of(example, section)
        assert MORE.get(name, more)(getattr(one, field)) != getattr(one, field), name


def newer() -> Iterator[tuple[str, Mandate]]:
    """Mandates with one field that did not exist when the comparison was written."""
    example = part_of(whole_mandate())
    whole: Any = msgspec.defstruct("Newer", [("robots", int, 1)], bases=(Mandate,), frozen=True, kw_only=True)
    yield "robots", whole(**msgspec.structs.asdict(example))
    for section, kind in SECTIONS.items():
        grown = msgspec.defstruct("Grown", [("robots", int, 1)], bases=(kind,), frozen=True, kw_only=True)
        one: Any = grown(**msgspec.structs.asdict(one_of(example, section)))
        yield said(f"{section}.robots", example), put(example, section, one)
    host = msgspec.defstruct("Host", [("robots", int, 1)], bases=(WebHost,), frozen=True, kw_only=True)
    assert example.web is not None
    assert example.mcp is not None
    hosts = (host(**msgspec.structs.asdict(example.web.hosts[0])),)
    yield "web.hosts", replace(example, web=replace(example.web, hosts=hosts))
    server = msgspec.defstruct("Server", [("robots", int, 1)], bases=(McpServer,), frozen=True, kw_only=True)
    servers = (server(**msgspec.structs.asdict(example.mcp.servers[0])),)
    yield "mcp.servers", replace(example, mcp=replace(example.mcp, servers=servers))


def test_a_field_that_nobody_compares_is_wider_in_every_section() -> None:
    for name, child in newer():
        assert list(wider(whole_mandate(), child)) == [name]


@pytest.mark.parametrize("section", ["tokens", "contracts"])
def test_one_thing_named_twice_is_wider(section: str) -> None:
    child = part_of(whole_mandate())
    (one,) = getattr(child, section)
    assert list(wider(whole_mandate(), replace(child, **{section: (one, one)}))) == [f"{section}.{one.name}"]


def test_children_and_instances_are_divided_among_the_children() -> None:
    parent = whole_mandate(children=5, instances=3)
    child = whole_mandate(children=2, instances=2, depth=1)
    assert list(wider(parent, child, Taken(children=2, instances=1))) == []
    assert list(wider(parent, child, Taken(children=3, instances=1))) == ["lineage.children"]
    assert list(wider(parent, child, Taken(children=2, instances=2))) == ["compute.instances"]
    leaf = whole_mandate(children=0, instances=0, depth=1)
    assert list(wider(parent, leaf, Taken(children=5, instances=3))) == [], "policy says that no child is left"


def test_no_tree_of_children_has_more_than_its_root_was_given() -> None:
    """However it is divided, greedily in depth or in width."""
    for root in range(1, 12):
        assert grown(root, take=lambda left: left - 1) == root
        assert grown(root, take=lambda left: (left - 1) // 2) == root


def grown(children: int, take: Callable[[int], int]) -> int:
    """How many descendants there can be, if each child is given what `take` says of what is left."""
    parent, taken, count = whole_mandate(children=children, depth=50), 0, 0
    while taken < children:
        given_on = take(children - taken)
        child = whole_mandate(children=given_on, depth=49)
        assert list(wider(parent, child, Taken(children=taken))) == []
        count += 1 + grown(given_on, take)
        taken += 1 + given_on
    return count


def whole_mandate(*, children: int = 5, instances: int = 1, depth: int = 2) -> Mandate:
    """One mandate with every section."""
    eth, words = Amount(5, "ETH"), ("a",)
    return Mandate(
        agent="a", purpose="p", task_digest="sha256:0", expires=TIMES[0],
        wallet=WalletGrant(
            chain="dev", chain_id=1, budget=eth, per_transfer=eth, ceiling=eth, max_fee_per_gas=eth,
            payees={"a": "0xa"}, approve_above=eth, challenge_above=eth, per_hour=eth, per_day=eth,
        ),
        tokens=(
            TokenGrant(
                name="T", address="0xt", decimals=6, budget=Amount(5, TOKEN_ASSET), per_approval=Amount(5, TOKEN_ASSET),
                spenders=(Named(name="a", address="0xa"),), payees=(Named(name="a", address="0xa"),),
                per_transfer=Amount(5, TOKEN_ASSET), ceiling=Amount(5, TOKEN_ASSET),
            ),
        ),
        contracts=(ContractGrant(name="C", address="0xc", functions=words, value=eth),),
        signing=SigningGrant(domains=words, messages=words),
        mail=MailGrant(recipients=words, per_hour=5, inbox=False),
        compute=ComputeGrant(
            provider="local", images=words, commands=(words,), budget=Amount(5, "USD"), instances=instances,
            max_minutes=5,
        ),
        inference=InferenceGrant(models=words, tokens=Amount(5, "TOKEN"), budget=Amount(5, "USD")),
        web=WebGrant(hosts=(WebHost(host="h", ports=(443,), methods=words, max_body=5),), per_hour=5),
        mcp=McpGrant(servers=(McpServer(name="s", tools=words),), per_hour=5),
        lineage=LineageGrant(children=children, depth=depth, images=words, commands=(words,), per_hour=5),
        approvals=ApprovalsGrant(group="owners", needed=2, expires_s=60, window_s=30),
    )  # fmt: skip
