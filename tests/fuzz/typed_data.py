"""A fuzz target: typed data is refused, or read into one normal form whose hash is what every wallet signs.

    python -m tests.fuzz typed_data 60      # mutate the corpus for a minute

`corpus/typed_data/` has one document a file. What breaks the target goes there, and stays.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from safebox.firewall.core.digests import typed_data_digest
from safebox.firewall.core.signing import AskTypedData, SignTypedData, normalise_typed_data
from safebox.firewall.core.typed_data import DOMAIN
from safebox.firewall.errors import CallerError
from tests.fuzz.mutation import mutated, search

CORPUS: Final = Path(__file__).with_name("corpus") / "typed_data"
UNREADABLE: Final = (ValueError, CallerError, RecursionError)
"""What reading may end with; msgspec's errors are ValueErrors."""
_KINDS: Final = ("uint256", "uint8", "int16", "address", "bool", "string", "bytes", "bytes4", "uint256[]", "Permit", "")
_VALUES: Final[tuple[Any, ...]] = (
    0, 1, -1, 2**53 + 1, 2**256 - 1, 2**256, "0", "1", "-1", "0x1", "0x01", "0x", "1e3", 1.5, True, None, [], {}, "é",
    "0x" + "11" * 20, "0x" + "11" * 32,
)  # fmt: skip


def corpus() -> list[bytes]:
    """Every document that is kept."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.json"))]


def check(content: bytes) -> bool:
    """Try one document; whether it could be read.

    Raises:
        AssertionError: if its normal form is another the next time, or another library hashes it to something else.
    """
    try:
        found = _read(content)
    except UNREADABLE:
        return False
    assert _read(found.typed_data.encode()) == found, "the normal form has another one"
    theirs = _hashed_by_others(content)
    assert theirs in (None, typed_data_digest(found.parsed())), "wallets sign something else"
    return True


def _read(content: bytes) -> SignTypedData:
    return normalise_typed_data(msgspec.json.decode(content, type=AskTypedData))


def _hashed_by_others(content: bytes) -> bytes | None:
    """What eth_account signs of it; None where it can't, or goes by another order of the domain's members."""
    said: dict[str, Any] = json.loads(content)
    usual = [{"name": each.name, "type": each.type} for each in DOMAIN if each.name in said["domain"]]
    if said["types"].setdefault("EIP712Domain", usual) != usual:
        return None
    try:
        signable = encode_typed_data(full_message=said)
    except Exception:  # noqa: BLE001 - it fails in many ways, and a document it refuses says nothing
        return None
    return bytes(keccak(b"\x19" + signable.version + signable.header + signable.body))


def twisted(content: bytes, dice: random.Random) -> bytes:
    """The same document with one value, type or name changed; any bytes if it is none."""
    try:
        document = json.loads(content)
    except ValueError:
        return content[::-1]
    _twist(document, dice)
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=dice.random() < 0.5).encode(
        errors="replace"
    )


def _twist(document: Any, dice: random.Random) -> None:
    """Walk down anywhere, and change what is there."""
    if isinstance(document, dict) and document:
        holder = cast("dict[str, Any]", document)
        name = dice.choice(list(holder))
        if isinstance(holder[name], dict | list) and holder[name] and dice.random() < 0.9:
            _twist(holder[name], dice)
        elif dice.random() < 0.2:
            holder[dice.choice((name + "x", name.upper(), ""))] = holder.pop(name)
        else:
            holder[name] = dice.choice(_KINDS) if name == "type" else dice.choice(_VALUES)
    elif isinstance(document, list) and document:
        items: list[Any] = document  # pyright: ignore[reportUnknownVariableType]
        at = dice.randrange(len(items))
        if isinstance(items[at], dict | list) and dice.random() < 0.8:
            _twist(items[at], dice)
        else:
            items[at : at + 1] = dice.choice(([], [items[at]] * 2, [dice.choice(_VALUES)]))


def mutants(seeds: list[bytes], dice: random.Random) -> Iterator[bytes]:
    """Documents like the seeds, without end."""
    while True:
        seed = dice.choice(seeds)
        yield twisted(seed, dice) if dice.random() < 0.8 else mutated(seed, seeds, dice)


def run(seconds: float) -> str:
    """Mutate the corpus for so long; what came of it."""
    return search(mutants(corpus(), random.Random()), check, _keep, seconds)  # noqa: S311 - no secret


def _keep(content: bytes, number: int) -> None:
    CORPUS.joinpath(f"broken-{number}.json").write_bytes(content)
