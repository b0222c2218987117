"""JSON-RPC methods that are actions: what tool each is, how its parameters become arguments, what is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from safebox.firewall.gateways.transaction import transfer_arguments
from safebox.firewall.ports import RunView


class Act(NamedTuple):
    """One such method.

    `read` makes tool and arguments of the parameters and raises `CallerError` where it can't; `answer` is the field of
    the action's result that the method returns.
    """

    params: int
    read: Callable[[list[Any], RunView], tuple[str, dict[str, Any]]]
    answer: str


def _transaction(params: list[Any], view: RunView) -> tuple[str, dict[str, Any]]:
    return "wallet.transfer", transfer_arguments(params[0], view)


ACTS: Final[dict[str, Act]] = {"eth_sendTransaction": Act(1, _transaction, "transaction_hash")}
"""A transaction that is already signed (`eth_sendRawTransaction`) is not here: it would be another key's."""
