"""A proposed mandate as people write it, each line with where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from safebox.firewall.core.money import format_units
from safebox.firewall.learn.usage import Flow, Most, Usage, lasted_s

MINUTE_S: Final = 60
HUNDRED: Final = 100


class Line(NamedTuple):
    """One line of the proposal: where it stands, what it says, and what it comes from."""

    place: str
    value: str
    origin: str


class Grant:
    """Writes the mandate.

    Args:
        usage: of the recorded run.
        headroom: percent on top of every number, rounded up to the next whole unit.
        command: what starts the agent; None if nobody knows (the ledger doesn't say).

    `lines` is the mandate line by line.
    """

    def __init__(self, usage: Usage, *, headroom: int = 0, command: tuple[str, ...] | None = None) -> None:
        self._usage = usage
        self._headroom = headroom
        self.lines: list[Line] = [
            *self._agent(command),
            *self._wallet(),
            *self._approvals(),
            *self._mail(),
            *self._compute(),
            *self._inference(),
        ]

    def text(self) -> str:
        """The file `safebox.toml`."""
        usage, section = self._usage, ""
        text = [
            f"# Proposed from the run {usage.started.run}: the narrowest mandate that allows what it was allowed,",
            f"# {usage.allowed} actions. Numbers are the most that was seen, and {self._headroom} % more, rounded up.",
        ]
        for line in self.lines:
            head, _, key = line.place.rpartition("/")
            if head != section:
                section = head
                text += ["", f"[{head.replace('/', '.')}]"]
            text += [f"# {line.origin}", f"{_key(key)} = {line.value}"]
        return "\n".join(text) + "\n"

    def more(self, value: int) -> int:
        """A number with its headroom."""
        return -(-value * (HUNDRED + self._headroom) // HUNDRED)

    def _agent(self, command: tuple[str, ...] | None) -> list[Line]:
        usage, mandate = self._usage, self._usage.mandate
        minutes = max(1, -(-self.more(lasted_s(usage)) // MINUTE_S))
        known = "the safebox.toml beside the agent" if command else "NOT KNOWN: the ledger doesn't say; put yours here"
        recorded = "as in the recorded run"
        return [
            Line("agent/name", _text(mandate.agent), recorded),
            Line("agent/command", _list(command or ("python", "main.py")), known),
            Line("agent/image", _text(str(usage.view["image"])), recorded),
            Line("agent/purpose", _text(mandate.purpose), recorded),
            Line("agent/task", _text(usage.started.task), recorded),
            Line("agent/expires", _text(f"{minutes}m"), f"to the end of {usage.ends.decision}, in minutes"),
        ]

    def _wallet(self) -> list[Line]:
        usage, old = self._usage, self._usage.mandate.wallet
        if old is None or not usage.tools.keys() & {"wallet.transfer", "wallet.balance", "wallet.quote"}:
            return []
        flow = usage.flows.get(("wallet", "ETH"), Flow())
        most = max(usage.paid.values(), key=lambda paid: paid.value, default=Most())
        budget = self.more(max(flow.total.value, most.value))
        lines = [
            Line("wallet/chain", _text(old.chain), "as in the recorded run"),
            Line("wallet/chain_id", str(old.chain_id), "as in the recorded run"),
            Line("wallet/budget", _eth(budget), _at(flow.total, "committed at once, fees at their worst")),
            Line("wallet/per_transfer", _eth(min(budget, self.more(most.value))), _at(most, "paid at once")),
            Line("wallet/per_hour", _eth(self.more(flow.hour.value)), _at(flow.hour, "within an hour, fees included")),
            Line("wallet/per_day", _eth(self.more(flow.day.value)), _at(flow.day, "within a day, fees included")),
            Line("wallet/ceiling", _eth(budget), "no more than it may spend"),
        ]
        if usage.fee.decision:
            fee = _text(f"{self.more(usage.fee.value)} wei")
            lines.append(Line("wallet/max_fee_per_gas", fee, _at(usage.fee, "offered for a unit of gas")))
        for name in ("approve_above", "challenge_above"):
            threshold = getattr(old, name)
            if threshold is not None:
                lines.append(Line(f"wallet/{name}", _text(str(threshold)), "kept: people are asked as before"))
        names = _distinct(usage.payee_names)
        return lines + [
            Line(f"wallet/payees/{names[to]}", _text(to), self._first(to, by)) for to, by in usage.payees.items()
        ]

    def _approvals(self) -> list[Line]:
        old, wallet = self._usage.mandate.approvals, self._usage.mandate.wallet
        asked = wallet is not None and (wallet.approve_above is not None or wallet.challenge_above is not None)
        if old is None or not asked:
            return []
        lines = [
            Line("approvals/group", _text(old.group), "kept"),
            Line("approvals/needed", str(old.needed), "kept"),
            Line("approvals/expires", _text(f"{old.expires_s}s"), "kept"),
        ]
        return lines if old.window_s is None else [*lines, Line("approvals/window", _text(f"{old.window_s}s"), "kept")]

    def _mail(self) -> list[Line]:
        usage = self._usage
        reads = next((usage.tools[tool] for tool in ("email.list", "email.read") if tool in usage.tools), None)
        if reads is None and not usage.recipients:
            return []
        lines = [
            Line("mail/recipients", _list(usage.recipients), self._all(usage.recipients)),
            Line("mail/per_hour", str(self.more(usage.mails.value)), _at(usage.mails, "within an hour")),
        ]
        if reads is not None and usage.started.inbox is not None:
            lines.append(Line("mail/inbox", _text(usage.started.inbox), f"first read in {reads}"))
        return lines

    def _compute(self) -> list[Line]:
        usage, old = self._usage, self._usage.mandate.compute
        if not usage.leases:
            return []
        flow = usage.flows.get(("compute", "USD"), Flow())
        images = {image: by for (image, _), by in usage.leases.items()}
        commands = ", ".join(_list(command) for command in dict.fromkeys(command for _, command in usage.leases))
        return [
            Line("compute/provider", _text("local" if old is None else old.provider), "as in the recorded run"),
            Line("compute/images", _list(images), self._all(images)),
            Line("compute/commands", f"[{commands}]", self._all(dict.fromkeys(usage.leases.values(), ""))),
            Line("compute/budget", _usd(self.more(flow.total.value)), _at(flow.total, "committed at once")),
            Line("compute/instances", str(self.more(usage.instances.value)), _at(usage.instances, "running at once")),
            Line("compute/max_minutes", str(self.more(usage.minutes.value)), _at(usage.minutes, "rented for")),
        ]

    def _inference(self) -> list[Line]:
        usage = self._usage
        if not usage.models:
            return []
        tokens = usage.flows.get(("inference", "TOKEN"), Flow()).total
        budget = usage.flows.get(("inference", "USD"), Flow()).total
        return [
            Line("inference/models", _list(usage.models), self._all(usage.models)),
            Line("inference/tokens", str(self.more(tokens.value)), _at(tokens, "committed at once")),
            Line("inference/budget", _usd(self.more(budget.value)), _at(budget, "committed at once")),
        ]

    def _first(self, value: str, decision: str) -> str:
        doubt = self._usage.doubts.get(value)
        return f"first in {decision}" + (f"; DOUBTFUL: {doubt}" if doubt is not None else "")

    def _all(self, values: Mapping[str, str]) -> str:
        doubts = [f"DOUBTFUL: {value}: {self._usage.doubts[value]}" for value in values if value in self._usage.doubts]
        firsts = dict.fromkeys(by or value for value, by in values.items())
        return "; ".join([f"first in {', '.join(firsts) or 'nothing'}", *doubts])


def _at(most: Most, what: str) -> str:
    return f"the most {what}: {most.decision}" if most.decision else "never used"


def _eth(units: int) -> str:
    return _text(format_units(units, "ETH"))


def _usd(units: int) -> str:
    return _text(format_units(units, "USD"))


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes are all TOML's, too, but for DEL, which JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _text(key)


def _distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Address → name, each name once, whatever its case."""
    used: set[str] = set()
    found: dict[str, str] = {}
    for address, name in names.items():
        found[address] = name if name.lower() not in used else f"{name}-{len(used)}"
        used.add(found[address].lower())
    return found
