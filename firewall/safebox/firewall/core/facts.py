"""What the firewall itself knows about an action, as policy is shown it: exact, and never supplied by the agent.

Every field is always present; what isn't known is an explicit null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from safebox.firewall.behaviour.lookalike import lookalike
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import MoveFunds, SendEmail, StartCompute, Transfer
from safebox.firewall.core.books import RunBook
from safebox.firewall.core.calls import CallContract, call_facts
from safebox.firewall.core.kinship import taken_of
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.mcp import CallMcp, mcp_facts
from safebox.firewall.core.money import UNITS_MAX, pad
from safebox.firewall.core.objectives import objective_facts
from safebox.firewall.core.record import Charge
from safebox.firewall.core.signature import Contracts, signature_facts, spender_facts, token_facts
from safebox.firewall.core.signing import Approve, SignMessage, SignTypedData
from safebox.firewall.core.web import WebRequest, web_facts
from safebox.firewall.core.x402 import PayRequest, payment_facts

_SECOND: Final = 1_000_000_000


def rfc3339(at_ns: int) -> str:
    """Say a time as RFC 3339 in UTC, to the microsecond."""
    return f"{_whole_second(at_ns // _SECOND)}.{at_ns % _SECOND // 1000:06d}Z"


@lru_cache(maxsize=64)
def _whole_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def expired(mandate: Mandate, now_ns: int) -> bool:
    """Whether the mandate's time is over; a time that can't be read is over."""
    return _moment(mandate.expires) <= now_ns


@lru_cache(maxsize=4096)
def _moment(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time; 0 if it can't be read."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) * _SECOND
    except ValueError:
        return 0


def build_facts(
    action: Action,
    book: RunBook,
    *,
    address: str | None,
    charges: Sequence[Charge],
    learned: Mapping[str, Any],
    self_overlap: Mapping[str, Any] | None,
    frozen: bool = False,
    total: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put together `facts` of the policy input.

    Args:
        action: what is asked.
        book: the run's book, before this action.
        address: the run's wallet address.
        charges: what the action would take at worst.
        learned: what the connector knows, by the names of the policy input.
        self_overlap: how far the outgoing payload is the run itself, if something goes out.
        frozen: whether a person froze the run's wallet.
        total: what the charges are of the mandate's total, if it has one.
    """
    now = action.received_ns
    return {
        "money": {"charges": [_charge(book, charge, now) for charge in charges], "priced": True},
        "total": total,
        "rates": {**book.rate(action.kind).counts(now), "denied_10m": book.denied.count(now)},
        "expired": expired(book.mandate, now),
        "frozen": frozen,
        "payee": _payee(action, book.mandate, address, learned.get("payee")),
        "recipients": _recipients(action, book.mandate),
        "wallet": learned.get("wallet"),
        "simulation": learned.get("simulation"),
        "compute": _compute(action, book, learned.get("compute")),
        "inference": learned.get("inference"),
        "self_overlap": self_overlap,
        "approval": action.approval,
        **_outside(action, book.mandate, address, learned),
        "provenance": learned.get("provenance"),
        "lineage": learned.get("lineage"),
        "population": learned.get("population"),
        "launch": learned.get("launch"),
        "behaviour": book.behaving.facts(action, overlap=self_overlap, charges=charges),
        "objective": objective_facts(action.args, book.mandate, learned.get("child_told", "")),
    }


def _compute(action: Action, book: RunBook, learned: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What runs is in use, and so is what the run's children may rent. A name that nothing pins is what it is now."""
    if learned is None:
        return None
    known: dict[str, Any] = {**learned, "pinned_digest": None}
    if isinstance(action.args, StartCompute):
        known["pinned_digest"] = book.rented.pinned(action.args.image) or learned.get("image_digest")
    if isinstance(learned.get("running"), int):
        known["running"] = taken_of(book, learned["running"]).instances
    return known


def _outside(action: Action, mandate: Mandate, own: str | None, learned: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of what only some kinds of action have."""
    known: dict[str, Any] = dict.fromkeys(("token", "spender", "call", "signature", "payment", "web", "mcp"))
    contracts: Contracts = learned.get("contracts", {})
    match action.args:
        case Approve() as args:
            known["token"] = token_facts(args.token, mandate, contracts)
            known["spender"] = spender_facts(args.spender, args.token, mandate, own, contracts)
        case CallContract() as args:
            known["call"] = call_facts(args, mandate, own, contracts)
        case SignTypedData() | SignMessage() as args:
            known["signature"] = signature_facts(args, mandate, own, contracts, action.received_ns // _SECOND)
        case PayRequest() as args:
            known["payment"] = payment_facts(args, mandate, own, contracts, learned.get("domain_verified"))
        case WebRequest() as args:
            known["web"] = web_facts(args, learned.get("addresses"))
        case CallMcp() as args:
            known["mcp"] = mcp_facts(args, mandate.mcp, learned.get("mcp"))
        case _:
            pass
    return known


def _charge(book: RunBook, charge: Charge, now: int) -> dict[str, Any]:
    line, units = book.lines.get((charge.rail, charge.amount.asset)), charge.amount.units
    return {
        "rail": charge.rail,
        "asset": charge.amount.asset,
        "units": pad(units),
        "remaining": None if line is None else pad(book.remaining(charge.rail, charge.amount.asset) or 0),
        "hour": None if line is None else pad(min(line.hour.count(now) + units, UNITS_MAX)),
        "day": None if line is None else pad(min(line.day.count(now) + units, UNITS_MAX)),
    }


def _payee(
    action: Action, mandate: Mandate, own: str | None, learned: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if not isinstance(action.args, Transfer | MoveFunds):
        return None
    to = action.args.to
    payees = mandate.wallet.payees if mandate.wallet is not None else {}
    name = next((name for name, address in payees.items() if address == to), None)
    return {
        "address": to,
        "name": name,
        "listed": name is not None,
        "lookalike": None if name is not None else lookalike(to, payees),
        "is_contract": (learned or {}).get("is_contract"),
        "self": own is not None and to == own,
    }


def _recipients(action: Action, mandate: Mandate) -> list[dict[str, Any]] | None:
    if not isinstance(action.args, SendEmail):
        return None
    listed = mandate.mail.recipients if mandate.mail is not None else ()
    return [{"address": to, "listed": to in listed} for to in action.args.to]
