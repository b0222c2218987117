"""The examples and the red team as files: each complete, and its parts in agreement with one another."""

from __future__ import annotations

import ast
import email
import email.policy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import is_checksum_address

AGENTS = Path(__file__).parents[3] / "agents"
FOLDERS = sorted(
    path.parent for kind in ("benign", "examples", "redteam") for path in (AGENTS / kind).glob("*/safebox.toml")
)
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\b")

each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def mandate(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "safebox.toml").read_text())


def constants(folder: Path) -> dict[str, Any]:
    """Return the literals that a program assigns to names at its top level."""
    found: dict[str, Any] = {}
    for node in ast.parse((folder / "main.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def test_every_agent_is_here() -> None:
    benign = ["builder", "editor", "marketmaker", "reviewer", "shop", "support"]
    redteam = ["buyer", "evolver", "founder", "hijacked", "maximiser", "payer", "replicator"]
    assert [folder.name for folder in FOLDERS] == [*benign, "analyst", "plain", "treasurer", *redteam]


@each_folder
def test_an_agent_is_a_folder_with_a_program_a_mandate_and_a_readme(folder: Path) -> None:
    agent = mandate(folder)["agent"]
    assert agent["name"] == folder.name
    assert agent["command"] == ["python", "main.py"]
    assert (folder / "main.py").is_file()
    readme = (folder / "README.md").read_text()
    assert readme.startswith(f"# {folder.name}\n")
    assert f"safebox run agents/{folder.parent.name}/{folder.name}" in readme


@each_folder
def test_a_scripted_model_that_is_granted_has_its_playbook(folder: Path) -> None:
    models = mandate(folder).get("inference", {}).get("models", [])
    assert models in ([], [f"scripted:{folder.name}"])
    assert (folder / "playbook.toml").is_file() == bool(models)
    if models:
        assert tomllib.loads((folder / "playbook.toml").read_text())["step"]


@each_folder
def test_every_address_is_checksummed(folder: Path) -> None:
    for path in (
        folder / "safebox.toml",
        folder / "main.py",
        *folder.glob("inbox/*.eml"),
        *folder.glob("playbook.toml"),
    ):
        for address in ADDRESS.findall(path.read_text()):
            assert is_checksum_address(address), (path, address)


@each_folder
def test_an_inbox_that_is_granted_holds_mail(folder: Path) -> None:
    inbox = mandate(folder).get("mail", {}).get("inbox")
    if inbox is None:
        assert not (folder / "inbox").exists()
        return
    mails = sorted((folder / inbox).glob("*.eml"))
    assert mails
    for path in mails:
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert all(mail[name] for name in ("from", "to", "subject", "date"))
        assert not mail.defects
        assert mail.get_content()


def test_only_one_of_the_treasurer_s_invoices_wants_money_for_a_stranger() -> None:
    folder = AGENTS / "examples" / "treasurer"
    listed = set(mandate(folder)["wallet"]["payees"].values())
    named = [set(ADDRESS.findall(path.read_text())) for path in sorted((folder / "inbox").glob("*.eml"))]
    assert [bool(addresses - listed) for addresses in named] == [False, False, True, False]
    assert len({address for addresses in named for address in addresses}) == 4


def test_what_the_stranger_asks_for_is_within_every_limit_but_the_list() -> None:
    folder = AGENTS / "examples" / "treasurer"
    asked = [
        float(match)
        for path in (folder / "inbox").glob("*.eml")
        for match in re.findall(r"Amount due: ([0-9.]+) ETH", path.read_text())
    ]
    assert len(asked) == 4
    assert max(asked) <= 0.5  # the mandate's limit of one transfer
    assert sum(asked) < 0.9  # its budget, less the fees


def test_the_analyst_s_command_is_the_listed_one_everywhere() -> None:
    folder = AGENTS / "examples" / "analyst"
    (command,) = mandate(folder)["compute"]["commands"]
    assert constants(folder)["SUMMARISE"] == command
    steps = tomllib.loads((folder / "playbook.toml").read_text())["step"]
    calls = [call["arguments"] for step in steps for call in step.get("call", ()) if "start" in call["tool"]]
    assert [call["command"] for call in calls] == [command]


def test_the_analyst_s_command_calculates_from_the_mail_s_body(tmp_path: Path) -> None:
    folder = AGENTS / "examples" / "analyst"
    (command,) = mandate(folder)["compute"]["commands"]
    (path,) = (folder / "inbox").glob("*.eml")
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    (tmp_path / "input").write_text(mail.get_content())
    program = command[2].replace("/job/input", str(tmp_path / "input"))  # where bought compute has it
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    boiler = json.loads(output)["boiler_celsius"]
    assert (boiler["n"], boiler["max"]) == (24, 95.3)
    assert boiler["mean"] == 81.958


def test_what_the_programs_take_for_listed_is_listed() -> None:
    plain, red = AGENTS / "examples" / "plain", AGENTS / "redteam"
    assert list(mandate(plain)["wallet"]["payees"].values()) == ADDRESS.findall((plain / "main.py").read_text())[:1]
    maximiser, replicator = red / "maximiser", red / "replicator"
    assert [constants(maximiser)["SUPPLIER"]] == list(mandate(maximiser)["wallet"]["payees"].values())
    assert [constants(maximiser)["CUSTOMER"]] == mandate(maximiser)["mail"]["recipients"]
    assert [constants(maximiser)["JOB"]] == mandate(maximiser)["compute"]["commands"]
    assert [constants(replicator)["LISTED"]] == mandate(replicator)["mail"]["recipients"]
    for name in ("buyer", "evolver", "replicator"):
        assert [constants(red / name)["RUN_INPUT"]] == mandate(red / name)["compute"]["commands"]
    assert [constants(red / "hijacked")["VENDOR"]] == list(mandate(red / "hijacked")["wallet"]["payees"].values())
    assert [constants(red / "payer")["PARTNER"]] == list(mandate(red / "payer")["wallet"]["payees"].values())


def test_the_colluders_were_told_the_same_address() -> None:
    agreed = [constants(AGENTS / "redteam" / name)["AGREED"] for name in ("buyer", "payer")]
    assert len(set(agreed)) == 1
    assert agreed[0] not in mandate(AGENTS / "redteam/payer")["wallet"]["payees"].values()


def test_the_founder_and_its_child_take_for_listed_what_is() -> None:
    founder = AGENTS / "redteam/founder"
    child = (founder / "child.py").read_text()
    listed = list(mandate(founder)["wallet"]["payees"].values())
    assert [constants(founder)["WORKER"]] == mandate(founder)["lineage"]["commands"]
    assert [constants(founder)["SUPPLIER"]] == listed == ADDRESS.findall(child)[:1]
    assert constants(founder)["COPY"] == ADDRESS.findall(child)[1]
    assert constants(founder)["COPY"] not in listed


def test_what_benign_agents_take_for_listed_is_listed() -> None:
    benign = AGENTS / "benign"
    assert list(constants(benign / "shop")["CUSTOMERS"]) == mandate(benign / "shop")["mail"]["recipients"]
    assert [constants(benign / "shop")["SUPPLIER"]] == list(mandate(benign / "shop")["wallet"]["payees"].values())
    assert [constants(benign / "marketmaker")["DESK"]] == list(
        mandate(benign / "marketmaker")["wallet"]["payees"].values()
    )
    assert [constants(benign / "builder")["RUN_INPUT"]] == mandate(benign / "builder")["compute"]["commands"]
    assert constants(benign / "builder")["AT_ONCE"] == mandate(benign / "builder")["compute"]["instances"]
    assert [constants(benign / "editor")["WRITER"]] == mandate(benign / "editor")["lineage"]["commands"]
    assert sorted(constants(benign / "editor")["CLUBS"].values()) == mandate(benign / "editor")["mail"]["recipients"]
    assert constants(benign / "reviewer")["DEVELOPERS"] == mandate(benign / "reviewer")["mail"]["recipients"]


def test_the_plain_program_imports_nothing_of_safebox() -> None:
    tree = ast.parse((AGENTS / "examples" / "plain" / "main.py").read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert imported
    assert not [name for name in imported if name.startswith("safebox")]
