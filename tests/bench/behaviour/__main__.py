"""Measure the behaviour detectors: `python -m tests.bench.behaviour [traces of each family]`.

Writes build/behaviour-bench.json, the table in firewall/README.md and firewall/behaviour.svg.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from safebox.firewall.engines.bundle import pack_folder
from tests.bench.behaviour.attacks import ATTACKS
from tests.bench.behaviour.benign import BENIGN
from tests.bench.behaviour.choosing import NUMBERS, Judge, Played, choose, play, score
from tests.bench.behaviour.flat import cost_by_events
from tests.bench.behaviour.report import picture, placed, table
from tests.real_parts import ROOT

SEED: Final = 20261123
EACH: Final = 60
"""Traces of each family: half to choose by, half to report."""
SCALES: Final = tuple(2 ** (step / 4) for step in range(-16, 17))


def halves(families: dict[str, Any], each: int) -> tuple[list[Played], list[Played]]:
    """Play all families; every second trace is for choosing."""
    found = [(number, play(name, trace, SEED + number)) for name, trace in families.items() for number in range(each)]
    return [one for number, one in found if number % 2 == 0], [one for number, one in found if number % 2]


def measure(each: int) -> dict[str, Any]:
    """Choose on one half, report the other."""
    to_choose, benign = halves(BENIGN, each)
    _, attacks = halves(ATTACKS, each)
    chosen = choose(to_choose)
    judge = Judge(chosen)
    families = {name: _found(judge, [one for one in attacks if one.family == name], chosen) for name in ATTACKS}
    honest = {name: _found(judge, [one for one in benign if one.family == name], chosen) for name in BENIGN}
    bothered = sum(row["found"] for row in honest.values())
    good, bad = [score(one, chosen) for one in benign], [score(one, chosen) for one in attacks]
    points = [(_share(good, scale), _share(bad, scale)) for scale in SCALES]
    return {
        "seed": SEED,
        "traces": each * (len(BENIGN) + len(ATTACKS)),
        "chosen": chosen,
        "honest": len(benign),
        "bothered": bothered,
        "fpr": bothered / len(benign),
        "recall": sum(row["found"] for row in families.values()) / len(attacks),
        "families": families,
        "benign": honest,
        "points": sorted(set(points)),
    }


def _share(scores: Sequence[float], scale: float) -> float:
    return sum(one >= scale for one in scores) / len(scores)


def _found(judge: Judge, played: Sequence[Played], chosen: dict[str, int]) -> dict[str, Any]:
    rows: list[tuple[int, float, int]] = []
    for one in played:
        stop = judge.stops_at(one)
        if (stop is not None) is not (score(one, chosen) >= 1):
            raise AssertionError(f"{one.family}: policy says {stop and stop[1]}, the score {score(one, chosen)}")
        if stop is not None:
            before = [seen for seen in one.seen if seen.at_ns < stop[0].at_ns]
            seconds = (stop[0].at_ns - one.seen[0].at_ns) / 1e9
            rows.append((len(before), seconds, sum(seen.paid for seen in before)))
    steps, times, paid = zip(*rows, strict=True) if rows else ((0,), (0.0,), (0,))
    return {
        "found": len(rows), "of": len(played), "recall": len(rows) / len(played),
        "steps": int(median(steps)), "seconds": median(times), "paid": int(median(paid)),
    }  # fmt: skip


def shipped() -> dict[str, int]:
    """The numbers in the pack."""
    data: dict[str, Any] = json.loads((pack_folder() / "data/behaviour/data.json").read_text())
    numbers = {name: data[name]["throttle"] if name == "probing" else data[name] for name in NUMBERS}
    return {**numbers, "generations": data["population"]["generations"]}


def main() -> None:
    """Measure and write."""
    started = time.perf_counter()
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else EACH)
    result["microseconds_by_events"] = cost_by_events()
    block = table(result)
    print(block)
    print(f"\nmicroseconds an action, by events before it: {result['microseconds_by_events']}")
    if result["chosen"] != shipped():
        print(f"NOT AS SHIPPED: data/behaviour has {shipped()}")
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "behaviour-bench.json").write_text(json.dumps(result, indent=2) + "\n")
    readme = Path(ROOT / "firewall/README.md")
    readme.write_text(placed(readme.read_text(), block))
    (ROOT / "firewall/behaviour.svg").write_text(picture(result["points"], (result["fpr"], result["recall"])))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
