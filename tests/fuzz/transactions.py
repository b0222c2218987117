"""A fuzz target: any bytes, read as calldata and as a signed transaction, are refused or read in their one encoding.

    python -m tests.fuzz transactions 60      # mutate the corpus for a minute

`corpus/` has one input a file, in hexadecimal. What breaks the target goes there, and stays.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from eth_abi.abi import decode, encode

from safebox.firewall.accounts import signer_of_digest
from safebox.firewall.core.abi import Function, function
from safebox.firewall.core.batches import batches
from safebox.firewall.core.calldata import read_call, registered
from safebox.firewall.core.envelope import read_envelope
from safebox.firewall.core.leaves import Leaf, Reading
from safebox.firewall.core.tokencalls import token_calls
from safebox.firewall.errors import CallerError
from tests.calls import RLP, SHOP, THING, TOKEN
from tests.fuzz.mutation import mutated, search

CORPUS: Final = Path(__file__).with_name("corpus")
LISTED: Final = ("buy(uint256,address,bytes32[])", "open()", "post(string,(int64,bytes)[2])")
CONTRACTS: Final = registered((Reading(SHOP, functions=LISTED), Reading(THING, "erc721")))
_LEGACY_FROM: Final = 0xC0


def corpus() -> list[bytes]:
    """Every input that is kept."""
    return [bytes.fromhex(path.read_text()) for path in sorted(CORPUS.glob("*.hex"))]


def known_functions() -> list[Function]:
    """What is read without being listed."""
    return [each.function for each in token_calls().values()] + [each.function for each in batches().values()]


def check(data: bytes) -> bool:
    """Try one input in every way; whether anything of it could be read.

    Raises:
        AssertionError: if what was read is not what another decoder reads, or encodes to other bytes.
    """
    return any([*(_call(to, data) for to in (TOKEN, THING, SHOP)), _transaction(data)])


def _call(to: str, data: bytes) -> bool:
    try:
        leaves = read_call(to, 0, data, CONTRACTS)
    except CallerError:
        return False
    assert leaves, "a call without a part"
    if data:
        found = _known(data[:4])
        types = [each.name for each in found.types]
        values = decode(types, data[4:])
        assert encode(types, values) == data[4:], "another encoding gives the same values"
        _compare(leaves, found.signature, values)
    return True


def _known(selector: bytes) -> Function:
    known = {each.selector: each for each in known_functions()}
    return known.get(selector) or next(each for each in map(function, LISTED) if each.selector == selector)


def _compare(leaves: tuple[Leaf, ...], signature: str, values: tuple[object, ...]) -> None:
    if signature == "transfer(address,uint256)":
        (leaf,) = leaves
        assert ((leaf.other or "").lower(), leaf.units) == values, "another payee or amount"


def _transaction(raw: bytes) -> bool:
    try:
        found = read_envelope(raw)
    except CallerError:
        return False
    body = raw if raw[0] >= _LEGACY_FROM else raw[1:]
    assert RLP.encode(RLP.decode(body)) == body, "another encoding of the same transaction"
    try:
        assert signer_of_digest(found.digest, found.signature)
    except ValueError:  # no key makes this signature
        return False
    return True


def mutants(seeds: list[bytes], dice: random.Random) -> Iterator[bytes]:
    """Inputs like the seeds, without end."""
    while True:
        yield mutated(dice.choice(seeds), seeds, dice)


def run(seconds: float) -> str:
    """Mutate the corpus for so long; what came of it."""
    return search(mutants(corpus(), random.Random()), check, _keep, seconds)  # noqa: S311 - no secret


def _keep(data: bytes, number: int) -> None:
    CORPUS.joinpath(f"broken-{number}.hex").write_text(data.hex() + "\n")
