"""What was measured, as a table for people and as `build/bench.json` for programs."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

GOALS: dict[str, tuple[str, float]] = {
    "overhead": ("≤", 1.5),
    "throughput": ("≥", 0.6),
    "run_cold": ("≤", 1.25),
    "run_warm": ("≤", 0.6),
    "help": ("≤", 6.0),
    "fairness": ("≤", 3.0),
    "verify": ("≤", 10.0),
    "growth_events": ("≤", 1.2),
    "growth_runs": ("≤", 1.2),
    "growth_rules": ("≤", 1.2),
    "opa_p50": ("≤", 1.0),
    "opa_throughput": ("≥", 3.0),
    "rss_mb": ("≤", 150.0),
    "rss_drift": ("≤", 1.05),
    "kill_ms": ("≤", 50.0),
    "rpc_cpu": ("≤", 1.5),
    "sign_p50": ("≤", 10.0),
    "sign_cpu": ("≤", 25.0),
    "replay_per_s": ("≥", 20_000.0),
    "replay": ("≥", 0.7),
}
"""The goal of each ratio; one whose name ends in `_ms` is a time, in `_per_s` a rate."""


class Report:
    """Ratios and figures of one run. A measure that no code exists for is absent, never invented."""

    def __init__(self) -> None:
        self.ratios: dict[str, float] = {}
        self.figures: dict[str, tuple[float, str]] = {}
        self.left_out: dict[str, str] = {}

    def ratio(self, name: str, value: float) -> None:
        """Note a ratio against a floor or peer of the same run."""
        self.ratios[name] = round(value, 3)

    def figure(self, name: str, value: float, unit: str) -> None:
        """Note a figure, true on this machine only."""
        self.figures[name] = (round(value, 3), unit)

    def leave_out(self, name: str, why: str) -> None:
        """Note that something could not be measured here."""
        self.left_out[name] = why

    def print(self) -> None:
        """Print the table."""
        print(f"\n{'ratio':24} {'value':>10}   goal")
        for name, value in self.ratios.items():
            mark, goal = GOALS[name]
            met = value <= goal if mark == "≤" else value >= goal
            print(f"{name:24} {value:>10.3f}   {mark} {goal:g}{'' if met else '   NOT REACHED'}")
        print(f"\n{'figure':24} {'value':>10}")
        for name, (value, unit) in self.figures.items():
            print(f"{name:24} {value:>10.1f}   {unit}")
        for name, why in self.left_out.items():
            print(f"not measured: {name}: {why}")

    def write(self, path: Path) -> None:
        """Write the JSON document."""
        figures = {name: {"value": value, "unit": unit} for name, (value, unit) in self.figures.items()}
        machine = {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
        path.parent.mkdir(exist_ok=True)
        document = {"ratios": self.ratios, "figures": figures, "machine": machine}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
