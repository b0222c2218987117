"""What holds for the checkout as a whole, whoever wrote which file."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from safebox.firewall.errors import CallerError, ConfigError, FirewallError, SafeboxError, SandboxError
from safebox.firewall.metrics import Metrics
from safebox.firewall.reasons import KNOWN_CODES
from safebox.sandbox.cli.exit import EXIT_STATUSES
from tests.real_parts import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")
SOURCES = ("firewall", "sandbox", "agents")
DEPLOY = ROOT / "deploy"
MODULE_LINES = 400
PIPELINE_LINES = 200

ERRORS: tuple[type[SafeboxError], ...] = (SafeboxError, ConfigError, CallerError, FirewallError, SandboxError)
CATCH_EVERYTHING = {
    "firewall/safebox/firewall/engines/embedded.py",  # the engine's panics derive from BaseException
    "firewall/safebox/firewall/policytools/run.py",  # the same, where policies are tested
    "firewall/safebox/firewall/gateways/exchange.py",  # outermost: one request's fault is not another's
    "agents/redteam/maximiser/main.py",  # outermost: an attacker goes on, whatever happens
    "agents/redteam/replicator/main.py",
}
"""Files that may swallow any exception. Cleaning up and raising again is allowed everywhere."""

INDEXES = tuple(
    name + ending
    for name, ending in (
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("registry.npmjs", ".org"),
        ("proxy.golang", ".org"),
        ("deb.debian", ".org"),
        ("static.crates", ".io"),
        ("repo.maven.apache", ".org"),
    )
)
SOMEBODYS_FOLDER = re.compile(r"/(?:home|Users)/[A-Za-z]")
HEAVY = ("langchain", "langchain_core", "openai", "web3", "eth", "docker", "regorus", "aiohttp", "uvicorn")
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "base", "misc"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts]


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of every tracked file that is text."""
    for path in tracked():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus/rules/safebox.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


# --- the code ---------------------------------------------------------------------------------------------------


def _is_broad(handler: ast.ExceptHandler) -> bool:
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else set[str]()
    return handler.type is None or bool(names & {"Exception", "BaseException"})


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(step, ast.Raise) and step.exc is None for step in handler.body)


def test_no_library_code_swallows_every_exception() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_again(node)
    }
    assert found <= CATCH_EVERYTHING


def test_modules_are_short_enough_to_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_the_pipeline_is_short_enough_to_audit() -> None:
    assert len((ROOT / "firewall/safebox/firewall/pipeline.py").read_text().splitlines()) < PIPELINE_LINES


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in modules() if path.stem in VAGUE or path.parent.name in VAGUE] == []


def test_help_is_printed_without_the_heavy_libraries() -> None:
    program = (
        "import sys; sys.argv = ['safebox', '--help']\n"
        "from safebox.sandbox.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout


# --- what is published ------------------------------------------------------------------------------------------


def test_no_tracked_file_names_a_package_index() -> None:
    assert [(name, index) for name, text in texts() for index in INDEXES if index in text] == []


def test_no_tracked_file_names_a_folder_of_somebodys_machine() -> None:
    assert [name for name, text in texts() if f"{ROOT}/" in text or SOMEBODYS_FOLDER.search(text)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_pins_every_package_by_hash_and_names_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert len(entries) > 50
    assert [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_both_locks_hold_the_same_versions() -> None:
    pins = [dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.M)) for name in LOCKS]
    assert {name: pins[1].get(name) for name in pins[0]} == pins[0]


def test_what_comes_from_npm_is_pinned_by_hash_and_names_no_address() -> None:
    text = (ROOT / "tests/npm/package-lock.json").read_text()
    assert text.count('"version"') == text.count('"integrity": "sha512-')
    assert "://" not in text


# --- what operators rely on -------------------------------------------------------------------------------------


def exported() -> set[str]:
    """Every series name the firewall can export."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {family.name + end for family in Metrics().registry.collect() for end in endings.get(family.type, ())}


def test_every_metric_in_the_rules_is_one_the_firewall_exports() -> None:
    named = {name for rule in rules() for name in re.findall(r"(?<![\w:])safebox_\w+", rule["expr"])}
    assert named
    assert named - exported() == set()


def test_every_recorded_series_in_the_rules_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert {name for rule in rules() for name in re.findall(r"safebox:[\w:]+", rule["expr"])} == recorded


def test_every_reason_code_of_the_policies_is_counted_from_zero() -> None:
    sources = [path for path in (ROOT / "policies").rglob("*.rego") if not path.stem.endswith("_test")]
    codes = {code for path in sources for code in re.findall(r'"code": "([\w.]+)"', path.read_text(encoding="utf-8"))}
    assert codes
    assert codes - set(KNOWN_CODES) == set()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"deploy/README.md#{name.lower()}"


def test_the_guide_has_a_section_for_each_alert_and_no_other() -> None:
    assert set(re.findall(r"^### (\w+)$", (DEPLOY / "README.md").read_text(), re.M)) == set(ALERTS)


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = yaml.safe_load((DEPLOY / "prometheus/tests/safebox_test.yml").read_text())["tests"]
    tested = {(each["alertname"], bool(each["exp_alerts"])) for case in cases for each in case["alert_rule_test"]}
    assert tested == {(name, fires) for name in ALERTS for fires in (True, False)}


def test_the_guide_lists_every_exit_status() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?)(?: \(`(\w+)`\))? \|$", (DEPLOY / "README.md").read_text(), re.M)
    assert [int(status) for status, _, _ in rows] == list(EXIT_STATUSES)
    assert {int(status): text for status, text, _ in rows if status != "1"}.items() <= EXIT_STATUSES.items()
    assert {name: int(status) for status, _, name in rows if name} == {
        each.__name__: each.exit_status for each in ERRORS if "exit_status" in vars(each)
    }


def test_the_service_runs_without_any_privilege() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd/safebox.service")
    service = unit["Service"]
    assert service["User"] == "safebox"
    assert service["CapabilityBoundingSet"] == ""
    assert service["NoNewPrivileges"] == "true"
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "always"


def test_the_container_runs_without_any_privilege() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    firewall = services["firewall"]
    assert firewall["cap_drop"] == ["ALL"]
    assert firewall["read_only"] is True
    assert not any(each.get("privileged") for each in services.values())
    assert [name for name, each in services.items() if "docker.sock" in str(each)] == ["firewall"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER \d*[1-9]\d*:", dockerfile, re.M)
    assert "--require-hashes" in dockerfile


def test_everything_scraped_and_served_stays_on_loopback() -> None:
    text = "".join((DEPLOY / name).read_text() for name in ("compose.yaml", "systemd/safebox.service"))
    assert "0.0.0.0" not in text  # noqa: S104
    assert text.replace('", "', " ").count("serve --metrics-port 9464") == 2
    assert "127.0.0.1:9464" in (DEPLOY / "prometheus/prometheus.yml").read_text()
