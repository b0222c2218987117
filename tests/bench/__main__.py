"""Measure all there is, print the table, write `build/bench.json`."""

from __future__ import annotations

import time

from tests.bench import fairness, firewall, growth, memory, opa, replays, start, stop
from tests.bench.report import Report
from tests.real_parts import ROOT

MEASURES = (
    start.measure_help,
    firewall.measure,
    fairness.measure,
    stop.measure,
    start.measure_run,
    opa.measure,
    replays.measure,
    growth.measure_rules,
    growth.measure_runs,
    growth.measure_ledger,
    memory.measure,
)
"""In this order: what is short and quiet first."""


def main() -> None:
    """Run every measure in turn."""
    report = Report()
    for measure in MEASURES:
        print(f"measuring: {(measure.__doc__ or '').split('`')[1::2]}", flush=True)
        started = time.perf_counter()
        measure(report)
        print(f"  took {time.perf_counter() - started:.0f} s", flush=True)
    report.print()
    report.write(ROOT / "build" / "bench.json")


if __name__ == "__main__":
    main()
