"""For every test: a state folder of its own run, a table of the real parts, and nothing left behind.

A run may be split over several processes (`-n 2`, pytest-xdist). Each looks after what it started itself and tells the
one that reports; the hooks below run in all of them.
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import settings

from tests import leftovers, real_parts

GRACE_SECONDS = 5.0
"""What a child needs to see that its parent left, and to end."""

RECURSION = sys.getrecursionlimit()
"""Python's own limit. py_ecc, which comes with eth_account and web3, raises it to 100,000 for the whole process:
parsing deeply nested JSON then overflows the C stack, and the test run dies without a word."""

ENGINES = ("safebox.firewall.engines", "safebox.firewall.policytools", "tests.unit.policy")
"""Whoever imports one of these makes policy engines."""

settings.register_profile("safebox", deadline=None)  # tests assert no times: the first example loads what it needs
settings.load_profile("safebox")

_started = pytest.StashKey[float]()
_home = pytest.StashKey[str]()
_left = pytest.StashKey[list[str]]()
_LEFT, _USED = "left", "used"


def pytest_configure(config: pytest.Config) -> None:
    """Mark this process's children, and keep the person's own state folder out of reach of every test."""
    os.environ[leftovers.MARK] = secrets.token_hex(8)
    # Short, because a Unix socket's path holds at most 107 bytes.
    os.environ["SAFEBOX_HOME"] = config.stash[_home] = tempfile.mkdtemp(prefix="safebox-")
    config.stash[_started] = time.time()
    config.stash[_left] = []
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # A shell without job control starts what runs in the background like this, and every child would inherit it:
        # tests that press Ctrl-C need it to mean something, whoever started them.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when a process of it is still there, and in CI, where nothing else runs, a container as well."""
    config = session.config
    report: dict[str, Any] | None = getattr(config, "workeroutput", None)  # of one process of several
    # Only who reports looks at containers: what another process's test has just killed on purpose looks left behind.
    since = config.stash[_started] if report is None else None
    left = config.stash[_left]
    left += _left_behind(since)
    shutil.rmtree(config.stash[_home], ignore_errors=True)
    if report is not None:
        report[_LEFT], report[_USED] = left, real_parts.used_by()
    elif any(line.startswith("process") or real_parts.in_ci() for line in left):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what one process of several reports at its end."""
    report: dict[str, Any] = getattr(node, "workeroutput", {})
    node.config.stash[_left].extend(report.get(_LEFT, ()))
    real_parts.note_used(report.get(_USED, {}))


def _left_behind(since: float | None) -> list[str]:
    """What is there still after a while: this process's children, and containers made after `since`."""
    until = time.monotonic() + GRACE_SECONDS
    while True:
        left = leftovers.processes() + ([] if since is None else leftovers.containers(since))
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what the run really ran on, however quiet it is."""
    if real_parts.was_asked():
        terminalreporter.section("real parts", sep="-")
        for line in real_parts.table():
            terminalreporter.write_line(line)
    if left := config.stash.get(_left, None):
        terminalreporter.section("left behind by this run, or by another one meanwhile", sep="!", red=True)
        for line in left:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def recursion_limit() -> None:
    """Every test runs under Python's own recursion limit, whatever was imported before it."""
    sys.setrecursionlimit(RECURSION)


@pytest.fixture(autouse=True, scope="module")
def engines_end_where_they_were_made(request: pytest.FixtureRequest) -> Iterator[None]:
    """A policy engine may end only in the thread that made it, and garbage is collected in whichever runs.

    What `pytest.raises` keeps of an engine is such garbage, and the writer of somebody's ledger would collect it.
    """
    yield
    names = vars(cast("ModuleType", request.module))  # pyright: ignore[reportUnknownMemberType]
    used = [str(getattr(each, "__module__", None) or getattr(each, "__name__", "")) for each in names.values()]
    if any(name.startswith(ENGINES) for name in used):
        gc.collect()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a path short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        yield Path(folder)
