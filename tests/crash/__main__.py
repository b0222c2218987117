"""`python -m tests.crash --kills 500 --seed 1`: kill, check, print what came of it; status 1 if anything is wrong."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safebox.sandbox.engines.bwrap import BwrapEngine
from safebox.sandbox.image import build
from tests.crash.harness import Session, Tally, world
from tests.real_parts import find

START_SECONDS_MAX = 2.0
"""A firewall that was killed is ready again within this."""


def main() -> int:
    """Run one session."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="safebox-crash-"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start would compile every module
    os.environ["SAFEBOX_HOME"] = str(folder / "images")
    build(BwrapEngine())
    node = "" if options.node == "standin" else find("anvil").at
    show = _Progress() if sys.stdout.isatty() and not options.json else _say_nothing
    problem = ""
    with world(folder, node) as made:
        session = Session(made, options.seed, show)
        try:
            session.run(options.kills)
        except AssertionError as error:
            problem = str(error)
    tally = session.tally
    if show is not _say_nothing:
        print()
    wrong = bool(problem or tally.violations)
    if options.json:
        print(json.dumps(_document(tally, problem, node), indent=1))
    else:
        print(*_summary(tally, problem, node), sep="\n")
    if wrong:
        print(f"seed {options.seed}; everything is kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the moments of the kills")
    parser.add_argument("--node", choices=("anvil", "standin"), default="anvil", help="which chain")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _say_nothing(tally: Tally) -> None:
    """Nobody watches."""


class _Progress:
    """One line that is written over again and again."""

    def __call__(self, tally: Tally) -> None:
        effects = ", ".join(f"{count} {kind}" for kind, count in tally.effects.items())
        start = f"start {tally.middle_start:.2f} s, worst {tally.worst_start:.2f} s"
        text = f"{tally.kills} kills, {tally.records} records, {effects}; {start}; {len(tally.violations)} violations"
        width = shutil.get_terminal_size().columns - 1
        sys.stdout.write(f"\r{text[:width]:<{width}}")
        sys.stdout.flush()


def _summary(tally: Tally, problem: str, node: str) -> list[str]:
    lines = [
        f"seed        {tally.seed}",
        f"kills       {tally.kills} in {tally.seconds:.0f} s ({tally.missed} of them because the moment didn't come)",
        f"chain       {'anvil' if node else 'stand-in (py-evm)'}",
        f"records     {tally.records}, {tally.recovered} of them outcomes found after a crash",
        f"runs        {tally.runs}; {tally.answers} answers to their clients",
        *(f"{kind:<11} {count}" for kind, count in tally.effects.items()),
        f"start       median {tally.middle_start:.2f} s, worst {tally.worst_start:.2f} s, {len(tally.starts)} to ready",
        *(f"  {count:>4}  {point}" for point, count in tally.moments.most_common()),
        *(f"VIOLATION after kill {each.kill} ({each.moment}): {each.what}" for each in tally.violations),
    ]
    if problem:
        lines.append(f"VIOLATION after kill {tally.kills}: {problem}")
    slow = [(kill, took) for kill, took in tally.starts if took > START_SECONDS_MAX]
    lines += [f"slow        {took:.2f} s after {kill}" for kill, took in slow]
    lines.append(
        f"violations  {len(tally.violations) + bool(problem)}; starts over {START_SECONDS_MAX:.0f} s: {len(slow)}"
    )
    return lines


def _document(tally: Tally, problem: str, node: str) -> dict[str, Any]:
    more = {"middle_start": tally.middle_start, "worst_start": tally.worst_start, "node": node, "problem": problem}
    violations = [asdict(each) for each in tally.violations]
    return vars(tally) | {"violations": violations} | more


if __name__ == "__main__":
    sys.exit(main())
