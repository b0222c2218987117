"""What `safebox policy replay` does in a second, beside the bare engine on the same documents and as many processors.

Run as `python -m tests.bench.replays LEDGER` to be one bare engine: it reads every document into memory, waits for a
line on standard input, judges them all, and prints how many seconds that took.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.policytools.judges import processors
from safebox.firewall.policytools.recorded import read_recorded
from tests import recordings
from tests.bench.report import Report
from tests.real_parts import ROOT, with_bytecode

ACTIONS: Final = 200_000
SAMPLE: Final = 20_000
"""Documents each bare engine judges: as many as it takes for a figure that stands still."""
ROUNDS: Final = 3
BIN: Final = Path(sys.executable).parent


def measure(report: Report) -> None:
    """Measure `replay_per_s` and `replay`: 200,000 recorded actions under a candidate that raises one cap."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        ledger = recordings.record(Path(folder), ACTIONS)
        candidate = recordings.fee_cap(Path(folder) / "candidate")
        _check(_replay(ledger, candidate, "--json"), ledger)
        rounds = [(_seconds(ledger, candidate), _engines(ledger)) for _ in range(ROUNDS)]
        report.figure("replay_ledger_mb", ledger.stat().st_size / 1e6, "MB")
    report.ratio("replay_per_s", statistics.median(ACTIONS / ours for ours, _ in rounds))
    report.ratio("replay", statistics.median(ACTIONS / ours / theirs for ours, theirs in rounds))
    report.figure("replay_200k_s", statistics.median(ours for ours, _ in rounds), "s")
    report.figure("engine_per_s", statistics.median(theirs for _, theirs in rounds), "1/s")


def _check(out: str, ledger: Path) -> None:
    """What is newly allowed is exactly what the recorded amounts say, in the order of the ledger.

    Raises:
        RuntimeError: if it isn't.
    """
    document: dict[str, Any] = json.loads(out)
    allowed = [change["decision"] for change in document["changes"] if change["kind"] == "newly_allowed"]
    reckoned = recordings.reckon(ledger)
    moved = [int(each["units"]) for each in document["would_move"]]
    if (allowed, moved, document["judged"]) != (reckoned.decisions, [reckoned.units], ACTIONS):
        raise RuntimeError(f"replay found {len(allowed)} newly allowed, {len(reckoned.decisions)} are")


def _replay(ledger: Path, candidate: Path, *options: str) -> str:
    words = ["policy", "replay", str(ledger), "--candidate", str(candidate), "--fail-on", "none", *options]
    command = [str(BIN / "safebox"), *words]
    return subprocess.run(command, env=with_bytecode(), capture_output=True, text=True, check=True).stdout


def _seconds(ledger: Path, candidate: Path) -> float:
    """The whole command: its start, and the candidate's validation, too."""
    started = time.perf_counter()
    _replay(ledger, candidate)
    return time.perf_counter() - started


def _engines(ledger: Path) -> float:
    """Decisions a second of bare engines, one on each processor."""
    command = [sys.executable, "-m", "tests.bench.replays", str(ledger)]
    engines = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processors())
    ]
    for engine in engines:
        assert engine.stdout is not None
        engine.stdout.readline()  # it has read its documents
    for engine in engines:
        assert engine.stdin is not None
        engine.stdin.write("go\n")
        engine.stdin.flush()
    return sum(SAMPLE / float(engine.communicate()[0]) for engine in engines)


def main() -> None:
    """Be one bare engine."""
    every = ACTIONS // SAMPLE
    documents = [each.document for number, each in enumerate(read_recorded(Path(sys.argv[1]))) if number % every == 0]
    engine = EmbeddedEngine(load_bundle([pack_folder()]))
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    for document in documents:
        engine.answer(document)
    print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
