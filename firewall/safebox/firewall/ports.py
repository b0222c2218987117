"""The few things the pipeline needs from the world, each with one real adapter and one in-memory twin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

from safebox.firewall.accounts import SignedTransaction
from safebox.firewall.core.action import Action, Call
from safebox.firewall.core.decision import Answer
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.outcome import Outcome, Quote
from safebox.firewall.core.record import Charge
from safebox.firewall.core.reply import Reply


class EngineHealth(msgspec.Struct, frozen=True):
    """Whether policy can be asked, and in words why (not)."""

    ready: bool
    detail: str


class Engine(Protocol):
    """Evaluates policy. The only reader of a policy's answer."""

    @property
    def bundle(self) -> str:
        """`sha256:` and the digest of the policy bundle in force; empty if there is none."""
        ...

    async def decide(self, document: bytes) -> Answer:
        """Ask policy about one input document (JSON).

        It either answers without giving up the loop, and is then watched, or has a deadline of its own.

        Raises:
            PolicyUnavailable: for everything that is not exactly an answer.
        """
        ...

    def health(self) -> EngineHealth:
        """Say whether a decision could be had now."""
        ...


class Watch(Protocol):
    """Sees that no action keeps the firewall from the others."""

    def check(self, action: Action) -> None:
        """Go on only if this action may be judged.

        Raises:
            Withheld: if judging it, or others of its run, held everybody up.
        """
        ...

    def over(self, action: Action) -> AbstractContextManager[None]:
        """The context in which an action is judged: if that ends the firewall, the next one knows it was this."""
        ...


def _nobody_stops(_: Action) -> None:
    pass


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """What connectors may know of a run.

    `last_look(action)` is called right before what can't be taken back; it raises `FirewallError` if the run was
    stopped since its effect began to be prepared.
    """

    id: str
    agent: str
    mandate: Mandate
    address: str | None
    folder: str | None
    inbox: str | None = None
    last_look: Callable[[Action], None] = _nobody_stops


__all__ = [
    "Charge",
    "ChildHost",
    "Clock",
    "Connector",
    "Deliver",
    "Desk",
    "Engine",
    "EngineHealth",
    "KeyHolder",
    "Outcome",
    "Quote",
    "RunView",
    "SignerPort",
    "Watch",
]

Deliver = Callable[[bytes], Awaitable[None]]
"""Takes a piece of a streamed result (an SSE `data:` payload, without framing) to the agent."""


class Connector(Protocol):
    """Performs one kind of effect. Translates; never decides."""

    name: str

    async def quote(self, action: Action, run: RunView) -> Quote:
        """Learn the worst-case cost and the facts; changes nothing outside.

        Raises:
            CallerError: if the action makes no sense to this connector.
            FactsUnavailable: if something needed can't be learned.
        """
        ...

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Do it, once; between `run.last_look` and the effect, wait for nothing.

        Raises:
            EffectError: it certainly wasn't done, or (`unknown=True`) it may have been.
            FirewallError: what `run.last_look` raised; nothing was done.
        """
        ...

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """After a crash: find out what became of an allowed action without doing it a second time.

        Raises:
            EffectError: if the world can't be asked now.
        """
        ...

    async def healthy(self) -> bool:
        """Whether the far side answers now."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class SignerPort(Protocol):
    """Has the keys, and signs what the ledger allows: a process of its own, a hardware module, a key service.

    `decision` names the allow. Whoever implements this looks that up for itself; the words of whoever asks are no yes.
    """

    @property
    def owner_address(self) -> str:
        """The owner's address, checksummed."""
        ...

    async def address_of(self, signer: str) -> str:
        """The address of the owner (`keystore.OWNER`) or of a run, checksummed.

        Raises:
            EffectError: if there is no answer.
        """
        ...

    async def sign_transaction(self, signer: str, fields: dict[str, Any], decision: str) -> SignedTransaction:
        """Sign a whole EIP-1559 transaction; what was signed before is given again.

        Raises:
            EffectError: if it is not signed; nobody has it then.
        """
        ...

    async def signed_before(self, signer: str, fields: dict[str, Any], decision: str) -> SignedTransaction | None:
        """What was signed, if just this was; None if it certainly never was. Signs nothing new.

        Raises:
            EffectError: if that can't be said.
        """
        ...

    async def sign_typed_data(self, signer: str, typed_data: str, decision: str) -> bytes:
        """Sign typed data (EIP-712), given as `signing.SignTypedData` has it; r, s and v.

        Raises:
            EffectError: if it is not signed.
        """
        ...

    async def sign_message(self, signer: str, content: bytes, decision: str) -> bytes:
        """Sign a message (EIP-191); r, s and v.

        Raises:
            EffectError: if it is not signed.
        """
        ...

    async def healthy(self) -> bool:
        """Whether it answers now."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class KeyHolder(Protocol):
    """Has one key and signs with it: this process, a key service, a hardware module. It decides nothing.

    Only the signer asks it, and only when it found the allow; a signature that isn't its address's is none.
    """

    @property
    def address(self) -> str:
        """Whose key it is, checksummed."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether the same digest always gets the same signature (RFC 6979); if not, the signer keeps the first."""
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r, s (in the lower half, EIP-2) and v (27 or 28).

        Raises:
            EffectError: if it is not signed.
        """
        ...

    def forget(self) -> None:
        """Overwrite what is in memory of the key."""
        ...


class Clock(Protocol):
    """Time and identifiers: the only source of either."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, never going back within one ledger."""
        ...

    def new_id(self, prefix: str) -> str:
        """A new identifier that sorts by time, as in `act_01J…`."""
        ...


class ChildHost(Protocol):
    """Starts what a child run lives in: a launcher of its own, which asks the firewall to `adopt` the run."""

    def launch(self, run: str) -> None:
        """Start the launcher of a child that is recorded and funded; it need not have come up when this returns.

        Raises:
            SandboxError: if it isn't started; nothing of it runs then.
        """
        ...


class Desk(Protocol):
    """What a gateway sees of the firewall: one call in, one reply out."""

    async def handle(self, call: Call, deliver: Deliver | None = None) -> Reply:
        """Decide, do and answer one call. Never raises for what an agent or the world does wrong."""
        ...

    def view(self, run: str) -> RunView:
        """What is known of a run.

        Raises:
            FirewallError: if there is no such run, or it may not ask now.
        """
        ...

    async def told(self, run: str, decision: str) -> Reply:
        """Say what became of a held decision of a run.

        Raises:
            CallerError: if the run has no such one.
        """
        ...
