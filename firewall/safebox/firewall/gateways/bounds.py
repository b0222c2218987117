"""What a read may ask of a node. A node answers whoever has its address; here each read has a bound and says which.

Only what a bound rests on is read; the rest is the node's to refuse, in its own words.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, cast

from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.rpc import TOO_MUCH

CALL_GAS_MAX: Final = 50_000_000
"""What nodes cap a call at by themselves (geth's --rpc.gascap), so that no use is lost."""
HISTORY_BLOCKS_MAX: Final = 1024
"""As geth has it."""
PERCENTILES_MAX: Final = 100
"""As geth has it."""
LOG_BLOCKS_MAX: Final = 10_000
"""What hosted nodes commonly search in one go: a day and a half of the main network."""
PROOF_KEYS_MAX: Final = 128
"""Slots proven at once; each is a walk through the state's tree."""
TOPICS_MAX: Final = 4
"""Positions a log has (EVM)."""
_NUMBER: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,15})", re.ASCII)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_WORD: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_CALL_LISTS: Final = ("blobs", "blobVersionedHashes", "authorizationList", "commitments", "proofs")
_HEADS: Final = frozenset({"latest", "pending", "safe", "finalized"})


class Criteria(NamedTuple):
    """Which logs: by contract and topics, as a node reads them."""

    shown: dict[str, Any]

    def of_block(self, block: str) -> dict[str, Any]:
        """The same logs of one block, by its hash."""
        return {**self.shown, "blockHash": block}


class Span(NamedTuple):
    """A range of blocks; None is an end that only the node knows."""

    first: int | None
    last: int | None


def bound_call(params: list[Any]) -> None:
    """A call takes bounded gas, and carries nothing that calls don't need.

    Raises:
        CallerError: if not.
    """
    if not params or not isinstance(params[0], dict):
        raise CallerError("a call is an object")
    call = cast("dict[str, Any]", params[0])
    gas = call.get("gas")
    if gas is not None and _number(gas, "gas") > CALL_GAS_MAX:
        raise CallerError(f"gas is above {CALL_GAS_MAX:#x}, the most a call may use", code=TOO_MUCH)
    unwanted = [name for name in _CALL_LISTS if name in call]
    if unwanted:
        raise CallerError(f"a call has no field {unwanted[0]!r} here")


def bound_history(params: list[Any]) -> None:
    """A fee history is of so many blocks and percentiles.

    Raises:
        CallerError: if it is of more.
    """
    count = params[0] if params else "0x0"
    blocks = count if type(count) is int else _number(count, "blockCount")
    percentiles = [len(cast("list[object]", one)) for one in params[2:] if isinstance(one, list)]
    if blocks > HISTORY_BLOCKS_MAX or any(count > PERCENTILES_MAX for count in percentiles):
        raise CallerError(
            f"a fee history is of at most {HISTORY_BLOCKS_MAX} blocks and {PERCENTILES_MAX} percentiles", code=TOO_MUCH
        )


def bound_proof(params: list[Any]) -> None:
    """A proof is of so many slots.

    Raises:
        CallerError: if it is of more.
    """
    slots = [len(cast("list[object]", one)) for one in params[1:] if isinstance(one, list)]
    if any(count > PROOF_KEYS_MAX for count in slots):
        raise CallerError(f"a proof is of at most {PROOF_KEYS_MAX} slots", code=TOO_MUCH)


def bound_logs(params: list[Any]) -> None:
    """A search for logs is of so many blocks, as far as its own words say.

    Raises:
        CallerError: if it is of more, or isn't an object.
    """
    span = log_span(wanted_logs(params))
    if span is not None and span.first is not None and span.last is not None:
        check_span(span.first, span.last)


def check_span(first: int, last: int) -> None:
    """See that a range of blocks isn't too long.

    Raises:
        CallerError: if it is.
    """
    if last - first >= LOG_BLOCKS_MAX:
        raise CallerError(f"logs are searched in at most {LOG_BLOCKS_MAX} blocks at once", code=TOO_MUCH)


def wanted_logs(params: list[Any]) -> dict[str, Any]:
    """The object that says which logs.

    Raises:
        CallerError: if there is none.
    """
    if len(params) != 1 or not isinstance(params[0], dict):
        raise CallerError("logs are searched by one object")
    return cast("dict[str, Any]", params[0])


def log_span(wanted: dict[str, Any]) -> Span | None:
    """The blocks a search goes over: None for one that names a block by its hash.

    Raises:
        CallerError: if an end is neither a number nor a tag.
    """
    if wanted.get("blockHash") is not None:
        return None
    return Span(_end(wanted.get("fromBlock"), "fromBlock"), _end(wanted.get("toBlock"), "toBlock"))


def open_span(span: Span | None) -> bool:
    """Whether only the node's newest block says how long a range is."""
    return span is not None and (span.first is None) != (span.last is None)


def criteria(wanted: dict[str, Any]) -> Criteria:
    """Read contracts and topics strictly: what a filter or subscription is asked for again and again.

    Raises:
        CallerError: if they are malformed.
    """
    unknown = wanted.keys() - {"address", "topics", "fromBlock", "toBlock"}
    if unknown:
        raise CallerError(f"logs are not chosen by {sorted(unknown)[0][:40]!r} here")
    shown: dict[str, Any] = {}
    if wanted.get("address") is not None:
        shown["address"] = _one_or_more(wanted["address"], _ADDRESS, "address")
    topics = wanted.get("topics")
    if topics is not None:
        if not isinstance(topics, list) or len(cast("list[object]", topics)) > TOPICS_MAX:
            raise CallerError(f"topics are a list of at most {TOPICS_MAX}")
        places = cast("list[object]", topics)
        shown["topics"] = [None if one is None else _one_or_more(one, _WORD, "a topic") for one in places]
    return Criteria(shown)


def _one_or_more(value: object, shape: re.Pattern[str], name: str) -> Any:
    listed = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and shape.fullmatch(one) for one in listed):
        raise CallerError(f"{name} is not of its length in hexadecimal")
    return cast("Any", value)


def _end(value: object, name: str) -> int | None:
    if value is None or (isinstance(value, str) and value in _HEADS):
        return None
    return 0 if value == "earliest" else _number(value, name)


def _number(value: object, name: str) -> int:
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        raise CallerError(f"{name} must be a hexadecimal quantity such as 0x1f, without leading zeros")
    return int(value, 16)
