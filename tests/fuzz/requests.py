"""A fuzz target: whatever is asked of the signer, it answers, and signs only what another reader reads as decided.

    python -m tests.fuzz requests 60      # mutate the corpus for a minute

`corpus/requests/` has one request a file, in JSON: for which allow of `tests.signer_desk.Desk`, as what, which bytes.
What breaks the target goes there, and stays.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from safebox.firewall.signer.wire import Kind
from tests.fuzz import typed_data
from tests.fuzz.mutation import mutated, search
from tests.signer_desk import PLACES, RLP, Desk

CORPUS: Final = Path(__file__).with_name("corpus") / "requests"
KINDS: Final[tuple[Kind, ...]] = ("transaction", "typed_data", "message")
_NUMBERS: Final = (0, 1, 2, 255, 256, 21_000, 31_337, 2**63, 2**255, 2**256 - 1)


class Request(NamedTuple):
    """Which allow is named, as what, and the bytes."""

    about: str
    kind: Kind
    content: bytes

    def text(self) -> str:
        """As it stands in a file."""
        return json.dumps({"about": self.about, "kind": self.kind, "content": self.content.hex()}) + "\n"


def read(path: Path) -> Request:
    """A request from a file."""
    said: dict[str, Any] = json.loads(path.read_text())
    return Request(said["about"], said["kind"], bytes.fromhex(said["content"]))


def corpus() -> list[Request]:
    """Every request that is kept."""
    return [read(path) for path in sorted(CORPUS.glob("*.json"))]


def check(desk: Desk, request: Request) -> bool:
    """Ask; whether it was signed.

    Raises:
        AssertionError: if it was, and is not what was decided.
    """
    return desk.check(desk.named[request.about], request.content, request.kind)


def mutants(seeds: list[Request], dice: random.Random) -> Iterator[Request]:
    """Requests like the seeds, without end; one in sixteen is a seed as it is."""
    contents = [seed.content for seed in seeds]
    while True:
        seed = dice.choice(seeds)
        match dice.randrange(16):
            case 0:
                yield seed
            case 1:
                yield seed._replace(about=dice.choice(seeds).about)
            case 2:
                yield seed._replace(kind=dice.choice(KINDS))
            case 3 | 4 | 5 | 6 | 7:
                yield seed._replace(content=_refilled(seed, dice))
            case _:
                yield seed._replace(content=mutated(seed.content, contents, dice))


def _refilled(seed: Request, dice: random.Random) -> bytes:
    """The same shape with another value in it."""
    if seed.kind == "typed_data":
        return typed_data.twisted(seed.content, dice)
    try:
        parts = cast("list[Any]", RLP.decode(seed.content[1:]))
        at = dice.randrange(len(parts))
        number = dice.choice(_NUMBERS)
        parts[at] = number.to_bytes((number.bit_length() + 7) // 8 if at != PLACES.index("to") else 32)[-20:]
        return seed.content[:1] + bytes(RLP.encode(parts))
    except (ValueError, TypeError, RLP.exceptions.RLPException):
        return seed.content[::-1]


def run(seconds: float) -> str:
    """Mutate the corpus for so long; what came of it."""
    with tempfile.TemporaryDirectory() as folder, closing(Desk(Path(folder))) as desk:
        dice = random.Random()  # noqa: S311 - no secret
        return search(mutants(corpus(), dice), lambda each: check(desk, each), _keep, seconds)


def _keep(request: Request, number: int) -> None:
    CORPUS.joinpath(f"broken-{number}.json").write_text(request.text())
