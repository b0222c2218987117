"""The far sides in memory, behind the real connectors, and a list of everything that was done there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from safebox.firewall.connectors.chain import ChainConnector
from safebox.firewall.connectors.compute import ComputeConnector
from safebox.firewall.connectors.inference import InferenceConnector
from safebox.firewall.connectors.leases import LeaseBook
from safebox.firewall.connectors.mail import MailConnector
from safebox.firewall.core.action import Action
from safebox.firewall.core.price import IMAGE_PRICES, STANDIN_PRICE
from safebox.firewall.core.rented import split_image
from safebox.firewall.drill.node import MemoryNode
from safebox.firewall.drill.pricing import MemoryPrices
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable
from safebox.firewall.ports import Connector, Deliver, Outcome, Quote, RunView, SignerPort

NOWHERE: Final = "127.0.0.1:9"
"""Where the relay and the model would be: the discard port, and nothing is ever sent there."""
SENDER: Final = "agent@safebox.invalid"
PRICE: Final = IMAGE_PRICES["safebox/base"]


class Effect(NamedTuple):
    """One thing that was done in the world."""

    connector: str
    action: Action


class View(NamedTuple):
    """How a container is."""

    state: Literal["running", "exited", "stopped"]
    exit_code: int | None = None
    output: str = ""
    seconds: int = 1


class MemoryProvider:
    """Rents containers that only count. Knows every image. A `ComputeProvider` (see `connectors.compute`).

    Args:
        images: those that are asked for with a digest have that; `changed` gives every name another one.
    """

    def __init__(self, images: Iterable[str] = ()) -> None:
        self.started: dict[str, bool] = {}
        self.changed = False
        self._digests = {name: digest for name, digest in map(split_image, images) if digest is not None}

    def start(
        self, *, reference: str, image: str, command: tuple[str, ...], input: str | None, seconds: int,
        digest: str | None = None,
    ) -> str:  # fmt: skip
        """Count one more."""
        self.started[reference] = True
        return reference

    def status(self, instance: str) -> View:
        """Say whether it runs."""
        return View("running" if self.started[instance] else "stopped")

    def stop(self, instance: str) -> None:
        """Stop it."""
        self.started[instance] = False

    def discard(self, instance: str) -> None:
        """Forget it."""
        self.started.pop(instance, None)

    def find(self, reference: str) -> str | None:
        """Its id, if it was started."""
        return reference if reference in self.started else None

    close = find

    def image_digest(self, image: str) -> str | None:
        """Any image can be had here: which may be rented is for policy to say."""
        name = f"{image} changed" if self.changed else image
        return self._digests.get(name) or "sha256:" + hashlib.sha256(name.encode()).hexdigest()


class Watched:
    """A connector that writes down what it is told to do; its quotes are the real one's.

    Args:
        inner: quotes, and does what stays in memory.
        effects: where it is written down.
        pretend: does instead what would leave the machine; None if `inner` does it itself.

    `fault` is raised instead of the next effects, `blind` instead of the next quotes.
    """

    def __init__(
        self, inner: Connector, effects: list[Effect], pretend: Callable[[Action, Quote], Outcome] | None = None
    ) -> None:
        self.name = inner.name
        self.fault: EffectError | None = None
        self.blind: FactsUnavailable | None = None
        self._inner = inner
        self._effects = effects
        self._pretend = pretend

    async def quote(self, action: Action, run: RunView) -> Quote:
        """As the real one. Raises as it does."""
        if self.blind is not None:
            raise self.blind
        return await self._inner.quote(action, run)

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Write it down and do it in memory. Raises as the real one does."""
        if self.fault is not None:
            raise self.fault
        if self._pretend is None:
            outcome = await self._inner.perform(action, run, plan, deliver)
        else:
            run.last_look(action)
            outcome = self._pretend(action, await self._inner.quote(action, run))
        self._effects.append(Effect(self.name, action))
        return outcome

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """As the real one. Raises as it does."""
        return await self._inner.reconcile(action, run, plan)

    async def healthy(self) -> bool:
        """Always."""
        return True

    async def close(self) -> None:
        """Let go."""
        await self._inner.close()


class MemoryWorld:
    """Everything an agent could reach, in memory. `effects` is what was done there, in order.

    Args:
        folder: where the leases are kept.
        chain_id: of the chain.
        images: those that have a price.
        signer: signs, for real.
        decimals: of each asset that has a price.
    """

    def __init__(
        self, folder: Path, chain_id: int, images: Iterable[str], signer: SignerPort, decimals: Mapping[str, int]
    ) -> None:
        self.effects: list[Effect] = []
        self.prices = MemoryPrices(decimals)
        self.inbox: dict[str, str] = {}
        self.node = MemoryNode(chain_id)
        self.provider = MemoryProvider(images)
        chain = ChainConnector(self.node, chain_id, signer, receipt_seconds=0)
        prices = {image: IMAGE_PRICES.get(image, PRICE) for image in images}
        compute = ComputeConnector(self.provider, prices, LeaseBook(folder / "leases"))
        mail = MailConnector(f"smtp://{NOWHERE}", SENDER, lambda _: None)
        model = InferenceConnector(f"http://{NOWHERE}/v1", {}, default=STANDIN_PRICE)
        self.connectors: Mapping[str, Watched] = {
            "chain": Watched(chain, self.effects),
            "compute": Watched(compute, self.effects),
            "mail": Watched(mail, self.effects, self._mailed),
            "inference": Watched(model, self.effects, _inferred),
        }

    async def close(self) -> None:
        """Let go of connections; none was ever opened."""
        for connector in self.connectors.values():
            await connector.close()

    def _mailed(self, action: Action, _: Quote) -> Outcome:
        match action.tool:
            case "email.read" if action.args.id not in self.inbox:
                raise CallerError("there is no such mail")
            case "email.read":
                return Outcome(status="done", result={"id": action.args.id, "body": self.inbox[action.args.id]})
            case "email.list":
                return Outcome(status="done", result={"messages": [{"id": name} for name in self.inbox]})
            case _:
                return Outcome(status="done", result={"message_id": f"<{action.id}@safebox.invalid>"})


def _inferred(_: Action, quote: Quote) -> Outcome:
    """An answer as long as it may be."""
    message = {"role": "assistant", "content": "Noted."}
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return Outcome(status="done", charges=quote.charges, result={"response": answer})
