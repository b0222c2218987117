"""The events a ledger is made of, and how they are written: canonical JSON, one event a record.

Everything safebox knows about money and runs is the fold of these events (`core.books`). An event is a fact about the
past; none is ever changed. Money is written as everywhere else: `{"asset", "units"}` with 78 digits.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal

import msgspec

from safebox.firewall.core.decision import Answer
from safebox.firewall.core.money import Amount, decode_amount, encode_amount
from safebox.firewall.core.tools import Caller


class Charge(msgspec.Struct, frozen=True):
    """Money or tokens an action takes from one budget line, at worst (reserved) or in fact (settled)."""

    rail: str
    amount: Amount


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """What happened, when (nanoseconds since the epoch, never going back within a ledger)."""

    at_ns: int


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """A run was started under this mandate; `run_view` is `run` of the policy input, `folder` the agent's own.

    `lends` says that the firewall lends it tokens, so that what it may spend of one is what it was lent.
    `spawned_by` is the action of its parent that a child came of, None for a run that people started.
    """

    run: str
    run_view: msgspec.Raw
    mandate: msgspec.Raw
    mandate_digest: str
    folder: str | None
    task: str
    inbox: str | None
    firewall: str = ""
    lends: bool = False
    spawned_by: str | None = None


class Decided(Event, frozen=True, kw_only=True, tag="decided"):
    """Policy answered; for an allow, `charges` are reserved. `action` and `facts` are what policy was shown.

    `firewall` is the process that decided, where several share a ledger. `hold` names the held decision that this one
    uses up.
    """

    decision: str
    action_id: str
    run: str
    tool: str
    kind: str
    caller: Caller
    key: str | None
    digest: str
    bundle: str
    answer: Answer
    charges: tuple[Charge, ...]
    plan: dict[str, Any]
    action: msgspec.Raw
    facts: msgspec.Raw
    firewall: str = ""
    hold: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether an effect may follow."""
        return self.answer.verdict == "allow"

    @property
    def denied(self) -> bool:
        """Whether the answer was no."""
        return self.answer.verdict == "deny"

    @property
    def probing(self) -> int:
        """1 for a no that counts against the run; a limit says when to ask again, and asking again is no probing.

        Nor is a no without facts: something of the firewall's failed, and policy judged nothing.
        """
        return 0 if "retry_after_s" in self.answer.obligations or bytes(self.facts) == b"null" else 1


class Settled(Event, frozen=True, kw_only=True, tag="settled"):
    """What became of an allowed action; `charges` is what was really taken, `refunds` what an earlier one gives back.

    `exposures` is what others may take from now on because of it, by a name for each approval: a later one of the same
    name replaces it, and nothing revokes it. An unknown outcome keeps its reservation.
    """

    decision: str
    action_id: str
    run: str
    tool: str
    status: Literal["done", "failed", "unknown"]
    charges: tuple[Charge, ...]
    refunds: tuple[Charge, ...]
    result: dict[str, Any]
    detail: str
    recovered: bool = False
    exposures: dict[str, Charge] = {}


class RunEnded(Event, frozen=True, kw_only=True, tag="run_ended"):
    """The sandbox is gone, or a person killed the run (`reason` is `killed`)."""

    run: str
    reason: str
    exit_code: int | None


class RunKilled(Event, frozen=True, kw_only=True, tag="run_killed"):
    """A person stopped the run: from here on nothing of it starts, also under another firewall."""

    run: str
    by: str


class RunPaused(Event, frozen=True, kw_only=True, tag="run_paused"):
    """A person paused the run: until it is resumed, nothing of it starts."""

    run: str
    by: str


class RunResumed(Event, frozen=True, kw_only=True, tag="run_resumed"):
    """A person let a paused run go on."""

    run: str
    by: str


class WalletFrozen(Event, frozen=True, kw_only=True, tag="wallet_frozen"):
    """A person froze the run's wallet: until it is thawed, the run moves nothing out of it; its owner still may."""

    run: str
    by: str


class WalletThawed(Event, frozen=True, kw_only=True, tag="wallet_thawed"):
    """A person let the run use its wallet again."""

    run: str
    by: str


class PolicyActivated(Event, frozen=True, kw_only=True, tag="policy_activated", omit_defaults=True):
    """From here on, decisions name this bundle; `relaxed` is what its overlays may make looser (path → reason).

    In governed mode `version`, `content` (the digest of all that was signed), who signed, and who activated it.
    """

    bundle: str
    relaxed: dict[str, str] = {}
    version: int | None = None
    content: str = ""
    signers: tuple[str, ...] = ()
    by: str = ""


class PolicyRefused(Event, frozen=True, kw_only=True, tag="policy_refused"):
    """Somebody asked to activate this bundle and it was refused; what was unreadable has no digest and version 0.

    `signers` is what the file says, whoever they are.
    """

    bundle: str
    version: int
    content: str
    signers: tuple[str, ...]
    reason: str
    by: str


class LaunchDecided(Event, frozen=True, kw_only=True, tag="launch_decided"):
    """Policy said whether this run may start; the four parts of what it was shown are here, whole."""

    run: str
    decision: str
    bundle: str
    answer: Answer
    action: msgspec.Raw
    run_view: msgspec.Raw
    mandate: msgspec.Raw
    facts: msgspec.Raw


class Received(Event, frozen=True, kw_only=True, tag="received"):
    """Money arrived in a run's wallet that nobody granted."""

    run: str
    amount: Amount


class Stalled(Event, frozen=True, kw_only=True, tag="stalled"):
    """Judging this action under this bundle ended the firewall that did it; `how` says in a few words."""

    run: str
    action_id: str
    tool: str
    digest: str
    bundle: str
    how: str


class Voted(Event, frozen=True, kw_only=True, tag="voted"):
    """A person said yes or no to a held decision, and signed that: `core.approval` says what exactly.

    `key` is the public key (a C2SP verifier key), `signature` is base64; with both, nobody else is needed to check it.
    """

    run: str
    hold: str
    digest: str
    bundle: str
    group: str
    verdict: Literal["approve", "deny"]
    approver: str
    signed_ns: int
    key: str
    signature: str


class HoldClosed(Event, frozen=True, kw_only=True, tag="hold_closed"):
    """A held decision is over without having been used: `expired`, `policy_changed` or `impossible`.

    A no closes it by itself, and so does the stop or the end of its run.
    """

    run: str
    hold: str
    reason: str


class AskedAgain(Event, frozen=True, kw_only=True, tag="asked_again"):
    """The agent asked again for what is held; `key` is bound to it, `told` says that it now knows the outcome."""

    run: str
    hold: str
    key: str | None
    told: bool


LedgerEvent = (
    RunStarted
    | Decided
    | Settled
    | RunKilled
    | RunEnded
    | PolicyActivated
    | PolicyRefused
    | Received
    | RunPaused
    | RunResumed
    | WalletFrozen
    | WalletThawed
    | Stalled
    | Voted
    | HoldClosed
    | AskedAgain
    | LaunchDecided
)

_ENCODER: Final = msgspec.json.Encoder(enc_hook=encode_amount, order="deterministic")
_DECODER: Final[msgspec.json.Decoder[LedgerEvent]] = msgspec.json.Decoder(LedgerEvent, dec_hook=decode_amount)

GENESIS: Final = hashlib.sha256(b"safebox ledger 1").digest()
"""The hash before the first record."""


def encode_event(event: LedgerEvent) -> bytes:
    """Write an event as its record."""
    return _ENCODER.encode(event)


def decode_event(record: bytes) -> LedgerEvent:
    """Read a record.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return _DECODER.decode(record)


def chain(previous: bytes, record: bytes) -> bytes:
    """Hash a record onto the one before it: SHA-256(previous hash, record)."""
    return hashlib.sha256(previous + record).digest()
