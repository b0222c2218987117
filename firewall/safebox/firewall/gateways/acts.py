"""JSON-RPC methods that are actions: what tool each is, how its parameters become arguments, what is answered.

And those that never are, with why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.ethereum_sign import SIGNS
from safebox.firewall.gateways.transaction import refuse_signed, transaction_action
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
    return transaction_action(params[0], view)


ACTS: Final[dict[str, Act]] = {
    "eth_sendTransaction": Act(1, _transaction, "transaction_hash"),
    **{name: Act(2, read, "signature") for name, read in SIGNS.items()},
}


def _signed(params: list[Any], view: RunView) -> CallerError:
    return refuse_signed(params[0] if len(params) == 1 else None, view)


REFUSALS: Final[dict[str, Callable[[list[Any], RunView], CallerError]]] = {"eth_sendRawTransaction": _signed}
"""Methods that are there to be refused, each with a reason of its own."""
