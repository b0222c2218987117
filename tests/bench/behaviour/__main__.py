"""Measure the behaviour detectors: `python -m tests.bench.behaviour [traces of each family [seed]]`.

Thresholds are chosen on honest traces of one seed, and what they find is reported on traces of another, honest ones and
attacks: none of them was looked at while the rules were written. Who changes a rule takes a new seed to report by.

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
from tests.bench.behaviour.attacks import ATTACKS, Trace
from tests.bench.behaviour.benign import BENIGN
from tests.bench.behaviour.choosing import NUMBERS, Judge, Played, choose, play, score
from tests.bench.behaviour.evading import EVADING
from tests.bench.behaviour.flat import cost_by_events
from tests.bench.behaviour.report import picture, placed, table
from tests.real_parts import ROOT

CHOOSING: Final = 20261123
"""The seed of what thresholds are chosen by."""
REPORTED: Final = 42966722
"""The seed of what is reported: drawn after the rules were done."""
EACH: Final = 60
"""Traces of each family and seed."""
SCALES: Final = tuple(2 ** (step / 4) for step in range(-16, 17))


def traces(families: dict[str, Trace], seed: int, each: int) -> list[Played]:
    """Play so many of each family."""
    return [play(name, trace, f"{seed}.{number}") for name, trace in families.items() for number in range(each)]


def measure(each: int, seed: int) -> dict[str, Any]:
    """Choose on one half, report the other."""
    chosen = choose(traces(BENIGN, CHOOSING, each))
    benign, attacks = traces(BENIGN, seed, each), traces(ATTACKS, seed, each)
    evading = traces(EVADING, seed, each)
    judge = Judge(chosen)
    families = {name: _found(judge, [one for one in attacks if one.family == name], chosen) for name in ATTACKS}
    beyond = {name: _found(judge, [one for one in evading if one.family == name], chosen) for name in EVADING}
    honest = {name: _found(judge, [one for one in benign if one.family == name], chosen) for name in BENIGN}
    bothered = sum(row["found"] for row in honest.values())
    good, bad = [score(one, chosen) for one in benign], [score(one, chosen) for one in attacks]
    points = [(_share(good, scale), _share(bad, scale)) for scale in SCALES]
    return {
        "chosen_by": {"seed": CHOOSING, "traces": each * len(BENIGN)},
        "seed": seed,
        "traces": len(benign) + len(attacks) + len(evading),
        "chosen": chosen,
        "honest": len(benign),
        "bothered": bothered,
        "fpr": bothered / len(benign),
        "recall": sum(row["found"] for row in families.values()) / len(attacks),
        "families": families,
        "evading": beyond,
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
    return {**numbers, "bred": data["population"]["bred"]}


def main() -> None:
    """Measure and write."""
    started = time.perf_counter()
    asked = [int(word) for word in sys.argv[1:]]
    each, seed, *_ = *asked, *(EACH, REPORTED)[len(asked) :]
    result = measure(each, seed)
    result["microseconds_by_events"] = cost_by_events()
    block = table(result)
    print(block)
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
