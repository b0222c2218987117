"""`python -m tests.bench [NAME …]`: measure (all there is), print the table, write `build/bench.json`."""

from __future__ import annotations

import argparse
import time

from tests.bench import fairness, firewall, growth, memory, opa, reads, replays, signing, start, stop
from tests.bench.report import Report
from tests.real_parts import ROOT

MEASURES = {
    "help": start.measure_help,
    "calls": firewall.measure,
    "fairness": fairness.measure,
    "stop": stop.measure,
    "reads": reads.measure,
    "signing": signing.measure,
    "run": start.measure_run,
    "opa": opa.measure,
    "replay": replays.measure,
    "rules": growth.measure_rules,
    "runs": growth.measure_runs,
    "ledger": growth.measure_ledger,
    "memory": memory.measure,
}
"""In this order: what is short and quiet first."""


def main() -> None:
    """Run every measure asked for in turn. The file is written when none is left out."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all if none is given")
    names: list[str] = parser.parse_args().names
    if unknown := set(names) - MEASURES.keys():
        parser.error(f"there is no measure {sorted(unknown)[0]!r}")
    report = Report()
    for name, measure in MEASURES.items():
        if names and name not in names:
            continue
        print(f"measuring: {(measure.__doc__ or '').split('`')[1::2]}", flush=True)
        started = time.perf_counter()
        measure(report)
        print(f"  took {time.perf_counter() - started:.0f} s", flush=True)
    report.print()
    if not names:
        report.write(ROOT / "build" / "bench.json")


if __name__ == "__main__":
    main()
