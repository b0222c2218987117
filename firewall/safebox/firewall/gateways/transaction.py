"""`eth_sendTransaction` read strictly: the one transaction it can mean, or none.

What comes out are the arguments of `wallet.transfer`; whether it may be sent is decided there.
"""

from __future__ import annotations

import re
from typing import Any, Final

from safebox.firewall.accounts import signer_of
from safebox.firewall.core.arguments import parse_address
from safebox.firewall.errors import CallerError
from safebox.firewall.ports import RunView

_QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})", re.ASCII)
_BYTES: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+", re.ASCII)
_RAW_MAX: Final = 65_536
"""Characters of a signed transaction that are looked at: what the largest contract there may be comes in."""
_FIELDS: Final = frozenset(
    {
        "from", "to", "value", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas",
        "nonce", "chainId", "type", "data", "input", "accessList",
    }
)  # fmt: skip
"""Everything else (blobs, authorizations, fields not thought of yet) is refused by name."""
_LEGACY, _DYNAMIC = 0, 2


def quantity(value: object, name: str) -> int:
    """Read a JSON-RPC quantity: `0x`, no leading zero, at most 256 bit.

    Raises:
        CallerError: for anything else: decimal text, numbers, floats, `0x`, `0x00`.
    """
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise CallerError(f"{name} must be a hexadecimal quantity such as 0x1f, without leading zeros")
    return int(value, 16)


def transfer_arguments(transaction: object, view: RunView) -> dict[str, Any]:
    """Turn a transaction object into the arguments of `wallet.transfer`.

    Raises:
        CallerError: if it is anything but a plain payment from the run's own address on the mandate's chain.
    """
    if not isinstance(transaction, dict):
        raise CallerError("a transaction is an object")
    fields: dict[str, Any] = {key: value for key, value in transaction.items() if value is not None}  # pyright: ignore[reportUnknownVariableType]
    unknown = fields.keys() - _FIELDS
    if unknown:
        raise CallerError(f"a payment has no field {sorted(unknown)[0][:40]!r}")
    _check_sender(fields.get("from"), view)
    _check_plain(fields, view)
    arguments: dict[str, Any] = {"to": _payee(fields.get("to")), "amount": f"{_number(fields, 'value') or 0} wei"}
    for name in ("gas", "nonce"):
        if name in fields:
            arguments[name] = quantity(fields[name], name)
    return arguments | _fees(fields)


def refuse_signed(raw: object, view: RunView) -> CallerError:
    """Why a transaction that is signed already is not sent.

    The run's key is outside, and what it signs is sent from there. So whatever comes from the sandbox was signed by a
    key that should not be in it, or is bytes that were never given out.
    """
    if not isinstance(raw, str) or len(raw) > _RAW_MAX or _BYTES.fullmatch(raw) is None:
        return CallerError(f"a signed transaction is 0x and bytes in hexadecimal, at most {_RAW_MAX} characters")
    try:
        signer = signer_of(bytes.fromhex(raw[2:]))
    except ValueError as error:
        return CallerError(f"the transaction can't be read: {error}", code="transaction.malformed")
    if signer != view.address:
        return CallerError(f"the transaction is signed by {signer}, not by this run", code="transaction.foreign_signer")
    return CallerError("transactions of this run are signed by the firewall alone", code="transaction.signed_elsewhere")


def _number(fields: dict[str, Any], name: str) -> int | None:
    return quantity(fields[name], name) if name in fields else None


def _address(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise CallerError(f"{name} must be an address")
    return parse_address(value)


def _payee(value: object) -> str:
    if value is None or value in ("", "0x"):
        raise CallerError("to is missing: contracts can't be created here")
    return _address(value, "to")


def _check_sender(value: object, view: RunView) -> None:
    if view.address is None:
        return  # no wallet: policy says so, with its code
    if _address(value, "from") != view.address:
        raise CallerError("from is not this run's address")


def _check_plain(fields: dict[str, Any], view: RunView) -> None:
    for name in ("data", "input"):
        if fields.get(name, "0x") not in ("", "0x"):
            raise CallerError(f"{name} must be empty: only plain payments can be sent")
    if fields.get("accessList", []) != []:
        raise CallerError("access lists are not accepted")
    grant = view.mandate.wallet
    if grant is not None and _number(fields, "chainId") not in (None, grant.chain_id):
        raise CallerError("chainId is not this run's chain")
    kind = _number(fields, "type")
    dynamic = {"maxFeePerGas", "maxPriorityFeePerGas"} & fields.keys()
    legacy = "gasPrice" in fields
    if kind not in (None, _LEGACY, _DYNAMIC):
        raise CallerError("only transactions of type 0x0 and 0x2 are accepted")
    if (legacy and (dynamic or kind == _DYNAMIC)) or (dynamic and kind == _LEGACY):
        raise CallerError("gasPrice goes with type 0x0, maxFeePerGas and maxPriorityFeePerGas with type 0x2")


def _fees(fields: dict[str, Any]) -> dict[str, str]:
    """The fees as text amounts. A gas price is the most that is offered, so it becomes the maximum."""
    named = {
        "max_fee_per_gas": "gasPrice" if "gasPrice" in fields else "maxFeePerGas",
        "max_priority_fee_per_gas": "maxPriorityFeePerGas",
    }
    return {name: f"{quantity(fields[field], field)} wei" for name, field in named.items() if field in fields}
