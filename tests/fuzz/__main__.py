"""`python -m tests.fuzz [TARGET …] [SECONDS]`: mutate the corpora, each target (all, if none is named) for so long."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from tests.fuzz import requests, transactions, typed_data

TARGETS: Final[dict[str, Callable[[float], str]]] = {
    "transactions": transactions.run,
    "typed_data": typed_data.run,
    "requests": requests.run,
}
SECONDS: Final = 20.0


def main(words: list[str]) -> None:
    """Ends with an error, and the input in the corpus, as soon as one breaks."""
    seconds = float(words.pop()) if words and words[-1] not in TARGETS else SECONDS
    for name in words or TARGETS:
        print(f"{name}: {TARGETS[name](seconds)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
