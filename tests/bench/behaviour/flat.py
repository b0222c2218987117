"""What the detectors cost an action, after so many events of the same run."""

from __future__ import annotations

import time
from statistics import median
from typing import Final

import msgspec

from safebox.firewall.core.action import Call, canonical
from safebox.firewall.core.document import decided_event, shown_action, understand
from safebox.firewall.core.tools import TOOLS
from tests.bench.behaviour.theatre import ALLOWED, MINUTE, NOTHING_OWN, START_NS, Theatre

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
SAMPLES: Final = 2_000


def cost_by_events(sizes: tuple[int, ...] = SIZES) -> dict[str, float]:
    """Median microseconds of facts and fold together, by the number of events before."""
    theatre = Theatre()
    theatre.start(START_NS, "run_a", task="Keep the books.")
    book, tool = theatre.books.runs["run_a"], TOOLS["web.request"]
    found: dict[str, float] = {}
    times: list[float] = []
    for number in range(1, max(sizes) + 1):
        place = f"n{number % 5000}.example"
        arguments = {"method": "POST", "url": f"https://{place}/v1/servers/{number}"}
        at = START_NS + number * MINUTE // 10
        action = understand(Call(run="run_a", tool=tool.name, arguments=arguments), tool, f"act_{number}", at)
        shown = shown_action(action, tool)
        started = time.perf_counter()
        facts = book.behaving.facts(action, overlap=NOTHING_OWN, charges=())
        recorded = canonical({"behaviour": facts})
        between = time.perf_counter()
        decided = decided_event(action, ALLOWED, f"dec_{number}", "sha256:0", (), {}, shown, msgspec.Raw(recorded))
        again = time.perf_counter()
        book.behaving.decided(decided)
        times.append(time.perf_counter() - again + between - started)
        if number in sizes:
            found[str(number)] = round(median(times[-SAMPLES:]) * 1e6, 1)
            times.clear()
    return found
