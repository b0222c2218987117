"""Tokens, signatures, the web, MCP servers and child runs: granted to the letter, or refused with the line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from safebox.firewall.core.mandate import Mandate, McpServer, Named, WebHost, decode_mandate, encode_mandate
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.errors import ConfigError
from safebox.firewall.lifecycle import check_connectors
from safebox.firewall.mandate.explain import explain
from safebox.firewall.mandate.file import MandateErrors, RunFile, load
from safebox.firewall.mandate.template import template

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ROUTER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
HEAD = """[agent]
name = "a"
command = ["true"]
purpose = "p"
task = "t"
expires = "1h"
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "1 ETH"
"""
TOKENS = f"""[tokens.USDC]
address = "{TOKEN}"
decimals = 6
budget = "100 USDC"
per_approval = "50.000001 USDC"
[tokens.USDC.spenders]
router = "{ROUTER}"
"""
PAID = f"""[tokens.USDC]
address = "{TOKEN}"
decimals = 6
budget = "100 USDC"
per_transfer = "5 USDC"
[tokens.USDC.payees]
acme = "{ROUTER}"
"""
CONTRACTS = f"""[contracts.shop]
address = "{ROUTER}"
functions = ["buy(uint256)", "open()"]
value = "0.1 ETH"
"""
SIGNING = """[signing]
domains = ["app.example.org"]
messages = ["I accept order {number}"]
"""
WEB = """[web]
per_hour = 60
[web.hosts."api.example.org"]
ports = [443]
methods = ["GET", "POST"]
max_body = 100
"""
MCP = """[mcp]
per_hour = 60
[mcp.servers]
files = ["read_file", "list_files"]
"""
LINEAGE = """[lineage]
children = 2
depth = 1
images = ["safebox/base"]
commands = [["python", "child.py"]]
per_hour = 3
"""
WHOLE = HEAD + TOKENS + CONTRACTS + SIGNING + WEB + MCP + LINEAGE


def read(text: str) -> RunFile:
    return load(text, now=NOW, source="safebox.toml")


def test_every_section_is_read_to_the_letter() -> None:
    mandate = read(WHOLE).mandate
    asset = token_asset(TOKEN)
    assert mandate.tokens is not None
    (token,) = mandate.tokens
    assert (token.name, token.address, token.decimals, token.standard) == ("USDC", TOKEN, 6, "erc20")
    assert (token.budget, token.per_approval) == (Amount(100_000_000, asset), Amount(50_000_001, asset))
    assert token.spenders == (Named(name="router", address=ROUTER),)
    assert mandate.signing is not None
    assert mandate.signing.messages == ("I accept order {number}",)
    assert mandate.web is not None
    assert mandate.web.hosts == (WebHost(host="api.example.org", ports=(443,), methods=("GET", "POST"), max_body=100),)
    assert mandate.mcp is not None
    assert mandate.mcp.servers == (McpServer(name="files", tools=("read_file", "list_files")),)
    assert mandate.lineage is not None
    assert (mandate.lineage.images, mandate.lineage.commands) == (("safebox/base",), (("python", "child.py"),))
    assert mandate.lineage.per_hour == 3
    assert mandate.grants()["wallet", asset] == 100_000_000
    assert decode_mandate(encode_mandate(mandate)) == mandate


def test_what_is_absent_or_empty_grants_nothing() -> None:
    bare = read(HEAD).mandate
    assert (bare.tokens, bare.signing, bare.web, bare.mcp, bare.lineage) == (None,) * 5
    empty = "[tokens]\n[signing]\ndomains = []\nmessages = []\n[web]\nper_hour = 1\n[mcp]\nper_hour = 1\n"
    rails = {rail.name: rail for rail in explain(read(HEAD + empty + "[lineage]\nchildren = 1\ndepth = 1\n")).rails}
    assert not any(rails[name].granted for name in ("tokens", "signing", "web", "mcp", "lineage"))


def test_an_older_mandate_is_read_as_granting_none_of_it() -> None:
    old = b'{"agent":"a","purpose":"p","task_digest":"sha256:0","expires":"2099-01-01T00:00:00Z",'
    old += b'"wallet":null,"mail":null,"compute":null,"inference":null,"lineage":{"children":1,"depth":1},'
    old += b'"approvals":null}'
    mandate = decode_mandate(old)
    assert (mandate.tokens, mandate.web, mandate.mcp) == (None, None, None)
    assert mandate.lineage is not None
    assert (mandate.lineage.images, mandate.lineage.per_hour) == ((), None)


def test_it_is_said_in_plain_words() -> None:
    rails = {rail.name: rail for rail in explain(read(WHOLE)).rails}
    assert rails["tokens"].may == (
        f"let others take up to 100 USDC in all, 50.000001 USDC at once ({TOKEN})",
        f"let router, {ROUTER}, take USDC",
    )
    assert rails["signing"].may == ("sign in to app.example.org", "sign the text 'I accept order {number}'")
    assert rails["web"].may == (
        "send up to 60 web requests an hour",
        "send GET, POST to api.example.org, port 443, with up to 100 bytes in each",
    )
    assert rails["mcp"].may[1:] == ("call read_file on files", "call list_files on files")
    assert "run exactly: python child.py" in rails["lineage"].may


WRONG = [
    (TOKENS, f'address = "{TOKEN}"', 'address = "usdc.eth"', "tokens.USDC.address"),
    (TOKENS, "decimals = 6", "decimals = 37", "tokens.USDC.decimals"),
    (TOKENS, "decimals = 6", 'decimals = 6\nstandard = "erc777"', "tokens.USDC.standard"),
    (TOKENS, "decimals = 6", 'decimals = 6\nstandard = "erc721"', "tokens.USDC.per_approval"),
    (TOKENS, "decimals = 6", 'decimals = "6"', "tokens.USDC.decimals"),
    (TOKENS, '"100 USDC"', '"100 DAI"', "tokens.USDC.budget"),
    (TOKENS, '"100 USDC"', '"0.0000001 USDC"', "tokens.USDC.budget"),
    (TOKENS, '"100 USDC"', '"1e3 USDC"', "tokens.USDC.budget"),
    (TOKENS, '"100 USDC"', "100", "tokens.USDC.budget"),
    (TOKENS, '"100 USDC"', '"50 USDC"', "tokens.USDC.per_approval"),
    (TOKENS, ROUTER, "0x" + "0" * 39, "tokens.USDC.spenders.router"),
    (TOKENS, "router =", '"a b" =', "tokens.USDC.spenders.'a b'"),
    (TOKENS, "router =", f'second = "{ROUTER}"\nrouter =', "tokens.USDC.spenders.router"),
    (TOKENS, "[tokens.USDC]\n", "[tokens.ETH]\n", "tokens.ETH"),
    (TOKENS, "decimals = 6", "decimals = 6\nsymbol = 1", "tokens.USDC.symbol"),
    (PAID, f'acme = "{ROUTER}"', f'acme = "{ROUTER[:-1]}"', "tokens.USDC.payees.acme"),
    (PAID, 'per_transfer = "5 USDC"\n', "", "tokens.USDC"),
    (PAID, '"5 USDC"', '"101 USDC"', "tokens.USDC.per_transfer"),
    (CONTRACTS, f'"{ROUTER}"', '"shop.eth"', "contracts.shop.address"),
    (CONTRACTS, "buy(uint256)", "buy(uint)", "contracts.shop.functions[0]"),
    (CONTRACTS, "buy(uint256)", "buy*", "contracts.shop.functions[0]"),
    (CONTRACTS, "buy(uint256)", "transfer(address,uint256)", "contracts.shop.functions[0]"),
    (CONTRACTS, "buy(uint256)", "open()", "contracts.shop.functions[1]"),
    (
        CONTRACTS,
        '"buy(uint256)", "open()"',
        '"collate_propagate_storage(bytes16)", "burn(uint256)"',
        "contracts.shop.functions",
    ),
    (CONTRACTS, "functions =", "methods =", "contracts.shop.methods"),
    (CONTRACTS, '"0.1 ETH"', '"0.1 USD"', "contracts.shop.value"),
    (CONTRACTS, "contracts.shop", "contracts.'a b'", "contracts.'a b'"),
    (SIGNING, "app.example.org", "*.example.org", "signing.domains[0]"),
    (SIGNING, "app.example.org", "https://app.example.org", "signing.domains[0]"),
    (SIGNING, "{number}", "{anything}", "signing.messages[0]"),
    (SIGNING, "I accept order {number}", "{word}", "signing.messages[0]"),
    (SIGNING, "I accept order", "I accept\u202eorder", "signing.messages[0]"),
    (WEB, "api.example.org", "*.example.org", "web.hosts.'*.example.org'"),
    (WEB, "api.example.org", "API.example.org", "web.hosts.'API.example.org'"),
    (WEB, "api.example.org", "localhost", "web.hosts.localhost"),
    (WEB, "api.example.org", "10.0.0.1", "web.hosts.'10.0.0.1'"),
    (WEB, "api.example.org", "127.1", "web.hosts.'127.1'"),
    (WEB, "ports = [443]", "ports = [0]", "web.hosts.'api.example.org'.ports"),
    (WEB, "ports = [443]", "ports = [443, 443]", "web.hosts.'api.example.org'.ports"),
    (WEB, "ports = [443]", "", "web.hosts.'api.example.org'"),
    (WEB, '"GET"', '"get"', "web.hosts.'api.example.org'.methods[0]"),
    (WEB, '"GET"', '"TRACE"', "web.hosts.'api.example.org'.methods[0]"),
    (WEB, "max_body = 100", "max_body = -1", "web.hosts.'api.example.org'.max_body"),
    (WEB, "per_hour = 60", "per_hour = 1000000", "web.per_hour"),
    (MCP, '"read_file"', '"read_*"', "mcp.servers.files[0]"),
    (MCP, '"read_file"', '"re\u0430d_file"', "mcp.servers.files[0]"),
    (MCP, 'files = ["read_file", "list_files"]', 'files = "read_file"', "mcp.servers.files"),
    (MCP, "files =", "Files = []\nfiles =", "mcp.servers.files"),
    (LINEAGE, "per_hour = 3", "per_hour = -1", "lineage.per_hour"),
    (LINEAGE, '"safebox/base"', '"a b"', "lineage.images[0]"),
    (LINEAGE, '["python", "child.py"]', '"python child.py"', "lineage.commands[0]"),
]


@pytest.mark.parametrize(("section", "old", "new", "key"), WRONG, ids=[f"{row[3]} {row[2][:20]!r}" for row in WRONG])
def test_what_is_not_exact_is_refused_with_its_line(section: str, old: str, new: str, key: str) -> None:
    assert old in section
    with pytest.raises(MandateErrors) as caught:
        read(HEAD + section.replace(old, new, 1))
    assert key in [problem.key for problem in caught.value.problems]
    assert all(problem.line > HEAD.count("\n") for problem in caught.value.problems)


def test_tokens_need_a_wallet_and_one_name_for_a_contract() -> None:
    with pytest.raises(MandateErrors, match="no wallet"):
        read(HEAD.partition("[wallet]")[0] + TOKENS)
    with pytest.raises(MandateErrors, match="same address"):
        read(HEAD + TOKENS + TOKENS.replace("USDC", "USDT"))
    with pytest.raises(MandateErrors, match=r"tables \[tokens.NAME\]"):
        read("tokens = 1\n" + HEAD)


def test_the_template_is_valid_with_these_sections_uncommented() -> None:
    text, _, rest = template("a").partition("# [tokens.USDC]")
    sections = "\n".join(line.removeprefix("# ") for line in ("# [tokens.USDC]" + rest).splitlines())
    wallet = HEAD.partition("[wallet]")[2].replace("\n", "", 1)
    mandate = read(f"{text}\n[wallet]\n{wallet}{sections}\n").mandate
    assert None not in (mandate.tokens, mandate.contracts, mandate.signing, mandate.web, mandate.mcp, mandate.lineage)


# --- connectors -------------------------------------------------------------------------------------------------


def mandate_of(text: str) -> Mandate:
    return read(text).mandate


@pytest.mark.parametrize(
    ("sections", "name"),
    [(TOKENS, "tokens"), (SIGNING, "signing"), (WEB, "web"), (MCP, "mcp"), (LINEAGE, "lineage")],
)
def test_a_section_without_its_connector_is_refused_at_the_start(sections: str, name: str) -> None:
    mandate = mandate_of(HEAD + sections)
    with pytest.raises(ConfigError, match=rf"\[{name}\]") as caught:
        check_connectors(mandate, {"chain", "mail", "compute", "inference"})
    assert caught.value.code == "mandate.no_connector"
    assert caught.value.remedy
    check_connectors(mandate, set(mandate.needs().values()))


def test_a_lineage_of_no_children_needs_no_connector() -> None:
    check_connectors(mandate_of(HEAD + LINEAGE.replace("children = 2", "children = 0")), {"chain"})


def test_who_is_paid_in_a_token_and_what_is_called_is_read_to_the_letter() -> None:
    mandate = mandate_of(HEAD + PAID + CONTRACTS)
    assert mandate.tokens is not None
    (token,) = mandate.tokens
    assert (token.payees, token.spenders) == ((Named(name="acme", address=ROUTER),), ())
    assert (token.per_transfer, token.per_approval) == (
        Amount(5 * 10**6, token_asset(TOKEN)),
        Amount(0, token_asset(TOKEN)),
    )
    assert mandate.contracts is not None
    (contract,) = mandate.contracts
    assert (contract.name, contract.address, contract.functions) == ("shop", ROUTER, ("buy(uint256)", "open()"))
    assert contract.value == Amount(10**17, "ETH")
    rails = {rail.name: rail for rail in explain(read(HEAD + PAID + CONTRACTS)).rails}
    assert rails["tokens"].may[1] == f"pay acme, {ROUTER}, in USDC"
    assert rails["contracts"].may[0] == f"call buy(uint256) of shop, {ROUTER}, with up to 0.1 ETH"


def test_paying_in_tokens_needs_no_more_than_the_chain() -> None:
    check_connectors(mandate_of(HEAD + PAID + CONTRACTS), {"chain"})


def test_things_are_counted_and_can_be_paid_but_not_approved() -> None:
    things = PAID.replace("decimals = 6", 'decimals = 0\nstandard = "erc721"')
    tokens = mandate_of(HEAD + things).tokens
    assert tokens is not None
    (token,) = tokens
    assert (token.standard, token.budget.units) == ("erc721", 100)


def test_contracts_need_a_wallet_and_one_name_for_each() -> None:
    with pytest.raises(MandateErrors, match="no wallet"):
        read(HEAD.partition("[wallet]")[0] + CONTRACTS)
    with pytest.raises(MandateErrors, match="same address"):
        read(HEAD + CONTRACTS + CONTRACTS.replace("shop", "other"))
    with pytest.raises(MandateErrors, match=r"tables \[contracts.NAME\]"):
        read("contracts = 1\n" + HEAD)
