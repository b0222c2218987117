from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from safebox.firewall.core.mandate import decode_mandate, encode_mandate
from safebox.firewall.core.money import Amount
from safebox.firewall.errors import ConfigError
from safebox.firewall.mandate.explain import explain
from safebox.firewall.mandate.file import MandateErrors, RunFile, load, load_file, task_digest
from safebox.firewall.mandate.grants import CHAINS
from safebox.firewall.mandate.template import template

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACME = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"

AGENT = """
[agent]
name = "treasurer"
command = ["python", "main.py"]
purpose = "Pay the invoices that are listed."
task = "Pay what is due."
expires = "30m"
"""

FULL = (
    AGENT
    + f"""
[wallet]
chain = "dev"
budget = "1 ETH"
per_transfer = "0.5 ETH"
ceiling = "2 ETH"
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{ACME}"
[mail]
recipients = ["Billing@Acme.example"]
per_hour = 20
inbox = "inbox"
[compute]
provider = "local"
images = ["safebox/base"]
commands = [["python", "-c", "print(1)"]]
budget = "2 USD"
instances = 1
max_minutes = 10
[inference]
models = ["scripted:treasurer"]
tokens = 400000
budget = "1 USD"
[lineage]
children = 0
depth = 0
"""
)


def read(text: str) -> RunFile:
    return load(text, now=NOW, source="safebox.toml")


def test_a_full_mandate_is_read_exactly() -> None:
    run_file = read(FULL)
    mandate = run_file.mandate
    assert (run_file.name, run_file.command, run_file.image) == ("treasurer", ("python", "main.py"), "safebox/base")
    assert (run_file.task, run_file.inbox) == ("Pay what is due.", "inbox")
    assert mandate.expires == "2026-03-01T12:30:00Z"
    assert mandate.task_digest == task_digest("Pay what is due.")
    assert mandate.wallet is not None
    assert mandate.wallet.chain_id == 31337
    assert mandate.wallet.per_transfer == Amount(5 * 10**17, "ETH")
    assert mandate.wallet.max_fee_per_gas == Amount(100 * 10**9, "ETH")
    assert mandate.wallet.payees == {"acme": ACME}
    assert mandate.mail is not None
    assert mandate.mail.recipients == ("billing@acme.example",)
    assert mandate.mail.inbox
    assert mandate.compute is not None
    assert mandate.compute.commands == (("python", "-c", "print(1)"),)
    assert mandate.inference is not None
    assert mandate.inference.tokens == Amount(400_000, "TOKEN")
    assert decode_mandate(encode_mandate(mandate)) == mandate


def test_a_section_that_is_absent_grants_nothing() -> None:
    mandate = read(AGENT).mandate
    assert (mandate.wallet, mandate.mail, mandate.compute, mandate.inference, mandate.lineage) == (None,) * 5
    assert mandate.grants() == {}


def test_an_empty_list_is_a_grant_of_nothing() -> None:
    mandate = read(AGENT + "[mail]\nrecipients = []\nper_hour = 5\n").mandate
    assert mandate.mail is not None
    assert mandate.mail.recipients == ()
    assert not mandate.mail.inbox


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"90s"', "2026-03-01T12:01:30Z"),
        ('"12h"', "2026-03-02T00:00:00Z"),
        ('"7d"', "2026-03-08T12:00:00Z"),
        ('"2026-03-01T15:00:00+02:00"', "2026-03-01T13:00:00Z"),
        ('"2026-03-01T13:00:00.5Z"', "2026-03-01T13:00:00Z"),
        ("2026-03-01T15:00:00+02:00", "2026-03-01T13:00:00Z"),
    ],
)
def test_expiry_counts_from_the_start_or_names_a_moment(written: str, meant: str) -> None:
    assert read(AGENT.replace('"30m"', written)).mandate.expires == meant


def test_the_start_may_be_told_in_any_time_zone() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    assert load(AGENT, now=east, source="x").mandate.expires == "2026-03-01T12:30:00Z"


def test_a_chain_that_is_not_known_needs_its_id() -> None:
    text = AGENT + '[wallet]\nchain = "gnosis"\nchain_id = 100\nbudget = "1 wei"\nper_transfer = "1 wei"\n'
    wallet = read(text).mandate.wallet
    assert wallet is not None
    assert (wallet.chain, wallet.chain_id, wallet.payees) == ("gnosis", 100, {})
    with pytest.raises(MandateErrors, match="the id of chain 'gnosis' is not known"):
        read(text.replace("chain_id = 100\n", ""))


def test_the_development_chain_is_the_stand_in() -> None:
    from safebox.firewall.standins.evm import CHAIN_ID

    assert CHAINS["dev"] == CHAIN_ID


@pytest.mark.parametrize("text", [FULL.replace("\n", "\r\n"), "\ufeff" + FULL])
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(text: str) -> None:
    assert read(text) == read(FULL)


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "safebox.toml").write_bytes(FULL.encode("utf-8-sig"))
    assert load_file(tmp_path, now=NOW) == read(FULL)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no") as caught:
        load_file(tmp_path, now=NOW)
    assert "safebox init" in caught.value.remedy


def test_the_template_loads_and_so_does_everything_it_comments_out() -> None:
    text = template("treasurer")
    assert read(text).mandate.wallet is None
    lines = [line[2:] if line.startswith(("# [", "# ")) and _is_toml(line[2:]) else line for line in text.splitlines()]
    mandate = read("\n".join(lines)).mandate
    assert None not in (mandate.wallet, mandate.mail, mandate.compute, mandate.inference, mandate.lineage)


def _is_toml(line: str) -> bool:
    return line.startswith("[") or " = " in line


def test_the_explanation_names_each_grant_and_each_limit() -> None:
    rails = {rail.name: rail for rail in explain(read(FULL)).rails}
    assert f"pay acme, {ACME}" in rails["wallet"].may
    assert "offer a fee above 100 gwei per unit of gas" in rails["wallet"].may_not
    assert "write to billing@acme.example" in rails["mail"].may
    assert "run exactly: python -c print(1)" in rails["compute"].may
    assert not rails["lineage"].granted
    assert msgspec.json.encode(explain(read(FULL)))


def test_the_explanation_of_an_empty_mandate_grants_nothing() -> None:
    assert not any(rail.granted for rail in explain(read(AGENT)).rails)
    assert all(rail.may_not for rail in explain(read(AGENT)).rails)


def test_one_total_bounds_all_that_is_granted() -> None:
    found = read(FULL + '[budget]\ntotal = "25.5 USD"\n')
    assert found.mandate.total == Amount(25_500_000, "USD")
    assert found.mandate.grants()["total", "USD"] == 25_500_000
    (told,) = [rail for rail in explain(found).rails if rail.name == "budget"]
    assert told.may == ("spend up to 25.5 USD in all, over everything below",)


@pytest.mark.parametrize(
    "text", ["[budget]\n", '[budget]\ntotal = "1 ETH"\n', "[budget]\ntotal = 25\n", "budget = 25\n"]
)
def test_a_total_that_is_no_amount_of_usd_is_refused(text: str) -> None:
    with pytest.raises(MandateErrors):
        read(text + FULL)
