"""Ledger events as lines for people: one line each in a pipe, coloured and wrapped on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from safebox.sandbox.cli.words import clean, fields, outcome, short_address, summary

MARKS: Final = {"allow": "✔", "deny": "✘", "hold": "⏸", "yes": "✔", "no": "✘", "failed": "!", "unknown": "?"}
COLOURS: Final = {
    "allow": "32",
    "deny": "1;31",
    "stall": "1;31",
    "refused": "1;31",
    "hold": "33",
    "done": "2",
    "failed": "31",
    "unknown": "33",
    "yes": "32",
    "no": "1;31",
}
"""SGR numbers by verdict and outcome."""
_INDENT: Final = 21
"""Where the tool's name starts: time, mark and verdict stand before it."""
_TOOL: Final = 15
"""The longest tools' names (wallet.transfer) have this many letters."""
_NARROW: Final = 40
"""Less room than this can't be wrapped to any use."""


def time_of(at_ns: object) -> str:
    """The local time of day of an event; those without a time are live, so it is now."""
    moment = datetime.fromtimestamp(at_ns // 10**9) if isinstance(at_ns, int) else datetime.now()
    return f"{moment:%H:%M:%S}"


def day_and_time(at_ns: int) -> str:
    """The local date and time of an event, without the year: short enough for a column."""
    return f"{datetime.fromtimestamp(at_ns // 10**9):%m-%d %H:%M}"


def plain_line(event: Mapping[str, Any], *, with_run: bool) -> str:
    """An event as one uncoloured line that leaves nothing out."""
    word, tool, text, why = _parts(event, full=True)
    run = clean(event.get("run") or "-") if with_run else ""
    return " ".join(
        part
        for part in (time_of(event.get("at_ns")), run, word, tool, text, f"[{'; '.join(why)}]" if why else "")
        if part
    )


def terminal_lines(event: Mapping[str, Any], *, width: int, with_run: bool = False) -> str:
    """An event for a terminal `width` columns wide; `with_run` says whose it is."""
    word, tool, text, why = _parts(event, full=False)
    colour = COLOURS.get(word, "1")
    run = f"\x1b[2m{clean(str(event.get('run') or ''))[-6:]:6}\x1b[0m " if with_run else ""
    indent = _INDENT + (7 if with_run else 0)
    room = max(_NARROW, width - 1)
    head = f"{time_of(event.get('at_ns'))}  {run}\x1b[{colour}m{MARKS.get(word, ' ')} {word:9}\x1b[0m"
    body = _wrapped(f"{tool:{_TOOL}}  {text}".rstrip(), room, indent, indent + _TOOL + 2)
    lines = [f"\x1b[2m{body}\x1b[0m" if word == "done" else body]
    lines += [f"\x1b[{colour}m{' ' * indent}{_wrapped(reason, room, indent, indent)}\x1b[0m" for reason in why]
    return head + "\n".join(lines)


def _wrapped(text: str, room: int, start: int, indent: int) -> str:
    indent = indent if indent + _NARROW <= room else start
    lines = textwrap.wrap(
        text, room, initial_indent=" " * start, subsequent_indent=" " * indent, drop_whitespace=True, max_lines=4
    )
    return "\n".join(lines)[start:]


Parts = tuple[str, str, str, Sequence[str]]
"""The word that is coloured, the tool, what it is about, and each reason why it was refused."""


def _parts(event: Mapping[str, Any], *, full: bool) -> Parts:
    say = _EVENTS.get(str(event.get("event")))
    if say is not None:
        return say(event, full)
    return clean(event.get("event") or "?"), clean(event.get("tool", "")), _rest(event), ()


def _decided(event: Mapping[str, Any], full: bool) -> Parts:
    answer = fields(event.get("answer"))
    text = summary(event, full=full) + _by_owner(event) + _of_hold(event, answer) + _of_monitored(answer)
    return str(answer.get("verdict", "?")), clean(event.get("tool", "")), text, _why(answer)


def _of_hold(event: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """What a held decision is called, where people have to name it, and which one another comes of."""
    if answer.get("verdict") == "hold":
        return f" (waits as {clean(event.get('decision', '?'))})"
    return f" (held before as {clean(event['hold'])})" if event.get("hold") else ""


def _of_monitored(answer: Mapping[str, Any]) -> str:
    """The rules that would have said otherwise, were they not in monitor mode."""
    said = fields(answer.get("obligations")).get("monitored") or ()
    codes = ", ".join(clean(reason["code"]) for reason in said)
    return f" (only monitored: {codes})" if codes else ""


def _by_owner(event: Mapping[str, Any]) -> str:
    owner = event.get("caller") == "owner" and not str(event.get("tool")).startswith("wallet.")
    return " (by the owner)" if owner else ""


def _settled(event: Mapping[str, Any], full: bool) -> Parts:
    return str(event.get("status", "?")), clean(event.get("tool", "")), outcome(event, full=full), ()


def _launch_decided(event: Mapping[str, Any], full: bool) -> Parts:
    answer = fields(event.get("answer"))
    args = fields(fields(event.get("action")).get("args"))
    text = f"{clean(args.get('agent', '?'))} in {clean(args.get('image', '?'))}"
    return str(answer.get("verdict", "?")), "run.start", text, _why(answer)


def _run_ended(event: Mapping[str, Any], full: bool) -> Parts:
    code = event.get("exit_code")
    return "end", "run", f"{clean(event.get('reason', ''))}{'' if code is None else f', status {code}'}", ()


def _policy(event: Mapping[str, Any], full: bool) -> Parts:
    if event.get("problem"):
        return "policy", "bundle", "not taken into force; the last good one stays", (clean(event["problem"]),)
    text = f"{_bundle(event, full)} is in force{_signers(event, 'signed by')}"
    relaxed = ", ".join(f"{clean(path)} ({clean(why)})" for path, why in fields(event.get("relaxed")).items())
    return "policy", "bundle", f"{text}; relaxed: {relaxed}" if relaxed else text, ()


def _policy_refused(event: Mapping[str, Any], full: bool) -> Parts:
    by = clean(event.get("by", ""))
    text = f"{_bundle(event, full)}{_signers(event, 'that bears the names of')} was to be activated by {by}"
    return "refused", "bundle", text, (clean(event.get("reason", "")),)


def _bundle(event: Mapping[str, Any], full: bool) -> str:
    digest = clean(event.get("bundle") or "what can't be read")
    version = f"version {event['version']}, " if event.get("version") else ""
    return f"{version}{digest if full else digest[:19]}"


def _signers(event: Mapping[str, Any], how: str) -> str:
    signers = ", ".join(map(clean, event.get("signers") or ()))
    return f", {how} {signers}" if signers else ""


def _stalled(event: Mapping[str, Any], full: bool) -> Parts:
    text = f"judging this ended a firewall: {clean(event.get('how', ''))}"
    return "stall", clean(event.get("tool", "")), f"{text}, {clean(event.get('digest', ''))}" if full else text, ()


def _voted(event: Mapping[str, Any], full: bool) -> Parts:
    said = "yes" if event.get("verdict") == "approve" else "no"
    key = f" with key {clean(event.get('key', ''))}" if full else ""
    return said, "approval", f"{clean(event.get('approver', '?'))} to {clean(event.get('hold', '?'))}{key}", ()


def _hold_closed(event: Mapping[str, Any], full: bool) -> Parts:
    return (
        "over",
        "approval",
        f"{clean(event.get('hold', '?'))}: {clean(event.get('reason', '')).replace('_', ' ')}",
        (),
    )


def _asked_again(event: Mapping[str, Any], full: bool) -> Parts:
    text = "and was told what became of it" if event.get("told") else "while it waits"
    return "again", "approval", f"the agent asked for {clean(event.get('hold', '?'))} {text}", ()


_EVENTS: Final[dict[str, Callable[[Mapping[str, Any], bool], Parts]]] = {
    "decided": _decided,
    "settled": _settled,
    "launch_decided": _launch_decided,
    "run_started": lambda event, _full: ("start", "run", clean(_agent(event)), ()),
    "run_killed": lambda event, _full: ("stop", "run", f"killed by {clean(event.get('by', ''))}", ()),
    "run_ended": _run_ended,
    "run_paused": lambda event, _full: ("pause", "run", f"by {clean(event.get('by', ''))}", ()),
    "run_resumed": lambda event, _full: ("resume", "run", f"by {clean(event.get('by', ''))}", ()),
    "wallet_frozen": lambda event, _full: ("freeze", "wallet", f"by {clean(event.get('by', ''))}", ()),
    "wallet_thawed": lambda event, _full: ("thaw", "wallet", f"by {clean(event.get('by', ''))}", ()),
    "stop": lambda event, _full: ("stop", "run", clean(event.get("reason", "")), ()),
    "sandbox_paused": lambda _event, _full: ("pause", "sandbox", "its programs stand still", ()),
    "sandbox_resumed": lambda _event, _full: ("resume", "sandbox", "its programs go on", ()),
    "policy": _policy,
    "policy_activated": _policy,
    "policy_refused": _policy_refused,
    "stalled": _stalled,
    "voted": _voted,
    "hold_closed": _hold_closed,
    "asked_again": _asked_again,
}
"""How each event is told; `stop`, `policy` and `sandbox_…` are told live only, the others are in the ledger, too."""


def says_nothing(event: Mapping[str, Any]) -> bool:
    """Whether an outcome is that of a plain success, with nothing to tell but that."""
    return event.get("event") == "settled" and event.get("status") == "done" and not outcome(event)


def _why(answer: Mapping[str, Any]) -> list[str]:
    reasons = answer.get("reasons") or ()
    return [f"{clean(reason['code'])}: {clean(reason['message']).rstrip('.')}" for reason in reasons]


def _rest(event: Mapping[str, Any]) -> str:
    """The plain values of an event nobody wrote words for."""
    known = {"event", "at_ns", "run", "tool"}
    return ", ".join(f"{key} {clean(value)}" for key, value in event.items() if key not in known and _short(value))


def _short(value: object) -> bool:
    return isinstance(value, str | int) and bool(str(value))


def _agent(event: Mapping[str, Any]) -> str:
    view = fields(event.get("run_view"))
    address = view.get("address")
    return f"{view.get('agent', '?')}{f' with wallet {short_address(address)}' if address else ''}"
