"""Nothing in a mandate file is guessed: every mistake is refused, with its line, its value and what was expected."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from safebox.firewall.errors import ConfigError
from safebox.firewall.mandate.file import MandateErrors, load, load_file

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GOOD = """\
[agent]
name = "a"
command = ["x"]
purpose = "p"
task = "t"
expires = "30m"
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "0.5 ETH"
[wallet.payees]
acme = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"
[mail]
recipients = ["a@b.example"]
per_hour = 20
[compute]
provider = "local"
images = ["i"]
commands = [["x"]]
budget = "2 USD"
instances = 1
max_minutes = 10
[inference]
models = ["m"]
tokens = 10
budget = "1 USD"
[lineage]
children = 0
depth = 0
"""


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(MandateErrors) as caught:
        load(text, now=NOW, source="safebox.toml")
    assert all(problem.expected for problem in caught.value.problems)
    return [(problem.line, problem.key, problem.cause) for problem in caught.value.problems]


def test_the_good_mandate_is_accepted() -> None:
    load(GOOD, now=NOW, source="safebox.toml")


@pytest.mark.parametrize(
    ("was", "now", "line", "key", "cause"),
    [
        # numbers that are none
        ("per_hour = 20", "per_hour = true", 15, "mail.per_hour", "true is not accepted"),
        ("per_hour = 20", "per_hour = 20.0", 15, "mail.per_hour", "20.0 is not accepted"),
        ("per_hour = 20", "per_hour = -1", 15, "mail.per_hour", "-1 is not accepted"),
        ("per_hour = 20", "per_hour = nan", 15, "mail.per_hour", "nan is not accepted"),
        ("per_hour = 20", "per_hour = inf", 15, "mail.per_hour", "inf is not accepted"),
        ("per_hour = 20", 'per_hour = "20"', 15, "mail.per_hour", "'20' is not accepted"),
        ("tokens = 10", "tokens = 9223372036854775808", 25, "inference.tokens", "9223372036854775808 is not accepted"),
        ("depth = 0", "depth = 2026-03-01", 29, "lineage.depth", "'2026-03-01' is not accepted"),
        # amounts
        ('"1 ETH"', "1", 9, "wallet.budget", "1 is not accepted"),
        ('"1 ETH"', "1.0", 9, "wallet.budget", "1.0 is not accepted"),
        ('"1 ETH"', '"1"', 9, "wallet.budget", "'1' is not an amount"),
        ('"1 ETH"', '"1e18 wei"', 9, "wallet.budget", "'1e18 wei' is not an amount"),
        ('"1 ETH"', '"-1 ETH"', 9, "wallet.budget", "'-1 ETH' is not an amount"),
        ('"1 ETH"', '"01 ETH"', 9, "wallet.budget", "'01 ETH' is not an amount"),
        ('"1 ETH"', '"1 USD"', 9, "wallet.budget", "'1 USD' is an amount of USD"),
        ('"1 ETH"', '"1 ETC"', 9, "wallet.budget", "'ETC' is not a unit"),
        ('"1 ETH"', '"1 \u0395TH"', 9, "wallet.budget", r"'1 \u0395TH' is not an amount"),
        ('"1 ETH"', '"\u0661 ETH"', 9, "wallet.budget", r"'\u0661 ETH' is not an amount"),
        ('"0.5 ETH"', '"0.5000000000000000001 ETH"', 10, "wallet.per_transfer", "is not an amount"),
        ('"0.5 ETH"', '"0.5 wei"', 10, "wallet.per_transfer", "'0.5 wei' is finer than the smallest unit"),
        ('"0.5 ETH"', '"1.1 ETH"', 10, "wallet.per_transfer", "1.1 ETH is more than the budget"),
        ('"2 USD"', '"2 ETH"', 20, "compute.budget", "'2 ETH' is an amount of ETH"),
        # addresses
        ("0x2b5a", "0x2B5a", 12, "wallet.payees.acme", "the address has a wrong checksum (EIP-55)"),
        ("0x2b5a", "0x2b5", 12, "wallet.payees.acme", "an address is 0x and 40 hexadecimal digits"),
        ("0x2b5a", "0\u04452b5a", 12, "wallet.payees.acme", r"'0\u0445"),
        ("0x2b5ad5c4795c026514f8317c7a215e218dccd6cf", "acme.eth", 12, "wallet.payees.acme", "'acme.eth'"),
        ("0x2b5ad5c4795c026514f8317c7a215e218dccd6cf", "0x" + "0" * 40, 12, "wallet.payees.acme", "belongs to nobody"),
        ("0x2b5ad5c4795c026514f8317c7a215e218dccd6cf", f"0x{0xDEAD:040x}", 12, "wallet.payees.acme", "to nobody"),
        ("acme = ", "'acme ' = ", 12, "wallet.payees.'acme '", "'acme ' is no name"),
        ("acme = ", '"\u0430cme" = ', 12, r"wallet.payees.'\u0430cme'", "is no name"),
        # mail
        ('["a@b.example"]', '["*@b.example"]', 14, "mail.recipients[0]", "'*@b.example' looks like a pattern"),
        ('["a@b.example"]', '["a@b.example", "A@B.example"]', 14, "mail.recipients[1]", "is there twice (line 14)"),
        ('["a@b.example"]', '["a@b.example\\nBcc: c@d.example"]', 14, "mail.recipients[0]", "is not a plain mail"),
        ('["a@b.example"]', '["\u0430@b.example"]', 14, "mail.recipients[0]", r"'\u0430@b.example'"),
        ('["a@b.example"]', '"a@b.example"', 14, "mail.recipients", "'a@b.example' is not accepted"),
        ("per_hour = 20", 'per_hour = 20\ninbox = "../../etc"', 16, "mail.inbox", "'../../etc' is not accepted"),
        ("per_hour = 20", 'per_hour = 20\ninbox = "/etc"', 16, "mail.inbox", "'/etc' is not accepted"),
        ("per_hour = 20", 'per_hour = 20\ninbox = "a/../../b"', 16, "mail.inbox", "'a/../../b' is not accepted"),
        ("per_hour = 20", "per_hour = 20\ninbox = true", 16, "mail.inbox", "true is not accepted"),
        # names nobody knows
        ("[lineage]", "[linage]", 27, "linage", "there is no section 'linage'"),
        ("per_hour", "per_hours", 15, "mail.per_hours", "there is no key 'per_hours' in [mail]"),
        ("per_hour", "Per_hour", 15, "mail.Per_hour", "there is no key 'Per_hour' in [mail]"),
        ('"local"', '"aws"', 17, "compute.provider", "there is no provider 'aws'"),
        # shapes
        ("[mail]", "[[mail]]", 13, "mail", "a list is not accepted"),
        ('[["x"]]', '["x"]', 19, "compute.commands[0]", "'x' is not accepted"),
        ('[["x"]]', "[[]]", 19, "compute.commands[0]", "[] is not accepted"),
        ('[["x"]]', "[[\n'x',\n1]]", 21, "compute.commands[0][1]", "1 is not accepted"),
        ('command = ["x"]', "command = []", 3, "agent.command", "[] is not accepted"),
        ('command = ["x"]', 'command = "x"', 3, "agent.command", "'x' is not accepted"),
        ('command = ["x"]', 'command = ["x", "a\\u0000"]', 3, "agent.command[1]", r"'a\x00' is not accepted"),
        ('name = "a"', 'name = "../a"', 2, "agent.name", "'../a' is not accepted"),
        ('name = "a"', "", 1, "agent", "name is missing"),
        ('task = "t"', 'task = " "', 5, "agent.task", "' ' is not accepted"),
        ('task = "t"', 'task = "t\\u202e"', 5, "agent.task", "the invisible character U+202E"),
        ('purpose = "p"', 'purpose = "p\\U000E0041"', 4, "agent.purpose", "the invisible character U+E0041"),
        # time
        ('"30m"', '"30"', 6, "agent.expires", "'30' is not accepted"),
        ('"30m"', "30", 6, "agent.expires", "30 is not accepted"),
        ('"30m"', '"0m"', 6, "agent.expires", "'0m' is not accepted"),
        ('"30m"', '"-5m"', 6, "agent.expires", "'-5m' is not accepted"),
        ('"30m"', '"never"', 6, "agent.expires", "'never' is not accepted"),
        ('"30m"', '"99999999d"', 6, "agent.expires", "is too far off"),
        ('"30m"', '"2026-03-01T12:00:00Z"', 6, "agent.expires", "is over"),
        ('"30m"', '"2026-03-01T18:00:00"', 6, "agent.expires", "is not accepted"),
        ('"30m"', '"2026-02-30T18:00:00Z"', 6, "agent.expires", "is not accepted"),
        ('"30m"', "2026-03-01T18:00:00", 6, "agent.expires", "is not accepted"),
        ('"30m"', "9999-12-31T23:59:59-23:59", 6, "agent.expires", "is too far off"),
        ('"30m"', '"0001-01-01T00:00:00+23:59"', 6, "agent.expires", "is over"),
        # chains
        ('chain = "dev"', 'chain = "mainnet"\nchain_id = 5', 9, "wallet.chain_id", "chain 'mainnet' has another id"),
        ('chain = "dev"', 'chain = "dev"\nchain_id = 0', 9, "wallet.chain_id", "0 is not accepted"),
    ],
)
def test_one_mistake_is_told_with_its_line(was: str, now: str, line: int, key: str, cause: str) -> None:
    assert was in GOOD
    found = problems(GOOD.replace(was, now, 1))
    assert any(line == at and key == name and cause in text for at, name, text in found), found


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("per_hour = 20", "per_hour = 1.5").replace('name = "a"', 'nam = "a"').replace("depth = 0", "")
    assert [line for line, _, _ in problems(text)] == [1, 2, 15, 27]


def test_two_names_for_one_address_are_a_slip() -> None:
    text = GOOD.replace("[mail]", 'bob = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"\n[mail]')
    assert problems(text) == [(13, "wallet.payees.bob", "'bob' has the same address as 'acme'")]


def test_one_name_twice_is_no_toml() -> None:
    text = GOOD.replace("[mail]", 'acme = "0x6813eb9362372eef6200f3b1dbc3f819671cba69"\n[mail]')
    ((line, _, cause),) = problems(text)
    assert (line, cause) == (13, "Cannot overwrite a value")


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("", 0, "it is empty"),
        (" \n\t", 0, "it is empty"),
        ("\ufeff", 0, "it is empty"),
        ("# only a comment", 1, "there is no section [agent]"),
        ("a = 1\nb = \0", 2, "it has a NUL byte"),
        ("a = 1\nb = '\udc80'", 2, "it has a character that is no text"),
        ("a = 1\nb 2", 2, "Expected '=' after a key in a key/value pair"),
        ("a = [1, 2", 0, "Unclosed array"),
        ("a = " + "9" * 5_000, 0, "it has a number or date that is out of range"),
        ("#" * 65_537, 0, "it has 65537 bytes"),
    ],
)
def test_text_that_is_no_mandate_at_all_is_refused(text: str, line: int, cause: str) -> None:
    found = problems(text)
    assert found[0][0] == line
    assert cause in found[0][2]


def test_nesting_without_end_is_refused() -> None:
    assert problems("a = " + "[" * 3_000)
    assert problems("a = " + "[" * 3_000 + "]" * 3_000)
    assert problems("a = " + "{ a = " * 1_000 + "1" + " }" * 1_000)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "safebox.toml"
    path.write_bytes(b'[agent]\nname = "\xff"\n')
    with pytest.raises(MandateErrors, match=r"safebox\.toml:2: byte 0xff is no UTF-8"):
        load_file(path, now=NOW)
    path.write_bytes(b"#" * 70_000)
    with pytest.raises(MandateErrors, match="more than 65536 bytes"):
        load_file(path, now=NOW)
    with pytest.raises(ConfigError):
        load_file(Path("/dev/null/safebox.toml"), now=NOW)
