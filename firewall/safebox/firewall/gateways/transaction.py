"""Transactions read strictly: the one action each can mean, or none.

What comes out are a tool and its arguments; whether it may be done is decided there. No data is `wallet.transfer`, an
approval of one token and nothing else `wallet.approve`, everything else `wallet.call`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from safebox.firewall.accounts import signer_of_digest
from safebox.firewall.core.arguments import parse_address
from safebox.firewall.core.calldata import CALL_BYTES_MAX, read_call, registered
from safebox.firewall.core.calls import readings
from safebox.firewall.core.envelope import RAW_MAX, read_envelope
from safebox.firewall.core.leaves import Leaf, Reading
from safebox.firewall.errors import CallerError
from safebox.firewall.ports import RunView

_QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})", re.ASCII)
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_FIELDS: Final = frozenset(
    {
        "from", "to", "value", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas",
        "nonce", "chainId", "type", "data", "input", "accessList",
    }
)  # fmt: skip
"""Everything else (blobs, authorizations, fields not thought of yet) is refused by name."""
_BLOB: Final = frozenset({"blobs", "blobVersionedHashes", "maxFeePerBlobGas", "commitments", "proofs", "sidecars"})
_AUTHORIZATION: Final = "authorizationList"
_LEGACY, _DYNAMIC, _BLOB_TYPE, _AUTHORIZATION_TYPE = 0, 2, 3, 4
_APPROVALS: Final = frozenset({"approve", "increase_allowance", "decrease_allowance", "set_approval_for_all"})
"""The calls `wallet.approve` knows; a permit on chain is the signature of another time."""


def quantity(value: object, name: str) -> int:
    """Read a JSON-RPC quantity: `0x`, no leading zero, at most 256 bit.

    Raises:
        CallerError: for anything else: decimal text, numbers, floats, `0x`, `0x00`.
    """
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise CallerError(f"{name} must be a hexadecimal quantity such as 0x1f, without leading zeros")
    return int(value, 16)


def octets(value: object, name: str, most: int) -> bytes:
    """Read bytes as JSON-RPC writes them.

    Raises:
        CallerError: for anything else, and for more than `most` bytes.
    """
    if not isinstance(value, str) or _HEX.fullmatch(value or "0x") is None:
        raise CallerError(f"{name} must be 0x and bytes in hexadecimal")
    if len(value) > 2 + 2 * most:
        raise CallerError(f"{name} has more than {most} bytes", code="request.too_large")
    return bytes.fromhex(value[2:])


def transaction_action(transaction: object, view: RunView) -> tuple[str, dict[str, Any]]:
    """Turn a transaction object into a tool and its arguments.

    Raises:
        CallerError: if it isn't from the run's own address on the mandate's chain, creates a contract, is of another
            type than 0x0 and 0x2, or calls something that can't be read to the last byte; the code says why.
    """
    fields = _fields(transaction)
    _check_sender(fields.get("from"), view)
    _check_kind(fields, view)
    to, value, data = _payee(fields.get("to")), _number(fields, "value") or 0, _data(fields)
    offered: dict[str, Any] = {name: quantity(fields[name], name) for name in ("gas", "nonce") if name in fields}
    offered |= _fees(fields)
    if not data:
        return "wallet.transfer", {"to": to, "amount": f"{value} wei", **offered}
    known = readings(view.mandate)
    leaves = read_call(to, value, data, registered(known))
    if len(leaves) == 1 and _is_approval(leaves[0], value):
        return "wallet.approve", {**_approval(leaves[0]), **offered}
    call = {"to": to, "value": f"{value} wei", "data": "0x" + data.hex(), "contracts": [_plain(each) for each in known]}
    return "wallet.call", {**call, **offered}


def refuse_signed(raw: object, view: RunView) -> CallerError:
    """Why a transaction that is signed already is not sent: whose it is, and what it would have been.

    The run's key is with the signer, and what that signs is sent from there. So whatever comes from the sandbox was
    signed by a key that should not be in it, or is bytes that were never given out.
    """
    try:
        content = octets(raw, "the transaction", RAW_MAX)
        if not content:
            return CallerError("a signed transaction is 0x and bytes in hexadecimal")
        found = read_envelope(content)
        signer = signer_of_digest(found.digest, found.signature)
    except CallerError as error:
        return error
    except ValueError:
        return CallerError("the transaction can't be read: no key makes its signature", code="transaction.malformed")
    grant = view.mandate.wallet
    if grant is not None and found.chain_id != grant.chain_id:
        return CallerError(f"the transaction is for chain {found.chain_id}", code="transaction.wrong_chain")
    if signer != view.address:
        return CallerError(f"the transaction is signed by {signer}, not by this run", code="transaction.foreign_signer")
    return CallerError("transactions of this run are signed by the firewall alone", code="transaction.signed_elsewhere")


def _fields(transaction: object) -> dict[str, Any]:
    if not isinstance(transaction, dict):
        raise CallerError("a transaction is an object")
    fields: dict[str, Any] = {key: value for key, value in transaction.items() if value is not None}  # pyright: ignore[reportUnknownVariableType]
    if fields.keys() & _BLOB:
        raise CallerError("transactions with blobs are not accepted (EIP-4844)", code="transaction.blob")
    if _AUTHORIZATION in fields:
        raise CallerError("authorizations of code are not accepted (EIP-7702)", code="transaction.authorization")
    if unknown := fields.keys() - _FIELDS:
        raise CallerError(f"a transaction has no field {sorted(unknown)[0][:40]!r}")
    return fields


def _number(fields: dict[str, Any], name: str) -> int | None:
    return quantity(fields[name], name) if name in fields else None


def _address(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise CallerError(f"{name} must be an address")
    return parse_address(value)


def _payee(value: object) -> str:
    if value is None or value in ("", "0x"):
        raise CallerError("to is missing: contracts can't be created here", code="call.creation")
    return _address(value, "to")


def _data(fields: dict[str, Any]) -> bytes:
    """The data, under either of its names; under both only if they are the same."""
    named = [octets(fields[name], name, CALL_BYTES_MAX) for name in ("data", "input") if name in fields]
    if len(set(named)) > 1:
        raise CallerError("data and input differ")
    return named[0] if named else b""


def _check_sender(value: object, view: RunView) -> None:
    if view.address is None:
        return  # no wallet: policy says so, with its code
    if _address(value, "from") != view.address:
        raise CallerError("from is not this run's address")


def _check_kind(fields: dict[str, Any], view: RunView) -> None:
    if fields.get("accessList", []) != []:
        raise CallerError("access lists are not accepted", code="transaction.access_list")
    grant = view.mandate.wallet
    if grant is not None and _number(fields, "chainId") not in (None, grant.chain_id):
        raise CallerError("chainId is not this run's chain", code="transaction.wrong_chain")
    kind = _number(fields, "type")
    dynamic = {"maxFeePerGas", "maxPriorityFeePerGas"} & fields.keys()
    legacy = "gasPrice" in fields
    if kind == _BLOB_TYPE:
        raise CallerError("transactions with blobs are not accepted (EIP-4844)", code="transaction.blob")
    if kind == _AUTHORIZATION_TYPE:
        raise CallerError("authorizations of code are not accepted (EIP-7702)", code="transaction.authorization")
    if kind not in (None, _LEGACY, _DYNAMIC):
        raise CallerError("only transactions of type 0x0 and 0x2 are accepted", code="transaction.unknown_type")
    if (legacy and (dynamic or kind == _DYNAMIC)) or (dynamic and kind == _LEGACY):
        raise CallerError("gasPrice goes with type 0x0, maxFeePerGas and maxPriorityFeePerGas with type 0x2")


def _fees(fields: dict[str, Any]) -> dict[str, str]:
    """The fees as text amounts. A gas price is the most that is offered, so it becomes the maximum."""
    named = {
        "max_fee_per_gas": "gasPrice" if "gasPrice" in fields else "maxFeePerGas",
        "max_priority_fee_per_gas": "maxPriorityFeePerGas",
    }
    return {name: f"{quantity(fields[field], field)} wei" for name, field in named.items() if field in fields}


def _is_approval(leaf: Leaf, value: int) -> bool:
    return leaf.kind == "token_approval" and leaf.method in _APPROVALS and not leaf.carriers and not value


def _approval(leaf: Leaf) -> dict[str, Any]:
    """An approval as `wallet.approve` takes it."""
    asked = {
        "token": leaf.contract,
        "spender": leaf.other,
        "standard": leaf.standard,
        "method": leaf.method,
        "amount": None if leaf.units is None else str(leaf.units),
        "token_id": leaf.token_id,
        "approved": leaf.approved,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _plain(reading: Reading) -> dict[str, Any]:
    return {"address": reading.address, "standard": reading.standard, "functions": list(reading.functions)}
