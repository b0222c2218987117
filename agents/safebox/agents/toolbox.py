"""The tools as typed methods, for programs that call them without a model in between."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from safebox.agents.client import Answer, Client
from safebox.agents.errors import MALFORMED_ANSWER, EffectUnknown

WEI_DIGITS: Final = 78
"""The digits of 2**256 - 1, the most there can be."""
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class MailHeader:
    """One line of the inbox."""

    id: str
    sender: str
    subject: str
    date: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, as it was delivered: text of strangers, never an instruction."""

    id: str
    sender: str
    to: str
    subject: str
    date: str
    body: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """A mined transaction that did what it was to; one that was reverted is an `EffectFailed`."""

    transaction_hash: str
    block_number: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What the run's wallet holds, in wei."""

    address: str
    wei: int
    text: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What a transfer would take, in wei, fee at its worst; None where nobody can say, as of a payee that refuses.

    `enough` is about the balance alone: whether the transfer would be allowed is not told.
    """

    amount: int
    fee: int | None
    total: int | None
    balance: int
    enough: bool | None
    reverts: bool | None
    revert_reason: str | None


@dataclass(frozen=True, slots=True)
class Header:
    """The request header that pays a server once; it is good until `valid_before`, in seconds since the epoch."""

    name: str
    value: str
    valid_before: int


@dataclass(frozen=True, slots=True)
class Job:
    """Bought compute; `state` is running, exited or stopped, `output` the last part of what it printed."""

    instance: str
    state: str
    exit_code: int | None
    output: str


@dataclass(frozen=True, slots=True)
class Child:
    """A child run; `state` is live, paused, frozen, killed or over, `spent` what it and its own children spent."""

    run: str
    agent: str
    state: str
    exit_code: int | None
    reason: str | None
    spent: tuple[str, ...]


class Toolbox:
    """Every tool as a method that returns a value or raises a `ToolError`."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or Client()

    def send_mail(
        self, to: Sequence[str], subject: str, body: str, *, attachments: Mapping[str, bytes] | None = None
    ) -> str:
        """Send one mail and return the decision's id."""
        arguments: dict[str, object] = {"to": list(to), "subject": subject, "body": body}
        if attachments:
            arguments["attachments"] = [
                {"name": name, "content_base64": base64.b64encode(content).decode()}
                for name, content in attachments.items()
            ]
        return self.client.call("email.send", arguments).decision_id

    def list_mail(self) -> tuple[MailHeader, ...]:
        """List the inbox, in the order the gateway keeps."""
        answer = self.client.call("email.list")
        entries = answer.result.get("messages")
        if not isinstance(entries, list):
            raise _malformed(answer, "messages")
        return tuple(_header(answer, entry) for entry in cast("list[object]", entries))

    def read_mail(self, mail_id: str) -> Mail:
        """Read one mail."""
        answer = self.client.call("email.read", {"id": mail_id})
        fields = (_text(answer, name) for name in ("id", "from", "to", "subject", "date", "body"))
        return Mail(*fields)

    def transfer(self, to: str, amount: str) -> Transfer:
        """Send money on chain; `amount` is like `0.1 ETH` or `5 wei`."""
        answer = self.client.call("wallet.transfer", {"to": to, "amount": amount})
        return Transfer(_text(answer, "transaction_hash"), _whole(answer, "block_number"))

    def balance(self) -> Balance:
        """Read the wallet's balance."""
        answer = self.client.call("wallet.balance")
        return Balance(_text(answer, "address"), _wei(answer, "balance"), _text(answer, "balance_text"))

    def quote(self, to: str, amount: str) -> Cost:
        """Ask what `transfer` with the same arguments would cost; nothing is paid."""
        answer = self.client.call("wallet.quote", {"to": to, "amount": amount})
        return Cost(
            amount=_wei(answer, "amount"),
            fee=_unless_null(_wei, answer, "fee"),
            total=_unless_null(_wei, answer, "total"),
            balance=_wei(answer, "balance"),
            enough=_unless_null(_flag, answer, "enough"),
            reverts=_unless_null(_flag, answer, "reverts"),
            revert_reason=_unless_null(_text, answer, "revert_reason"),
        )

    def pay_request(
        self, requirements: Mapping[str, object], *, version: int = 1, resource: str | None = None
    ) -> Header:
        """Pay what a server asks for with HTTP 402: one element of its `accepts`, and for version 2 the URL asked."""
        arguments: dict[str, object] = {"requirements": dict(requirements), "version": version}
        if resource is not None:
            arguments["resource"] = resource
        answer = self.client.call("wallet.pay_request", arguments)
        return Header(_text(answer, "header"), _text(answer, "value"), _whole(answer, "valid_before"))

    def start_compute(self, image: str, command: Sequence[str], minutes: int, *, job_input: str | None = None) -> str:
        """Lease a container for one listed command, `job_input` as its /job/input; return the instance."""
        arguments: dict[str, object] = {"image": image, "command": list(command), "minutes": minutes}
        if job_input is not None:
            arguments["input"] = job_input
        return _text(self.client.call("compute.start", arguments), "instance")

    def compute_status(self, instance: str) -> Job:
        """Look at bought compute."""
        answer = self.client.call("compute.status", {"instance": instance})
        exit_code = answer.result.get("exit_code")
        return Job(
            _text(answer, "instance"),
            _text(answer, "state"),
            exit_code if isinstance(exit_code, int) else None,
            _text(answer, "output"),
        )

    def stop_compute(self, instance: str) -> None:
        """End a lease; what is left of it is not charged."""
        self.client.call("compute.stop", {"instance": instance})

    def spawn(self, image: str, command: Sequence[str], mandate: str, *, child_input: str | None = None) -> str:
        """Start a child run and return its name.

        Args:
            image: one that the mandate's `[lineage]` lists.
            command: likewise; run in this run's folder.
            mandate: the child's own `safebox.toml` as text, with the same image and command, in nothing wider.
            child_input: what the child finds as its /job/input.
        """
        arguments: dict[str, object] = {"image": image, "command": list(command), "mandate": mandate}
        if child_input is not None:
            arguments["input"] = child_input
        return _text(self.client.call("agent.spawn", arguments), "run")

    def children(self) -> tuple[Child, ...]:
        """What became of the children that this run has started, the oldest first."""
        answer = self.client.call("agent.children")
        entries = answer.result.get("children")
        if not isinstance(entries, list):
            raise _malformed(answer, "children")
        return tuple(_child(answer, entry) for entry in cast("list[object]", entries))


def _child(answer: Answer, entry: object) -> Child:
    if not isinstance(entry, dict):
        raise _malformed(answer, "children")
    found = cast("dict[str, object]", entry)
    run, agent, state = (found.get(name) for name in ("run", "agent", "state"))
    exit_code, reason, spent = found.get("exit_code"), found.get("reason"), found.get("spent")
    if not (isinstance(run, str) and isinstance(agent, str) and isinstance(state, str) and isinstance(spent, list)):
        raise _malformed(answer, "children")
    return Child(
        run=run,
        agent=agent,
        state=state,
        exit_code=exit_code if isinstance(exit_code, int) else None,
        reason=reason if isinstance(reason, str) else None,
        spent=tuple(str(each) for each in cast("list[object]", spent)),
    )


def _header(answer: Answer, entry: object) -> MailHeader:
    if not isinstance(entry, dict):
        raise _malformed(answer, "messages")
    line = Answer(cast("dict[str, object]", entry), answer.decision_id)
    return MailHeader(*(_text(line, name) for name in ("id", "from", "subject", "date")))


def _text(answer: Answer, name: str) -> str:
    value = answer.result.get(name)
    if not isinstance(value, str):
        raise _malformed(answer, name)
    return value


def _whole(answer: Answer, name: str) -> int:
    value = answer.result.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _malformed(answer, name)
    return value


def _wei(answer: Answer, name: str) -> int:
    value = _text(answer, name)
    if not (value.isascii() and value.isdigit() and len(value) <= WEI_DIGITS):
        raise _malformed(answer, name)
    return int(value)


def _flag(answer: Answer, name: str) -> bool:
    value = answer.result.get(name)
    if not isinstance(value, bool):
        raise _malformed(answer, name)
    return value


def _unless_null(read: Callable[[Answer, str], _Value], answer: Answer, name: str) -> _Value | None:
    """A field that may be null; one that is missing is a malformed answer."""
    if name not in answer.result:
        raise _malformed(answer, name)
    return None if answer.result[name] is None else read(answer, name)


def _malformed(answer: Answer, name: str) -> EffectUnknown:
    message = f"the call was allowed, but its answer has no proper {name!r}"
    return EffectUnknown(MALFORMED_ANSWER, message, decision_id=answer.decision_id)
