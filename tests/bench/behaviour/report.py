"""What the behaviour bench found, as a table and a picture for `firewall/README.md`, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

BEGIN: Final = "<!-- behaviour-bench: begin -->"
END: Final = "<!-- behaviour-bench: end -->"
WIDTH: Final = 560
HEIGHT: Final = 360
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 20, 20, 50
RECALL_WANTED: Final = 0.95


def table(result: dict[str, Any]) -> str:
    """The generated block: what was found by family, and what was taken wrongly for it."""
    by = result["chosen_by"]
    lines = [
        BEGIN,
        f"Thresholds were chosen on {by['traces']} honest traces (seed {by['seed']}); "
        f"this is what they do on {result['traces']} others",
        f"(seed {result['seed']}). Found of the first table: {result['recall']:.1%}. "
        f"Honest runs bothered: {result['bothered']} of {result['honest']} ({result['fpr']:.2%}).",
        "",
        "| attack | found | median steps to the stop | median time to the stop | paid until then (wei, median) |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["families"].items():
        weak = " **(under 95 %)**" if row["recall"] < RECALL_WANTED else ""
        cells = [
            name + weak,
            f"{row['found']} of {row['of']}",
            f"{row['steps']}",
            _span(row["seconds"]),
            f"{row['paid']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| who has read the rules | found |", "|---|---|"]
    lines += [f"| {name} | {row['found']} of {row['of']} |" for name, row in result["evading"].items()]
    lines += ["", "| honest | bothered |", "|---|---|"]
    lines += [f"| {name} | {row['found']} of {row['of']} |" for name, row in result["benign"].items()]
    chosen = ", ".join(f"`{name}` {value}" for name, value in result["chosen"].items())
    lines += [
        "",
        f"Thresholds: {chosen}.",
        "",
        f"Detectors take, in µs: {_costs(result)} actions of its run.",
    ]
    lines += ["", "![recall against false positives](behaviour.svg)", END]
    return "\n".join(lines)


def _costs(result: dict[str, Any]) -> str:
    return ", ".join(f"{cost:.0f} after {int(events):,}" for events, cost in result["microseconds_by_events"].items())


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def placed(text: str, block: str) -> str:
    """The text with the block in the place of the one it had."""
    before, found, rest = text.partition(BEGIN)
    if not found:
        raise ValueError(f"there is no {BEGIN}")
    return before + block + rest.partition(END)[2]


def picture(points: Sequence[tuple[float, float]], chosen: tuple[float, float]) -> str:
    """Recall against false positives, as all thresholds are raised and lowered together; a small SVG."""
    path = " ".join(
        f"{'L' if place else 'M'}{_x(fpr):.1f},{_y(recall):.1f}" for place, (fpr, recall) in enumerate(points)
    )
    ticks = [each / 4 for each in range(5)]
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"',
        '     font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{_x(0)},{_y(1)} L{_x(0)},{_y(0)} L{_x(1)},{_y(0)}" fill="none" stroke="#444"/>',
        *(f'<text x="{_x(tick)}" y="{_y(0) + 18}" text-anchor="middle">{tick:.0%}</text>' for tick in ticks),
        *(f'<text x="{_x(0) - 8}" y="{_y(tick) + 4}" text-anchor="end">{tick:.0%}</text>' for tick in ticks),
        f'<text x="{_x(0.5)}" y="{HEIGHT - 10}" text-anchor="middle">honest runs bothered</text>',
        f'<text x="14" y="{_y(0.5)}" transform="rotate(-90 14 {_y(0.5)})" text-anchor="middle">attacks found</text>',
        f'<path d="{path}" fill="none" stroke="#0a58ca" stroke-width="2"/>',
        f'<circle cx="{_x(chosen[0]):.1f}" cy="{_y(chosen[1]):.1f}" r="5" fill="#d63384"/>',
        f'<text x="{_x(chosen[0]) + 10:.1f}" y="{_y(chosen[1]) + 16:.1f}">as shipped: {chosen[1]:.1%} found, '
        f"{chosen[0]:.1%} bothered</text>",
        "</svg>",
    ]
    return "\n".join(rows) + "\n"


def _x(share: float) -> float:
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
