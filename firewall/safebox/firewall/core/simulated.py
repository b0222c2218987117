"""What a simulated transaction did to a wallet, held against what the transaction was read to do.

Rule 1: a simulation is never a yes. A contract can tell a simulation from the real thing; what was reserved stays so.
Rule 2: whatever leaves the wallet, or may be taken from it afterwards, and was not read beforehand is more than was
decided, however little it is.
Rule 3: logs are what contracts say about themselves. What a token's own balance says is asked, too, before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from safebox.firewall.core.addresses import checksummed, keccak256
from safebox.firewall.core.leaves import Leaf
from safebox.firewall.core.money import UNITS_MAX, pad

Kind = Literal["native", "token", "collectible", "allowance", "operator"]
LOGS_MAX: Final = 1000
"""Logs of one simulation that are read; a payment has a handful."""
TOLD_MAX: Final = 16
"""Moves that policy and the ledger are told; one is enough for a no."""
NATIVE: Final = "0x" + "ee" * 20
"""The address under which `eth_simulateV1` logs movements of the native money (`traceTransfers`)."""
_WORD: Final = 32
_ZERO: Final = checksummed(bytes(20))


def _topic(signature: str) -> bytes:
    return keccak256(signature.encode())


_TRANSFER: Final = _topic("Transfer(address,address,uint256)")
_APPROVAL: Final = _topic("Approval(address,address,uint256)")
_FOR_ALL: Final = _topic("ApprovalForAll(address,address,bool)")
_SINGLE: Final = _topic("TransferSingle(address,address,address,uint256,uint256)")
_BATCH: Final = _topic("TransferBatch(address,address,address,uint256[],uint256[])")


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Something that leaves the wallet, or that somebody may take from now on.

    `contract` is the token's, None for native money; `other` gets it or may take it, None if nobody can say who.
    `token_id` is that of a collectible. `units` are smallest units, all that `other` may take for an allowance, and 0
    for an approval that is taken back.
    """

    kind: Kind
    contract: str | None
    other: str | None
    units: int
    token_id: int | None = None

    @property
    def place(self) -> tuple[str, str | None, str | None, int | None]:
        """What it is about; moves about the same add up."""
        return self.kind, self.contract, self.other, self.token_id

    def shown(self) -> dict[str, Any]:
        """As policy is told it."""
        return {
            "kind": self.kind,
            "contract": self.contract,
            "other": self.other,
            "units": pad(self.units),
            "token_id": None if self.token_id is None else str(self.token_id),
        }


class Log(msgspec.Struct, frozen=True):
    """One log entry: who wrote it, its topics of 32 bytes each, its data."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes


def moves(logs: Sequence[Log], wallet: str) -> list[Move]:
    """What logs say left `wallet`, or may be taken from it; of several approvals of one spender the last one counts.

    Raises:
        ValueError: if a log of a known event can't be read, or there are more than are read.
    """
    if len(logs) > LOGS_MAX:
        raise ValueError(f"the simulation logs more than {LOGS_MAX} events")
    found: list[Move] = []
    standing: dict[tuple[Any, ...], Move] = {}
    for log in logs:
        for move in _read(log, wallet):
            if move.kind in ("allowance", "operator"):
                standing[move.place] = move
            else:
                found.append(move)
    return [*found, *standing.values()]


def _read(log: Log, wallet: str) -> Iterable[Move]:
    topics = log.topics
    match topics[0] if topics else b"":
        case signature if signature == _TRANSFER:
            return _transfer(log, wallet)
        case signature if signature == _APPROVAL:
            return _approval(log, wallet)
        case signature if signature == _FOR_ALL:
            owner, operator, approved = _words(log, 3)
            allowed = Move(kind="operator", contract=log.address, other=_address(operator), units=_number(approved))
            return [allowed] if _address(owner) == wallet else []
        case signature if signature in (_SINGLE, _BATCH):
            return _multi(log, wallet, batch=signature == _BATCH)
        case _:
            return []


def _transfer(log: Log, wallet: str) -> Iterable[Move]:
    """ERC-20 has the amount in its data, ERC-721 the id among its topics; some old tokens index nothing."""
    sender, to, value = _words(log, 3)
    if _address(sender) != wallet:
        return []
    other, number = _address(to), _number(value)
    if log.address.lower() == NATIVE:
        return [Move(kind="native", contract=None, other=other, units=number)]
    if len(log.topics) == 4:  # noqa: PLR2004 (the event and its three indexed fields)
        return [Move(kind="collectible", contract=log.address, other=other, units=1, token_id=number)]
    return [Move(kind="token", contract=log.address, other=other, units=number)]


def _approval(log: Log, wallet: str) -> Iterable[Move]:
    owner, spender, value = _words(log, 3)
    if _address(owner) != wallet:
        return []
    other, number = _address(spender), _number(value)
    if len(log.topics) == 4:  # noqa: PLR2004
        return [Move(kind="allowance", contract=log.address, other=other, units=int(other != _ZERO), token_id=number)]
    return [Move(kind="allowance", contract=log.address, other=other, units=number)]


def _multi(log: Log, wallet: str, *, batch: bool) -> Iterable[Move]:
    """ERC-1155: who operates, from whom, to whom, and one or many ids with their numbers."""
    body = b"".join(log.topics[1:]) + log.data
    heads = [body[at * _WORD : (at + 1) * _WORD] for at in range(5)]
    if any(len(head) != _WORD for head in heads):
        raise ValueError("a log of the simulation is cut off")
    if _address(heads[1]) != wallet:
        return []
    if batch:
        ids, numbers = (_list(log.data, _number(head)) for head in heads[3:])
    else:
        ids, numbers = [_number(heads[3])], [_number(heads[4])]
    other = _address(heads[2])
    return [
        Move(kind="collectible", contract=log.address, other=other, units=units, token_id=number)
        for number, units in zip(ids, numbers, strict=True)
    ]


def _list(data: bytes, start: int) -> list[int]:
    length = _number(data[start : start + _WORD]) if start + _WORD <= len(data) else LOGS_MAX + 1
    if length > LOGS_MAX or start + _WORD * (length + 1) > len(data):
        raise ValueError("a log of the simulation is cut off")
    return [_number(data[start + _WORD * at : start + _WORD * (at + 1)]) for at in range(1, length + 1)]


def _words(log: Log, count: int) -> list[bytes]:
    """The fields of an event, whether they are indexed or not."""
    body = b"".join(log.topics[1:]) + log.data
    if len(body) != count * _WORD or any(len(topic) != _WORD for topic in log.topics):
        raise ValueError("a log of the simulation has another shape than its event")
    return [body[at * _WORD : (at + 1) * _WORD] for at in range(count)]


def _address(word: bytes) -> str:
    return checksummed(word[-20:])


def _number(word: bytes) -> int:
    return int.from_bytes(word)


def said(leaves: Iterable[Leaf], wallet: str) -> list[Move]:
    """What may leave the wallet by what a transaction was read to do.

    An allowance that is raised or lowered ends at a sum nobody reads here, so it may end anywhere; what was added to it
    is charged in full. A listed function that is only called explains nothing: what it moves was to be read elsewhere.
    """
    return [move for leaf in leaves for move in _said(leaf, wallet)]


def _said(leaf: Leaf, wallet: str) -> Iterable[Move]:
    if leaf.value.units:
        first = leaf.via[0] if leaf.via else leaf.contract or leaf.other
        yield Move(kind="native", contract=None, other=first, units=leaf.value.units)
    whose = leaf.owner or (leaf.via[0] if leaf.via else wallet)
    if leaf.kind in ("token_transfer", "token_approval") and whose == wallet:
        kind, units = _moved(leaf)
        number = None if leaf.token_id is None else int(leaf.token_id)
        yield Move(kind=kind, contract=leaf.contract, other=leaf.other, units=units, token_id=number)


def _moved(leaf: Leaf) -> tuple[Kind, int]:
    if leaf.kind == "token_transfer":
        return ("token" if leaf.standard == "erc20" else "collectible"), leaf.units or 0
    if leaf.method == "set_approval_for_all":
        return "operator", int(leaf.approved is True)
    if leaf.standard == "erc721":
        return "allowance", 1
    return "allowance", UNITS_MAX if leaf.method in ("increase_allowance", "decrease_allowance") else leaf.units or 0


def unexplained(found: Iterable[Move], said: Iterable[Move], drops: Mapping[str, int] | None = None) -> list[Move]:
    """What was moved and nobody said.

    Args:
        found: what the simulation moved.
        said: what the transaction was read to move, at most.
        drops: by how much the wallet's balance of a token fell, by what the token itself says.
    """
    most: Counter[tuple[Any, ...]] = Counter()
    moved: Counter[tuple[Any, ...]] = Counter()
    by_token: Counter[str] = Counter()
    for move in said:
        most[move.place] += move.units
    for move in found:
        moved[move.place] += move.units
        if move.kind in ("token", "collectible") and move.contract is not None:
            by_token[move.contract] += move.units
    more = [_move(place, units - most[place]) for place, units in moved.items() if units > most[place]]
    for token, drop in (drops or {}).items():
        if drop > by_token[token]:
            more.append(Move(kind="token", contract=token, other=None, units=drop - by_token[token]))
    return more


def _move(place: tuple[Any, ...], units: int) -> Move:
    kind, contract, other, number = place
    return Move(kind=kind, contract=contract, other=other, units=min(units, UNITS_MAX), token_id=number)


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation showed. `by` is how it was made, None if nobody here can; what isn't known is None.

    `drops` is by how much the wallet's balance of each token fell that was asked.
    """

    by: Literal["simulate_v1", "trace", "call", "no_code"] | None
    reverts: bool | None = None
    reason: str | None = None
    found: tuple[Move, ...] | None = None
    drops: dict[str, int] = {}

    def facts(self, said: Iterable[Move]) -> dict[str, Any]:
        """`facts.simulation` of the policy input."""
        more = None if self.found is None else unexplained(self.found, said, self.drops)
        return {
            "by": self.by,
            "reverts": self.reverts,
            "reason": self.reason,
            "more": None if more is None else [move.shown() for move in more[:TOLD_MAX]],
        }


UNABLE: Final = Simulated(by=None)
"""Nobody could say."""
PLAIN: Final = Simulated(by="no_code", reverts=False, found=())
"""Money for an address without code: nothing runs, so nothing else can happen."""
