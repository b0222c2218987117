"""JSON-RPC's ways to ask for a signature, as arguments of the tools that give one. `eth_sign` is there to be denied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from safebox.firewall.core.arguments import parse_address, parse_json
from safebox.firewall.errors import CallerError
from safebox.firewall.ports import RunView

Arguments = tuple[str, dict[str, Any]]
"""A tool and what it is asked for."""


def _typed_data(params: list[Any], view: RunView) -> Arguments:
    """`eth_signTypedData_v4(address, data)`: data as an object, or as text the way wallets take it."""
    account, data = params
    _check_account(view, account)
    if isinstance(data, str):
        data = parse_json(data.encode("utf-8", "surrogatepass"))
    if not isinstance(data, dict):
        raise CallerError("typed data is an object, or the JSON text of one")
    return "wallet.sign_typed_data", dict(data)  # pyright: ignore[reportUnknownArgumentType]


def _personal(params: list[Any], view: RunView) -> Arguments:
    """`personal_sign(message, address)`."""
    message, account = params
    return _message(view, message, account, "personal_sign")


def _bare(params: list[Any], view: RunView) -> Arguments:
    """`eth_sign(address, message)`: policy says no, with its code."""
    account, message = params
    return _message(view, message, account, "eth_sign")


def _message(view: RunView, message: object, account: object, method: str) -> Arguments:
    _check_account(view, account)
    if not isinstance(message, str):
        raise CallerError("a message is 0x and its bytes in hexadecimal")
    return "wallet.sign_message", {"message": message, "method": method}


def _check_account(view: RunView, account: object) -> None:
    if view.address is None:
        return  # no wallet: policy says so, with its code
    if not isinstance(account, str) or parse_address(account) != view.address:
        raise CallerError("the account is not this run's address")


SIGNS: Final[dict[str, Callable[[list[Any], RunView], Arguments]]] = {
    "eth_signTypedData_v4": _typed_data,
    "personal_sign": _personal,
    "eth_sign": _bare,
}
"""The methods, by their exact names; each answers with the action's `signature`."""
