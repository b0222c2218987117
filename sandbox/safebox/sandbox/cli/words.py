"""Words for people: what an action asks for and what came of it, and text nobody can smuggle controls in."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

SHOWN_MAX: Final = 120
"""Characters of one summary: long enough for a mail's subject, short enough for two lines of a terminal."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_GWEI: Final = 10**9


def clean(text: object, *, lines: bool = False) -> str:
    """Text that can't steer a terminal: controls and invisible characters are shown as escapes."""
    return "".join(letter if _visible(letter, lines=lines) else _escaped(letter) for letter in str(text))


def _visible(letter: str, *, lines: bool) -> bool:
    return unicodedata.category(letter) not in _HIDDEN or (lines and letter == "\n")


def _escaped(letter: str) -> str:
    return {"\n": "\\n", "\t": " ", "\r": "\\r"}.get(letter) or f"\\u{ord(letter):04x}"


def fields(value: object) -> dict[str, Any]:
    """A JSON object's fields; none if it is anything else."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def shorten(text: str, most: int) -> str:
    """At most this many characters; what is left out is marked."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def short_address(address: str) -> str:
    """The ends of an address, for a line with little room."""
    return f"{address[:6]}…{address[-4:]}" if len(address) > 14 else address  # noqa: PLR2004


def money(amount: Any) -> str:
    """An amount of a ledger record or a live event, as people write it."""
    match amount:
        case {"asset": str(asset), "units": str(units)} if units.isdecimal():
            from safebox.firewall.core.money import DECIMALS, format_units

            return format_units(int(units), asset) if asset in DECIMALS else f"{int(units)} {clean(asset)}"
        case _:
            return clean(amount)


def line_granted(line: Mapping[str, Any]) -> str:
    """What was granted on a budget line of the firewall's answer."""
    return money({"asset": line["asset"], "units": line["granted"]})


def line_spent(line: Mapping[str, Any]) -> str:
    """What was spent on it, without the unit."""
    return money({"asset": line["asset"], "units": line["spent"]}).partition(" ")[0]


def summary(event: Mapping[str, Any], *, full: bool = False) -> str:
    """What the action of a `decided` event asks for, in a few words. `full` leaves addresses whole."""
    args: Any = fields(event.get("action")).get("args")
    say = _SUMMARIES.get(str(event.get("tool", "")))
    if say is None or not isinstance(args, dict):
        return shorten(clean(json.dumps(args, ensure_ascii=False)), SHOWN_MAX) if args else ""
    return say(fields(args), event, full)  # pyright: ignore[reportUnknownArgumentType]


def _payee(event: Mapping[str, Any], address: str, *, full: bool) -> str:
    name = fields(fields(event.get("facts")).get("payee")).get("name")
    shown = clean(address if full else short_address(address))
    return f"{clean(name)} ({shown})" if name else shown


def _transfer(args: Mapping[str, Any], event: Mapping[str, Any], full: bool) -> str:
    return f"pay {money(args.get('amount'))} → {_payee(event, str(args.get('to')), full=full)}"


def _cost(args: Mapping[str, Any], event: Mapping[str, Any], full: bool) -> str:
    return f"ask what {money(args.get('amount'))} → {_payee(event, str(args.get('to')), full=full)} would cost"


def _server(args: Mapping[str, Any], event: Mapping[str, Any], full: bool) -> str:
    payee = fields(fields(event.get("facts")).get("payment")).get("payee")
    to = _payee({"facts": {"payee": payee}}, str(args.get("payee")), full=full)
    text = f"pay {money(args.get('amount'))} → {to} for {clean(args.get('resource'))}"
    return text if full else shorten(text, SHOWN_MAX)


def _funds(args: Mapping[str, Any], event: Mapping[str, Any], full: bool) -> str:
    amount = money(args["amount"]) if args.get("amount") else "all that is left"
    to = f" → {clean(args.get('to'))}" if full else ""
    return f"{'the owner gives' if event.get('tool') == 'wallet.fund' else 'the owner takes back'} {amount}{to}"


def _mail(args: Mapping[str, Any], event: Mapping[str, Any], full: bool) -> str:
    to = [clean(address) for address in args.get("to") or ()]
    shown = ", ".join(to) if full else ", ".join(to[:2]) + (f" and {len(to) - 2} more" if to[2:] else "")
    files = args.get("attachments") or ()
    attached = f" with {len(files)} file{'' if len(files) == 1 else 's'}" if files else ""
    return shorten(f'mail {shown} "{clean(args.get("subject", ""))}"{attached}', 10_000 if full else SHOWN_MAX)


def _rent(args: Mapping[str, Any], event: Mapping[str, Any], full: bool) -> str:
    minutes = args.get("minutes")
    command = " ".join(clean(word) for word in args.get("command") or ())
    text = f"rent {clean(args.get('image'))} for {minutes} minute{'' if minutes == 1 else 's'}: {command}"
    return text if full else shorten(text, SHOWN_MAX)


def _ask(args: Mapping[str, Any], event: Mapping[str, Any], full: bool) -> str:
    most = args.get("max_tokens")
    limit = f", ≤ {most} tokens" if most else ""
    size = f", {args.get('request_bytes', '?')} bytes" if full else ""
    return f"ask {clean(args.get('model'))}{size}{limit}"


_SUMMARIES: Final[dict[str, Callable[[Mapping[str, Any], Mapping[str, Any], bool], str]]] = {
    "email.send": _mail,
    "email.list": lambda _args, _event, _full: "list the inbox",
    "email.read": lambda args, _event, _full: f"read message {clean(args.get('id'))}",
    "wallet.transfer": _transfer,
    "wallet.balance": lambda _args, _event, _full: "ask for its balance",
    "wallet.quote": _cost,
    "wallet.pay_request": _server,
    "wallet.fund": _funds,
    "wallet.sweep": _funds,
    "compute.start": _rent,
    "compute.status": lambda args, _event, _full: f"look at {clean(args.get('instance'))}",
    "compute.stop": lambda args, _event, _full: f"stop {clean(args.get('instance'))}",
    "inference.chat": _ask,
    "agent.children": lambda _args, _event, _full: "ask what became of its children",
}
"""How each tool's arguments are told; a tool that isn't here is told as JSON."""

_RESULTS: Final = ("transaction_hash", "message_id", "instance", "state", "exit_code", "charged", "block_number")
"""The fields of a result worth a word."""


def outcome(event: Mapping[str, Any], *, full: bool = False) -> str:
    """What a `settled` event says came of an action."""
    parts = [
        f"{money(charge.get('amount'))} taken{_of(charge)}" for charge in event.get("charges") or () if _some(charge)
    ]
    parts += [
        f"{money(charge.get('amount'))} given back{_of(charge)}"
        for charge in event.get("refunds") or ()
        if _some(charge)
    ]
    result = fields(event.get("result"))
    parts += [_result(key, result[key], full=full) for key in _RESULTS if result.get(key) is not None]
    if event.get("detail"):
        parts.append(clean(event["detail"]))
    if event.get("recovered"):
        parts.append("found out after a restart")
    return shorten(", ".join(parts), 10_000 if full else SHOWN_MAX)


def _of(charge: Mapping[str, Any]) -> str:
    """The total isn't taken beside the rest: it is what the rest was worth."""
    return " of the total" if charge.get("rail") == "total" else ""


def _some(charge: Mapping[str, Any]) -> bool:
    match charge.get("amount"):
        case {"units": str(units)}:
            return units.strip("0") != ""
        case str(text):
            return re.match(r"0 ", text) is None
        case _:
            return False


def _result(key: str, value: Any, *, full: bool) -> str:
    if key == "message_id" and not full:
        return "sent"
    text = clean(value)
    return f"{key.replace('_', ' ')} {text if full or not text.startswith('0x') else short_address(text)}"
