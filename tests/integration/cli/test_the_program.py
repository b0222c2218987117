"""The program as people and scripts meet it: exit statuses, plain output, errors with a remedy, quick help."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from safebox.firewall import errors
from safebox.firewall.errors import SafeboxError
from safebox.sandbox.cli import main
from safebox.sandbox.cli.commands import COMMANDS, GROUPS
from safebox.sandbox.cli.exit import EXIT_STATUSES
from safebox.sandbox.cli.help_page import help_page
from safebox.sandbox.cli.state import full_name
from tests.integration.cli.program import Program

HEAVY = ("langchain", "openai", "web3", "docker", "aiohttp", "uvicorn", "eth_", "eth.", "rich", "typer", "msgspec")


def test_help_fits_a_terminal_and_names_every_command_and_status(safebox: Program) -> None:
    page = safebox("--help").out
    assert page == help_page(colour=False)
    assert all(len(line) <= 80 for line in page.splitlines())
    assert all(
        re.search(rf"^  {command} +{re.escape(line)}$", page, re.MULTILINE) for command, line in COMMANDS.items()
    )
    assert all(f"{status}  {text}" in page for status, text in EXIT_STATUSES.items())


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "safebox.sandbox.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert not [name for name in imported if name.startswith(HEAVY)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_table_exists_and_explains_itself(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["safebox", *command.split(), "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"Usage: safebox {command} ")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_function_in_a_file_of_its_own(command: str) -> None:
    name = command.replace(" ", "_").replace("-", "_")
    assert callable(getattr(importlib.import_module(f"safebox.sandbox.cli.{name}"), name))
    assert " " not in command or command.split(" ", maxsplit=1)[0] in GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_commands(safebox: Program, group: str) -> None:
    page = safebox(group, "--help").out
    assert all(command.split(" ")[1] in page for command in COMMANDS if command.startswith(f"{group} "))


def test_statuses_are_those_of_the_errors() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, SafeboxError)]
    assert {each.exit_status for each in classes} <= set(EXIT_STATUSES)


def test_the_version_is_the_distributions(safebox: Program) -> None:
    assert re.fullmatch(r"safebox \d+\.\d+\.\d+\n", safebox("--version").out)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "Usage"),
        (("nope",), 2, "No such command 'nope'"),
        (("audit", "nope"), 2, "No such command 'nope'"),
        (("ps", "--nope"), 2, "No such option: --nope"),
        (("logs",), 2, "Missing argument 'RUN'"),
        (("kill",), 2, "name a run, or say --all"),
        (("kill", "x", "--all"), 2, "name a run, or say --all"),
        (("audit", "tail", "--verdict", "maybe"), 2, "maybe"),
        (("audit", "tail"), 3, "there is no ledger at"),
        (("audit", "verify"), 3, "there is no ledger at"),
        (("mandate", "check", "nowhere"), 3, "→ `safebox init` writes one"),
        (("logs", "x"), 3, "→ safebox ps"),
        (("policy", "test", "--run", "("), 3, "is no regular expression"),
        (("kill", "--all"), 5, "no firewall answers at"),
        (("image", "build", "--engine", "nope"), 6, "there is no sandbox engine 'nope'"),
        (("policy", "test", "--run", "no_such_test"), 7, ""),
    ],
)
def test_what_goes_wrong_has_its_status_and_is_told_on_standard_error(
    safebox: Program, words: tuple[str, ...], status: int, said: str
) -> None:
    done = safebox(*words)
    assert (done.status, said in done.err) == (status, True), done
    assert "Traceback" not in done.err


def test_nothing_live_is_no_error(safebox: Program) -> None:
    assert safebox("ps").status == 0
    assert safebox("ps", "--all").out == "There are no runs.\n"
    assert safebox("ps", "--json").out == ""


def test_a_mandate_is_written_checked_and_explained(safebox: Program, home: Path) -> None:
    assert safebox("init", "My Agent").status == 0
    assert 'name = "my-agent"' in (home / "My Agent" / "safebox.toml").read_text()
    told = safebox("mandate", "check", "My Agent")
    assert told.status == 0
    assert "inference  may  ask the model scripted:my-agent\n" in told.out
    assert "wallet     not  hold or move any money\n" in told.out
    again = safebox("init", "My Agent")
    assert (again.status, "is there already" in again.err) == (3, True)


def test_a_mandate_is_explained_as_json_and_so_are_its_mistakes(safebox: Program, home: Path) -> None:
    safebox("init", ".")
    found = json.loads(safebox("mandate", "check", "safebox.toml", "--json").out)
    assert found["ok"]
    names = ["wallet", "tokens", "contracts", "signing", "mail", "compute", "inference", "web", "mcp", "lineage"]
    assert [rail["name"] for rail in found["rails"]] == names
    (home / "safebox.toml").write_text("[agent]\nname = 1\n")
    done = safebox("mandate", "check", ".", "--json")
    problems = json.loads(done.out)["problems"]
    assert done.status == 3
    assert {"line": 2, "key": "agent.name"}.items() <= problems[-1].items()


def test_a_bad_mandate_names_each_line_and_starts_nothing(safebox: Program, home: Path) -> None:
    (home / "safebox.toml").write_text('[agent]\nname = "a"\n[wallet]\nbudget = 1.5\n[walet]\n')
    done = safebox("mandate", "check", "safebox.toml")
    assert (done.status, done.out) == (3, "")
    assert "safebox.toml:4: wallet.budget: 1.5 is not accepted; expected text with a unit, as in '1 ETH'\n" in done.err
    assert "safebox.toml:5: walet: there is no section 'walet'; expected 'wallet'\n" in done.err
    assert "(mandate.invalid)" in done.err


def test_policies_are_checked_with_an_overlay_on_top(safebox: Program, home: Path) -> None:
    overlay = home / "overlay" / "safebox" / "site"
    overlay.mkdir(parents=True)
    (overlay / "site.rego").write_text("package safebox.site\n\ndeny contains x if {\n")
    done = safebox("policy", "check", "overlay", "--json")
    assert done.status == 7
    assert json.loads(done.out)["findings"][0]["code"] == "policy.syntax"
    assert "site.rego" in safebox("policy", "check", "overlay").out


def test_the_pack_may_come_into_force_and_its_tests_pass(safebox: Program) -> None:
    assert safebox("policy", "check").out == "The policies may come into force.\n"
    done = safebox("policy", "test", "--run", "email")
    assert (done.status, re.fullmatch(r"\d+ passed in \d+\.\d s\n", done.out) is not None) == (0, True)


def test_the_doctor_tells_every_check_with_its_state(safebox: Program, home: Path) -> None:
    report = json.loads(safebox("doctor", "--json").out)
    checks = {check["name"]: check for check in report["checks"]}
    assert report["ok"] == all(check["state"] != "fail" for check in checks.values())
    assert checks["policies"]["state"] == "ok"
    home.chmod(0o755)
    done = safebox("doctor")
    assert done.status == 7
    assert re.search(r"^state folder +fail +", done.out, re.MULTILINE)
    assert f"  state folder: chmod 700 {home}" in done.out


def test_output_in_a_pipe_has_no_colours_and_is_utf8_wherever(safebox: Program) -> None:
    safebox("init", ".")
    done = safebox("mandate", "check", ".", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.status == 0
    assert "\x1b" not in done.out + safebox("--help").out + safebox("doctor").out


def test_a_closed_pipe_ends_quietly(home: Path) -> None:
    words = f"{sys.executable} -m safebox.sandbox.cli policy test --coverage | true"
    environment = {**os.environ, "SAFEBOX_HOME": str(home)}
    done = subprocess.run(["bash", "-c", words], env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_the_shell_completes_commands(safebox: Program) -> None:
    asked = {"_SAFEBOX_COMPLETE": "complete_bash", "COMP_WORDS": "safebox audit ", "COMP_CWORD": "2"}
    assert set(safebox(**asked).out.split()) == {name.split(" ")[1] for name in COMMANDS if name.startswith("audit ")}


def test_a_run_is_named_by_its_whole_name_or_a_unique_end() -> None:
    known = ["run_01aaa", "run_02baa"]
    assert full_name("run_01aaa", known) == "run_01aaa"
    assert full_name("2BAA", known) == "run_02baa"
    for named in ("aa", "zz", ""):
        with pytest.raises(errors.ConfigError):
            full_name(named, known)
