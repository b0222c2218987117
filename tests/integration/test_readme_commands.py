"""What is written for people is true: commands run, files and links exist, tables are those of the code."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.gateways.ethereum_sign import SIGNS
from safebox.firewall.lifecycle import environment
from safebox.firewall.mandate.file import load
from safebox.sandbox.cli.commands import COMMANDS
from safebox.sandbox.cli.exit import EXIT_STATUSES
from tests.contracts.conftest import real_engine
from tests.guides import same_block
from tests.live import Home, free_port, home_at, share_images, until
from tests.real_parts import NAMES, ROOT
from tests.unit.gateways.test_metrics import DOCUMENTED, touched

BIN = Path(sys.executable).parent
LAWS = 13
COLUMNS = 100
LINE_MAX = 120
SKIPPED = {"build", "dist", "node_modules"}
ALWAYS = {"-h", "--help", "--version", "--install-completion", "--show-completion"}
BASES = (
    ROOT,
    ROOT / "firewall",
    ROOT / "firewall/safebox/firewall",
    ROOT / "sandbox/safebox/sandbox",
    ROOT / "agents/safebox/agents",
)
"""Where a file that a guide names may be, besides beside the guide."""
MADE = {
    "approvers.toml",
    "signer.toml",
    "relax.json",
    "governance.toml",
    "ledger.sqlite3",
    "firewall.json",
    "agent.log",
    "bench.json",
    "trees",
}
"""Files a guide names that a run or a person makes."""
FILE = re.compile(r"[\w./-]+\.(?:py|rego|json|md|toml|ya?ml|service|lock|eml)|[\w.-]+(?:/[\w.-]+)*/")


def _guides() -> list[Path]:
    found = (path for path in ROOT.rglob("*.md") if path.is_file())
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") or part in SKIPPED for part in path.relative_to(ROOT).parts)
    )


GUIDES = _guides()
each_guide = pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))


def _prose(guide: Path) -> str:
    """The text without fenced blocks."""
    return re.sub(r"^```.*?^```", "", guide.read_text(), flags=re.M | re.DOTALL)


def _blocks(guide: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", guide.read_text(), re.M | re.DOTALL)


# --- files, links, lines ----------------------------------------------------------------------------------------


def _anchors(guide: Path) -> set[str]:
    """The anchors of headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _prose(guide), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_guide
def test_every_link_leads_somewhere(guide: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(guide)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = guide.parent / name if name else guide
        assert found.exists(), target
        assert not anchor or anchor in _anchors(found), target


@each_guide
def test_every_file_that_is_named_exists(guide: Path) -> None:
    named = [span for span in re.findall(r"`([^`\n]+)`", _prose(guide)) if FILE.fullmatch(span)]
    names = {path.name for path in ROOT.rglob("*") if not {".venv", ".git"} & set(path.parts)} | MADE
    missing = [
        span
        for span in named
        if not any((base / span).exists() for base in (guide.parent, *BASES)) and span.strip("/") not in names
    ]
    assert missing == []


@each_guide
def test_lines_fit_a_screen(guide: Path) -> None:
    lines = [line for line in guide.read_text().splitlines() if not line.startswith("|")]  # rows can't be broken
    assert [line for line in lines if len(line) > LINE_MAX or line != line.rstrip()] == []


# --- the threat model -------------------------------------------------------------------------------------------


def _laws() -> dict[int, str]:
    text = (ROOT / "firewall/THREAT_MODEL.md").read_text()
    parts = re.split(r"^### (\d+)\. ", text, flags=re.M)[1:]
    return {int(number): part for number, part in zip(parts[::2], parts[1::2], strict=True)}


def test_each_law_has_a_status_code_or_reason_and_tests_that_exist() -> None:
    laws = _laws()
    assert list(laws) == list(range(1, LAWS + 1))
    for number, part in laws.items():
        status = part.partition("\n")[0].partition(": ")[2]
        assert status.startswith(("held", "not yet", "the second half held")), number
        tests = re.findall(r"`(tests/[\w/]+\.py)`", part)
        assert tests, number
        assert [name for name in tests if not (ROOT / name).is_file()] == []


def test_the_laws_are_those_whose_break_is_a_security_report() -> None:
    assert len(re.findall(r"^\d+\. ", (ROOT / "SECURITY.md").read_text(), re.M)) == LAWS


# --- tables -----------------------------------------------------------------------------------------------------


def test_the_exit_statuses_listed_are_all_there_are() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*?)(?: \(`\w+`\))? \|$", (ROOT / "deploy/README.md").read_text(), re.M))
    assert {int(status) for status in rows} == set(EXIT_STATUSES)
    assert all(EXIT_STATUSES[int(status)].startswith(text) for status, text in rows.items())


def _variables() -> set[str]:
    text = (ROOT / "agents/examples/treasurer/safebox.toml").read_text()
    file = load(text, now=datetime.now(UTC), source="safebox.toml")
    return set(environment("run_1", file, "0x" + "11" * 20))


def test_the_readme_says_each_way_an_agent_may_use_its_wallet() -> None:
    section = (ROOT / "README.md").read_text().split("\n## Its wallet\n")[1].split("\n## ")[0]
    asked = {tool.name for tool in TOOLS.values() if tool.name.startswith("wallet.") and tool.caller is Caller.AGENT}
    assert set(re.findall(r"`(wallet\.\w+)`", section)) == asked
    signed = set(re.findall(r"`(eth_sendTransaction|eth_sign\w*|personal_sign)`", section))
    assert signed == {"eth_sendTransaction", *SIGNS}


@pytest.mark.parametrize("name", ["README.md", "agents/README.md"])
def test_the_variables_listed_are_those_an_agent_finds(name: str) -> None:
    rows = re.findall(r"^\| (`[A-Z_0-9]+`(?:, `[A-Z_0-9]+`)*) \|", (ROOT / name).read_text(), re.M)
    assert {variable for row in rows for variable in re.findall(r"\w+", row)} == _variables()


def _metrics_table() -> str:
    about = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for family in touched().registry.collect()
    }
    rows = [
        f"| `{name}` | {', '.join(f'`{label}`' for label in sorted(labels)) or '-'} | {about[name]} |"
        for name, labels in DOCUMENTED.items()
    ]
    return "\n".join(["| metric | labels | what |", "|---|---|---|", *rows])


def _help_block() -> str:
    return f"```console\n$ safebox --help\n{_help_of('')}```"


@pytest.mark.parametrize(
    ("name", "mark", "generate"),
    [("firewall/README.md", "metrics", _metrics_table), ("sandbox/README.md", "help", _help_block)],
)
def test_what_is_generated_is_up_to_date(name: str, mark: str, generate: Callable[[], str]) -> None:
    """`WRITE_GUIDES=1 pytest tests/integration/test_readme_commands.py -k generated` writes it anew."""
    same_block(ROOT / name, mark, generate())


def test_the_table_of_real_parts_is_complete() -> None:
    rows = re.findall(r"^\| (\w+) \| [^|]+ \|$", (ROOT / "tests/README.md").read_text(), re.M)
    assert tuple(rows[-len(NAMES) :]) == NAMES


# --- commands ---------------------------------------------------------------------------------------------------


def _commands(guide: Path) -> Iterator[str]:
    """Every `safebox …` a guide tells people to type, in blocks and in running text."""
    for block in _blocks(guide, "(?:sh|console)?"):
        yield from re.findall(r"^(?:\$ )?(safebox .*)$", block, re.M)
    yield from re.findall(r"`(safebox [a-z][^`]*)`", _prose(guide))


def _help_of(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "safebox.sandbox.cli", *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_every_command_that_is_told_exists_with_its_options() -> None:
    used: dict[str, set[str]] = {}
    for guide in GUIDES:
        for text in _commands(guide):
            words = re.sub(r"\s+(?:#|--\s).*", "", text).split()[1:]
            if not words or words[0].startswith("-") or words[0] == "COMMAND":
                assert set(words[:1]) <= {*ALWAYS, "COMMAND"}, text
                continue
            name = next(
                (each for each in (" ".join(words[:3]), " ".join(words[:2]), words[0]) if each in COMMANDS), None
            )
            group = any(command.startswith(words[0] + " ") for command in COMMANDS)
            assert name is not None or (group and len(words) == 1), f"{guide}: {text}"
            if name is not None:
                used.setdefault(name, set()).update(word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word))
    assert {"run", "init", "mandate check", "audit verify", "policy check", "kill", "demo"} <= set(used)
    for name, options in used.items():
        page = _help_of(name)
        assert [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", page)] == [], name


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for guide in GUIDES:
        named = re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", guide.read_text(), re.M)
        assert {first or second for first, second in named} <= targets, guide


# --- sessions, as they are told -------------------------------------------------------------------------


def _session(guide: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command of a guide's session with the lines it is said to print; what is left out is left out."""
    for block in _blocks(guide, "console"):
        command: list[str] = []
        expected: list[str] = []
        for line in block.splitlines():
            if line.startswith("$ ") and command:
                yield "\n".join(command), expected
                command, expected = [], []
            if line.startswith(("$ ", "> ")) or line == ">":
                command.append(line[2:])
            elif line.strip() not in ("", "…"):
                expected.append(line)
        yield "\n".join(command), expected


def _on_a_terminal(command: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """What a person sees who types this, without its colours."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    with subprocess.Popen(
        ["sh", "-c", command], stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment
    ) as process:
        os.close(slave)
        written = b"".join(_read_all(master))
        os.close(master)
        process.wait(60)
    return re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).replace("\r", "").splitlines()


def _read_all(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # the last one on the other side has left
            return
        if not piece:
            return
        yield piece


def _same(line: str) -> str:
    """A line without what differs from run to run: times, hashes, digests, fees."""
    line = re.sub(r"^\d\d:\d\d:\d\d", "TIME", line.rstrip())
    line = re.sub(r"(transaction hash) \S+", r"\1 HASH", line)
    line = re.sub(r"sha256:[0-9a-f]+", "DIGEST", line)
    line = re.sub(r"in \d+\.\d s$", "in N s", line)
    return re.sub(r"\d+\.\d{6,}", "N", line)


def _appear(expected: list[str], seen: list[str]) -> bool:
    """Whether all are there in their order; an agent's lines and the firewall's come by ways of their own."""
    for agents in (True, False):
        lines = iter([_same(line) for line in seen if ("│" in line) is agents])
        if not all(_same(line) in lines for line in expected if ("│" in line) is agents):
            return False
    return True


@pytest.fixture
def home(short_path: Path) -> Iterator[Home]:
    with home_at(short_path / "home") as home:
        yield home


@pytest.mark.docker
def test_the_readmes_session_and_first_agent_go_as_they_are_told(home: Home, tmp_path: Path) -> None:
    real_engine("docker")
    share_images(home.path)
    home.serve("--engine", "docker")
    shutil.copytree(ROOT / "agents", tmp_path / "agents", ignore=shutil.ignore_patterns("__pycache__"))
    variables = {**os.environ, "SAFEBOX_HOME": str(home.path), "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "xterm"}
    variables.pop("NO_COLOR", None)
    told = list(_session(ROOT / "README.md"))
    assert len(told) == 5
    for command, expected in told:
        seen = _on_a_terminal(command, tmp_path, variables)
        assert _appear(expected, seen), (command, seen)
    (first,) = [block for block in _blocks(ROOT / "README.md", "sh") if "safebox init" in block]
    for command in first.splitlines():
        if not command.startswith(". "):
            done = subprocess.run(
                ["sh", "-c", command], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done)


def test_a_first_change_of_policy_goes_as_it_is_told(home: Home, short_path: Path) -> None:
    real_engine("bwrap")
    share_images(home.path)
    here = short_path / "w"
    here.mkdir()
    told = list(_session(ROOT / "policies/README.md"))
    told = told[: 1 + max(index for index, (command, _) in enumerate(told) if command == "safebox run mailer")]
    assert len(told) > 15
    port = free_port()
    variables = {**os.environ, "SAFEBOX_HOME": str(home.path), "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "xterm"}
    variables.pop("NO_COLOR", None)
    try:
        for command, expected in told:
            before = _in_force(home)
            seen = _on_a_terminal(_here(command, port), here, variables)
            assert _appear(expected, [line.replace(f"{here}/", "") for line in seen]), (command, seen)
            if command.startswith("safebox serve"):
                until(lambda: _in_force(home), "no firewall came up")
            elif before and re.search(r"> ours/.*(\.json|/email.rego)$", command.splitlines()[0].replace(" <<END", "")):
                _until_another(home, before)
    finally:
        if firewall := home.status():
            os.kill(firewall["pid"], signal.SIGTERM)
        until(lambda: not home.status(), "the firewall goes on")


def _until_another(home: Home, before: str) -> None:
    until(lambda: _in_force(home) != before, "the edit is not in force")


def _here(command: str, port: int) -> str:
    """The command with a port that is free here, and the sandboxes every machine has."""
    return command.replace("9464", str(port)).replace("safebox serve", "safebox serve --engine bwrap")


def _in_force(home: Home) -> str:
    """The policy that judges; empty if there is no firewall."""
    return str(home.status().get("bundle", ""))
