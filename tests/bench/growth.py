"""What a firewall that has grown costs: its ledger verified, and a call to it beside a call to one that is new."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Final

from safebox.firewall.core.tools import TOOLS
from tests.bench import ledgers
from tests.bench.report import Report
from tests.bench.served import Served
from tests.real_parts import with_bytecode

EVENTS: Final = 1_000_000
RUNS: Final = 10_000
RULES: Final = 1_000
ROUNDS: Final = 5
"""Of each pair of loads, in turn; the median is taken of their ratios."""
VERIFY_ROUNDS: Final = 3
BIN: Final = Path(sys.executable).parent


def measure_ledger(report: Report) -> None:
    """Measure `verify` and `growth_events`: one ledger of a million records for both."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        started = time.perf_counter()
        path = asyncio.run(ledgers.build(Path(folder), EVENTS))
        report.figure("build_1m_s", time.perf_counter() - started, "s")
        _verify(report, path)
        with Served(Path(folder)) as grown:
            report.figure("start_1m_s", grown.seconds, "s")
            report.figure("rss_1m_mb", grown.memory, "MB")
            _grown(report, "growth_events", grown)


def measure_runs(report: Report) -> None:
    """Measure `growth_runs`: ten thousand more runs, all of them live."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder, Served(Path(folder), others=RUNS) as grown:
        report.figure("rss_10k_runs_mb", grown.memory, "MB")
        _grown(report, "growth_runs", grown)


def measure_rules(report: Report) -> None:
    """Measure `growth_rules`: a thousand more rules of a site, spread over all kinds of actions."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder, tempfile.TemporaryDirectory(prefix="sb-") as site:
        _write_rules(Path(site), RULES)
        with Served(Path(folder), policies=[Path(site)]) as grown:
            _grown(report, "growth_rules", grown)


def _grown(report: Report, name: str, grown: Served) -> None:
    """The p50 of a call to it ÷ that of a new firewall beside it."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder, Served(Path(folder)) as new:
        for each in (grown, new):
            each.load(seconds=0.5)
        pairs = [(grown.load().p50, new.load().p50) for _ in range(ROUNDS)]
    report.ratio(name, statistics.median(ours / theirs for ours, theirs in pairs))
    report.figure(f"{name}_p50", statistics.median(ours for ours, _ in pairs) * 1e6, "µs")


def _verify(report: Report, path: Path) -> None:
    environment = {**with_bytecode(), "SAFEBOX_HOME": str(path.parent)}
    command, floor = [str(BIN / "safebox"), "audit", "verify"], ["sha256sum", str(path)]
    _seconds(floor, environment)
    pairs = [(_seconds(command, environment), _seconds(floor, environment)) for _ in range(VERIFY_ROUNDS)]
    ours = statistics.median(ours for ours, _ in pairs)
    report.ratio("verify", statistics.median(ours / theirs for ours, theirs in pairs))
    report.figure("verify_1m_s", ours, "s")
    report.figure("verify_records_per_s", EVENTS / ours, "1/s")
    report.figure("verify_sha256sum_s", statistics.median(theirs for _, theirs in pairs), "s")
    started = time.perf_counter()
    with path.open("rb") as file:
        file_digest(file, "sha256")
    report.figure("verify_openssl_s", time.perf_counter() - started, "s")
    report.figure("ledger_1m_mb", path.stat().st_size / 1e6, "MB")


def _seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _write_rules(site: Path, count: int) -> None:
    """Rules that are never broken, as many about each kind of action; one kind of them is asked about each call."""
    kinds = sorted({tool.kind for tool in TOOLS.values()})
    for kind in kinds:
        folder = site / "safebox" / "site" / kind
        folder.mkdir(parents=True)
        rules = [
            f'deny contains {{"code": "site.rule_{number}", "message": "No."}} if not _good_{number}\n'
            f'_good_{number} if input.action.tool != "site.tool_{number}"\n'
            for number in range(-(-count // len(kinds)))
        ]
        text = f"package safebox.site.{kind}\n\n" + "\n".join(rules)
        (folder / f"{kind}.rego").write_text(text, encoding="utf-8")


def main() -> None:
    """Measure growth alone; for people who look into one of them."""
    report = Report()
    wanted = set(sys.argv[1:]) or {"ledger", "runs", "rules"}
    for name, measure in (("ledger", measure_ledger), ("runs", measure_runs), ("rules", measure_rules)):
        if name in wanted:
            measure(report)
    report.print()


if __name__ == "__main__":
    main()
