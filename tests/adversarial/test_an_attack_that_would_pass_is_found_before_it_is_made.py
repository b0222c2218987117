"""`safebox attack`: the pack earns the best grade, and whoever weakens it is told by which attack.

Each weakened pack is tried with the entries it concerns, which is what the grade comes from; the whole catalogue is
played on the pack itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from safebox.firewall.core.decision import Verdict
from safebox.firewall.drill.catalogue import CATALOGUE
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.drill.grade import Report
from safebox.firewall.drill.play import play
from safebox.firewall.engines.bundle import pack_folder
from safebox.firewall.mandate.file import MandateErrors
from tests.real_parts import ROOT

EVERYTHING = """
[agent]
name = "everything"
command = ["python", "main.py"]
purpose = "Pay bills and rent computers."
task = "Do it."
expires = "40h"
[budget]
total = "1000 USD"
[wallet]
chain = "dev"
budget = "2 ETH"
per_transfer = "0.05 ETH"
per_hour = "0.2 ETH"
per_day = "0.5 ETH"
ceiling = "3 ETH"
max_fee_per_gas = "100 gwei"
approve_above = "0.02 ETH"
challenge_above = "0.01 ETH"
[wallet.payees]
acme = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
[approvals]
group = "owners"
needed = 2
expires = "1h"
window = "10m"
[mail]
recipients = ["a@b.example"]
per_hour = 50
inbox = "inbox"
[compute]
provider = "local"
images = ["safebox/base"]
commands = [["python", "job.py"]]
budget = "3 USD"
instances = 3
max_minutes = 10
[inference]
models = ["small"]
tokens = 40000
budget = "1 USD"
"""
OUTSIDE = """
[agent]
name = "outsider"
command = ["true"]
purpose = "Trade a little."
task = "Do it."
expires = "4h"
[budget]
total = "1000 USD"
[wallet]
chain = "dev"
budget = "2 ETH"
per_transfer = "0.05 ETH"
[wallet.payees]
acme = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
[mail]
recipients = ["a@b.example"]
per_hour = 50
[tokens.USDC]
address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
decimals = 6
budget = "100 USDC"
per_approval = "50 USDC"
per_transfer = "20 USDC"
[tokens.USDC.payees]
acme = "0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff"
[tokens.USDC.spenders]
router = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"
[signing]
domains = ["app.acme.example"]
messages = ["I accept the terms", "I accept order {number}"]
[web]
per_hour = 60
[web.hosts."api.acme.example"]
ports = [443]
methods = ["GET"]
max_body = 0
[mcp]
per_hour = 60
[mcp.servers]
files = ["read_file"]
[lineage]
children = 2
depth = 1
images = ["safebox/base"]
commands = [["python", "child.py"]]
"""
EXAMPLES = ("examples/analyst", "redteam/maximiser")
NAMES = {entry.name for entry in CATALOGUE}
ATTACKS = [entry for entry in CATALOGUE if entry.wanted is not Verdict.ALLOW]


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """An agent's folder whose mandate grants something of every kind."""
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "safebox.toml").write_text(EVERYTHING)
    shutil.copy(ROOT / "agents/examples/treasurer/main.py", folder)
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A copy of the pack that may be weakened."""
    return shutil.copytree(pack_folder(), tmp_path / "policies")


async def tried(agent: Path, *folders: Path, names: tuple[str, ...] = ()) -> Report:
    catalogue = [entry for entry in CATALOGUE if not names or entry.name in names]
    text = (agent / "safebox.toml").read_text()
    return await play(text, folders, folder=agent, now_ns=NOW_NS, catalogue=catalogue)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def failed(report: Report) -> set[str]:
    return {row.name for row in report.failed}


# --- the pack ---------------------------------------------------------------------------------------------------


async def test_the_pack_stops_everything_and_lets_everything_harmless_through(agent: Path) -> None:
    report = await tried(agent, pack_folder())
    assert [(row.name, row.got, row.code, row.note) for row in report.failed] == []
    assert report.grade == "A"
    assert {row.name for row in report.rows} == NAMES
    granted = {"outside.from_the_task", "outside.from_delivered"}
    granted |= {f"total.{name}" for name in ("rule", "rule_exceeded", "rule_unpriced", "rule_stale")}
    alone = {entry.name for entry in CATALOGUE if entry.alone} - granted
    rarely = alone | {"money.fee_without_cap", "hoarding.no_mail", "hoarding.no_inbox", "hoarding.no_wallet",
              "hoarding.no_compute", "hoarding.no_inference"}  # fmt: skip
    assert {row.name for row in report.rows if row.outcome == "not granted"} == rarely


@pytest.mark.parametrize("example", EXAMPLES)
async def test_the_example_mandates_earn_the_best_grade(example: str) -> None:
    report = await tried(ROOT / "agents" / example, pack_folder())
    assert [(row.name, row.got, row.code, row.note) for row in report.failed] == []
    assert report.grade == "A"


async def test_two_plays_say_the_same(agent: Path) -> None:
    names = ("money.stranger", "money.listed", "state.structuring", "state.at_once", "signing.batch", "copying.pieces")
    first, second = [await tried(agent, pack_folder(), names=names) for _ in range(2)]
    assert first.rows == second.rows


# --- weakened packs ---------------------------------------------------------------------------------------------

Edit = Callable[[str], str]


def without(code: str) -> Edit:
    """The file with the rule that says this code switched off."""

    def edit(text: str) -> str:
        lines = text.split("\n")
        (place,) = [at for at, line in enumerate(lines) if " contains {" in line and f'"{code}"' in line]
        head, _, body = lines[place].partition("} if ")
        lines[place] = f"{head}}} if {{\n\tfalse" if body == "{" else f"{head}}} if false"
        return "\n".join(lines)

    return edit


def put(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


TRANSFER, MAIN, LIMITS = "safebox/transfer/transfer.rego", "safebox/main/main.rego", "data/limits/data.json"
TOTAL = "safebox/total/total.rego"
WEAKENED: dict[str, tuple[str, Edit, str, str]] = {
    "payees are not compared": (TRANSFER, without("transfer.payee_not_listed"), "money.stranger", "F"),
    "no cap of one transfer": (TRANSFER, without("transfer.over_per_transfer"), "money.over_cap", "F"),
    "no cap of a day": (TRANSFER, without("transfer.over_per_day"), "state.day_seam", "D"),
    "a frozen wallet pays": (TRANSFER, without("transfer.frozen"), "state.frozen", "D"),
    "any fee": (TRANSFER, without("transfer.fee_cap"), "money.fee_over_cap", "C"),
    "nobody approves": (TRANSFER, without("transfer.approve_above"), "people.unasked", "D"),
    "the mandate never ends": (MAIN, without("main.expired"), "state.expired", "F"),
    "recipients are not compared": (
        "safebox/email/email.rego", without("email.recipient_not_listed"), "hoarding.stranger", "F",
    ),
    "any image": ("safebox/compute/compute.rego", without("compute.image_not_listed"), "renting.image", "F"),
    "a changed image": ("safebox/compute/compute.rego", without("compute.other_image"), "renting.changed", "F"),
    "any command": ("safebox/compute/compute.rego", without("compute.command_not_listed"), "renting.command", "F"),
    "any number of containers": (
        "safebox/compute/compute.rego", without("compute.too_many_instances"), "renting.one_more", "F",
    ),
    "any model": ("safebox/inference/inference.rego", without("inference.model_not_listed"), "renting.model", "D"),
    "copies leave": (
        "safebox/replication/replication.rego", without("replication.own_payload"), "copying.plain", "F",
    ),
    "secrets leave": (
        "safebox/replication/replication.rego", without("replication.secret_leaves"), "copying.keys", "F",
    ),
    "copies are found too late": (
        LIMITS, put('"fingerprints": 40,\n    "share_bp": 4500', '"fingerprints": 40000,\n    "share_bp": 10001'),
        "copying.pieces", "F",
    ),
    "probing is endless": (
        LIMITS, put('"denials_in_ten_minutes": 5', '"denials_in_ten_minutes": 500'), "state.probing", "D",
    ),
    "nothing is frozen for denials": (
        LIMITS, put('"denials_until_frozen": 10', '"denials_until_frozen": 500'), "state.denied_on", "D",
    ),
    "more than the total": (TOTAL, without("total.exceeded"), "total.rule_exceeded", "F"),
    "what has no price": (TOTAL, without("total.unpriced"), "total.rule_unpriced", "D"),
    "prices of long ago": (TOTAL, without("total.stale"), "total.rule_stale", "D"),
}  # fmt: skip


@pytest.mark.parametrize("name", WEAKENED)
async def test_a_weakened_pack_is_told_by_the_attack_that_passes(agent: Path, pack: Path, name: str) -> None:
    file, edit, attack, grade = WEAKENED[name]
    entry = next(entry for entry in CATALOGUE if entry.name == attack)
    names = (attack, entry.neighbour)
    path = pack / file
    path.write_text(edit(path.read_text()))
    report = await tried(agent, pack, names=names)
    if name == "a frozen wallet pays":  # the firewall looks once more before the effect, so nothing happened
        assert failed(report) <= {attack}
        return
    assert failed(report) == {attack}
    assert report.grade >= grade
    assert not report.sound
    assert entry.mend in report.failed[0].mend or "put the pack's back" in report.failed[0].mend


@pytest.mark.parametrize("attack", ["exceeded", "unpriced", "stale"])
async def test_the_books_keep_the_total_where_its_rule_is_gone(agent: Path, pack: Path, attack: str) -> None:
    """So nothing passes on the whole path: only the code says that it was the books."""
    name = code = f"total.{attack}"
    names, path = (name, "total.within"), pack / TOTAL
    kept = await tried(agent, pack, names=names)
    path.write_text(without(code)(path.read_text()))
    weakened = await tried(agent, pack, names=names)
    assert weakened.bundle != kept.bundle
    got = [{row.name: (row.got, row.code) for row in report.rows} for report in (kept, weakened)]
    assert got == [
        {"total.within": ("allow", ""), name: ("deny", code)},
        {"total.within": ("allow", ""), name: ("deny", "budget.exceeded")},
    ]
    assert weakened.problem is None


async def test_a_default_allow_is_found(agent: Path, pack: Path) -> None:
    (pack / MAIN).write_text(
        'package safebox.main\n\ndefault decision := {"verdict": "allow", "reasons": [], "obligations": {}}\n'
    )
    report = await tried(agent, pack, names=("money.stranger", "money.listed"))
    assert report.problem is not None  # the firewall itself would not take it
    assert report.grade == "F"
    assert failed(report) == {"money.listed"}


async def test_a_rule_of_the_site_that_allows_too_much_is_found(agent: Path, pack: Path) -> None:
    (pack / MAIN).write_text(
        (pack / MAIN).read_text().replace("\n\tcount(_denials) > 0\n", "\n\tcount(_denials) > 0\n\tnot _trusted\n")
        + "\n_trusted if input.action.args.to\n"
    )
    report = await tried(agent, pack, names=("money.stranger", "money.listed", "money.lookalike"))
    assert failed(report) == {"money.stranger", "money.lookalike"}
    assert report.grade == "F"


ALONE: dict[str, tuple[str, str]] = {
    "any spender": ("approval.spender_not_listed", "outside.spender"),
    "any text": ("approval.message_not_listed", "outside.messages"),
    "any address": ("web.address_not_public", "outside.inside"),
    "any tool of MCP": ("mcp.tool_not_listed", "outside.mcp_tools"),
    "a tool that changed": ("mcp.tool_changed", "outside.mcp_changed"),
    "a wider child": ("lineage.wider", "outside.children"),
    "children in haste": ("lineage.too_fast", "outside.child_haste"),
    "any program as a child": ("lineage.image_not_listed", "outside.child_programs"),
    "values out of mails": ("provenance.untrusted_value", "outside.from_delivered"),
}


@pytest.mark.parametrize("name", ALONE)
async def test_what_no_connector_does_yet_is_tried_on_policy_alone(agent: Path, pack: Path, name: str) -> None:
    code, attack = ALONE[name]
    (agent / "safebox.toml").write_text(OUTSIDE)
    names = (attack, next(entry.neighbour for entry in CATALOGUE if entry.name == attack))
    path = pack / "safebox" / code.split(".")[0] / f"{code.split('.')[0]}.rego"
    path.write_text(without(code)(path.read_text()))
    report = await tried(agent, pack, names=names)
    assert failed(report) == {attack}
    assert {row.by for row in report.rows} == {"policy"}


async def test_a_mandate_that_this_firewall_could_not_start_says_so(agent: Path) -> None:
    (agent / "safebox.toml").write_text(OUTSIDE)
    report = await tried(agent, pack_folder())
    assert [(row.name, row.code) for row in report.failed] == [("launching.start", "mandate.no_connector")]


async def test_an_overlay_that_loosens_is_tried_as_the_firewall_takes_it(agent: Path, tmp_path: Path) -> None:
    """Without a word in relax.json it doesn't come into force, so nothing does; with one, the attack goes through."""
    modes = tmp_path / "ours/data/modes"
    modes.mkdir(parents=True)
    (modes / "data.json").write_text('{"codes": {"transfer.payee_not_listed": "monitor"}}')
    names = ("money.stranger", "money.listed")
    report = await tried(agent, pack_folder(), tmp_path / "ours", names=names)
    assert failed(report) == {"money.listed"}
    assert "relax.json" in str(report.problem)
    path = 'data.data.modes.codes["transfer.payee_not_listed"]'
    (tmp_path / "ours/relax.json").write_text(json.dumps({path: "we want to see what it would deny"}))
    report = await tried(agent, pack_folder(), tmp_path / "ours", names=names)
    assert failed(report) == {"money.stranger"}
    assert report.grade == "F"
    assert "only monitored" in report.failed[0].mend


async def test_it_is_tried_while_the_policies_are_open(agent: Path, tmp_path: Path) -> None:
    hours = tmp_path / "ours/data/hours"
    hours.mkdir(parents=True)
    windows = [{"days": ["Tuesday"], "from": "09:00", "until": "17:00"}]
    (hours / "data.json").write_text(json.dumps({"default": windows}))
    names = ("money.listed", "money.stranger", "state.after_denials")
    report = await tried(agent, pack_folder(), tmp_path / "ours", names=names)
    assert failed(report) == set()
    assert datetime.fromisoformat(report.moment).strftime("%A") == "Tuesday"


async def test_a_mandate_without_a_highest_fee_is_tried_against_the_packs(agent: Path, pack: Path) -> None:
    text = EVERYTHING.replace('max_fee_per_gas = "100 gwei"\n', "").replace('"0.2 ETH"', '"1 ETH"')
    (agent / "safebox.toml").write_text(text.replace('per_day = "0.5 ETH"', 'per_day = "2 ETH"'))
    names = ("money.fee_without_cap", "money.fee")
    assert (await tried(agent, pack, names=names)).grade == "A"
    limits = pack / LIMITS
    limits.write_text(limits.read_text().replace("0000500000000000", "0050000000000000"))
    assert failed(await tried(agent, pack, names=names)) == {"money.fee_without_cap"}


# --- a wall is no firewall --------------------------------------------------------------------------------------


async def test_policies_that_may_not_come_into_force_deny_the_harmless(agent: Path, pack: Path) -> None:
    (pack / MAIN).write_text("package safebox.main\n\ndecision := \n")
    names = ("money.stranger", "money.listed", "copying.note", "renting.lease", "hoarding.stranger")
    report = await tried(agent, pack, names=names)
    assert report.problem is not None
    assert failed(report) == {"money.listed", "copying.note", "renting.lease"}
    assert report.grade == "F"
    assert all("may not come into force" in row.mend for row in report.failed)


async def test_a_rule_that_denies_too_much_lowers_the_grade(agent: Path, tmp_path: Path) -> None:
    site = tmp_path / "ours/safebox/site/email"
    site.mkdir(parents=True)
    (site / "email.rego").write_text(
        "# METADATA\n# title: Mail\n# description: x\npackage safebox.site.email\n\n# METADATA\n# title: No mail\n"
        "# description: x\n# custom:\n#   code: site.no_mail\n#   threat: spam\n#   severity: low\n"
        '#   remedy: Do not write.\ndeny contains {"code": "site.no_mail", "message": "No."} if not _good\n\n'
        "_good if input.action.args.subject == 1\n"
    )
    names = (
        "copying.note",
        "hoarding.stranger",
        "money.listed",
        "money.most",
        "money.balance",
        "money.fee",
        "money.small_letters",
    )
    report = await tried(agent, pack_folder(), tmp_path / "ours", names=names)
    assert failed(report) == {"copying.note"}
    assert report.grade == "B"
    assert "site.no_mail" in report.failed[0].mend
    assert "Do not write." in report.failed[0].mend


async def test_a_mandate_that_grants_nothing_earns_no_grade(agent: Path) -> None:
    (agent / "safebox.toml").write_text(EVERYTHING.split("[wallet]", maxsplit=1)[0])
    report = await tried(agent, pack_folder())
    assert report.failed == ()
    assert report.grade == ""
    assert not report.sound
    got = {row.name: row.got for row in report.rows if row.outcome == "pass"}
    assert set(got) == {f"hoarding.no_{name}" for name in ("mail", "inbox", "wallet", "compute", "inference")}


async def test_a_wrong_mandate_is_said_as_everywhere(agent: Path) -> None:
    (agent / "safebox.toml").write_text(EVERYTHING.replace('per_transfer = "0.05 ETH"', "per_transfer = 0.05"))
    with pytest.raises(MandateErrors):
        await tried(agent, pack_folder())


# --- the catalogue itself -------------------------------------------------------------------------------------------


def test_every_attack_has_a_harmless_neighbour() -> None:
    harmless = {entry.name for entry in CATALOGUE} - {entry.name for entry in ATTACKS}
    assert {entry.neighbour for entry in ATTACKS} <= harmless
    assert len(NAMES) == len(CATALOGUE)
    assert len(ATTACKS) > 90


def test_every_code_a_catalogue_entry_names_is_one_of_the_packs() -> None:
    codes = set(re.findall(r"#   code: (\S+)", "\n".join(_rules())))
    assert {entry.code for entry in ATTACKS if entry.code} <= codes


def _rules() -> Iterator[str]:
    for path in pack_folder().rglob("*.rego"):
        yield path.read_text()


async def test_nothing_is_written_outside_of_a_folder_that_is_gone_afterwards(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    place.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SAFEBOX_HOME", str(home / "state"))
    monkeypatch.setattr("safebox.firewall.drill.play.MEMORY", place)
    before = times(agent)
    await tried(agent, pack_folder(), names=("money.listed", "money.stranger", "machinery.changed_ledger"))
    assert list(home.rglob("*")) == []
    assert os.listdir(place) == []
    assert times(agent) == before


async def test_no_connection_is_ever_opened(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    for place in ("socket.socket.connect", "socket.create_connection", "socket.getaddrinfo"):
        monkeypatch.setattr(place, refused)
    report = await tried(
        agent,
        pack_folder(),
        names=("money.listed", "copying.note", "renting.lease", "renting.question", "money.stranger"),
    )
    assert report.grade == "A"
