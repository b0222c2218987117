"""Measure all there is, print the table, write `build/bench.json`."""

from __future__ import annotations

from tests.bench import firewall, start
from tests.bench.report import Report
from tests.real_parts import ROOT


def main() -> None:
    """Run every measure in turn."""
    report = Report()
    for measure in (start.measure_help, firewall.measure, start.measure_run):
        print(f"measuring: {(measure.__doc__ or '').split('`')[1::2]}", flush=True)
        measure(report)
    report.print()
    report.write(ROOT / "build" / "bench.json")


if __name__ == "__main__":
    main()
