"""The compute connector: rents containers by the minute from a provider.

A lease is charged in full when it starts and settled by the started minutes when it is stopped, or seen to have ended.
One that the provider says it doesn't know may run all the same: it is held and charged until its time is over. How many
are held is what the ledger says, for every firewall that shares it.

An agent knows an instance by the id of the action that started it; the provider knows it by run and that id, so no run
can name another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from safebox.firewall.connectors.leases import Lease, LeaseBook, reference_of
from safebox.firewall.connectors.leaseterms import InstanceView, last_seen, settlement, started, told
from safebox.firewall.connectors.prices import SECONDS_PER_MINUTE, ImagePrice, compute_charge, minutes_of
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import Instance, StartCompute
from safebox.firewall.core.money import Amount, encode_amount
from safebox.firewall.core.rented import split_image
from safebox.firewall.errors import CallerError, EffectError, FactsUnavailable, FirewallError, SandboxError
from safebox.firewall.ports import Charge, Deliver, Outcome, Quote, RunView

LATE_SECONDS = 60
"""A provider may begin an instance so much later than it was told to, and ends it as much later."""
THREADS = 8
"""Of its own: a provider that hangs uses up nobody else's."""
_UNAVAILABLE = (SandboxError, OSError)
_Found = TypeVar("_Found")


class ComputeProvider(Protocol):
    """Runs containers. Every method blocks; failures are `SandboxError` or `OSError`."""

    def start(
        self, *, reference: str, image: str, command: tuple[str, ...], input: str | None, seconds: int,
        digest: str | None = None,
    ) -> str:  # fmt: skip
        """Start a container that is stopped after `seconds`; `input` is its /job/input. Returns the provider's id.

        With a `digest`, only an image of exactly that is started. A reference is one container, however often asked.
        """
        ...

    def status(self, instance: str) -> InstanceView:
        """Say how a container is, by the provider's id."""
        ...

    def stop(self, instance: str) -> None:
        """Stop a container; one that has ended stays as it is."""
        ...

    def discard(self, instance: str) -> None:
        """End a container and forget it; nothing can be asked of it afterwards, and gone already is fine."""
        ...

    def find(self, reference: str) -> str | None:
        """The provider's id of the container with this reference."""
        ...

    def close(self, reference: str) -> str | None:
        """As `find`; and from then on nothing starts under this reference, also what was asked before and is late."""
        ...

    def image_digest(self, image: str) -> str | None:
        """The digest of an image that can be started, or None."""
        ...


class ComputeConnector:
    """Rents containers.

    Args:
        provider: runs them.
        prices: micro-USD by image; an image without a price can't be rented.
        leases: where leases are kept.
        held: the instances that a run has not given back, by the ledger; by the leases, if nobody else rents.
        now: tells the time in seconds since the epoch.
    """

    name = "compute"

    def __init__(
        self, provider: ComputeProvider, prices: dict[str, ImagePrice], leases: LeaseBook,
        held: Callable[[str], Iterable[str]] | None = None, now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._provider = provider
        self._prices = dict(prices)
        self._leases = leases
        self._held = held or self.open_instances
        self._now = now
        self._forgotten: set[str] = set()
        self._settling = asyncio.Lock()
        self._threads = ThreadPoolExecutor(THREADS, "compute")

    async def quote(self, action: Action, run: RunView) -> Quote:
        """Price a lease, and count what already runs.

        Raises:
            CallerError: The instance is not this run's.
            FactsUnavailable: The provider can't be asked.
        """
        args = action.args
        if isinstance(args, Instance):
            self._lease(run, args.instance)
            return Quote()
        if not isinstance(args, StartCompute):
            raise CallerError("not something to rent")
        name, _ = split_image(args.image)
        price = self._prices.get(args.image) or self._prices.get(name)
        try:
            digest = await self._aside(self._provider.image_digest, name)
            over = await self._over(run)
        except (*_UNAVAILABLE, EffectError) as error:
            raise FactsUnavailable(f"the compute provider can't be asked: {error}") from error
        facts: dict[str, Any] = {"image_digest": digest, "price_per_minute": None}

        def latest() -> dict[str, Any]:
            return {"compute": {**facts, "running": len(set(self._held(run.id)) - over)}}

        if price is None:
            return Quote(latest=latest)
        facts["price_per_minute"] = encode_amount(Amount(price.per_minute, "USD"))
        charged = price.cost(args.minutes)
        plan = {
            "per_minute": price.per_minute,
            "minimum": price.minimum,
            "charged": charged,
            "image": name,
            "digest": digest,
        }
        return Quote(charges=(compute_charge(charged),), latest=latest, plan=plan)

    async def perform(self, action: Action, run: RunView, plan: dict[str, Any], deliver: Deliver | None) -> Outcome:
        """Start, look at or stop a container.

        Raises:
            EffectError: It wasn't done, or (`unknown`) it may have been.
        """
        match action.args:
            case StartCompute():
                return await self._start(action, action.args, run, plan)
            case Instance(instance=instance) if action.tool == "compute.stop":
                return await self.release(run, instance, by=action.id)
            case _:
                return await self._status(action, run)

    async def reconcile(self, action: Action, run: RunView, plan: dict[str, Any]) -> Outcome:
        """Look for the container a start may have left, or for the settlement a stop may have made.

        Raises:
            EffectError: The provider can't be asked now.
        """
        if isinstance(action.args, StartCompute):
            lease = self._leases.find(run.id, action.id)
            if lease is None:
                return Outcome(status="failed", detail="never started")
            return await self._found(lease)
        lease = self._lease(run, action.args.instance)
        if lease.settled_by == action.id:
            await self._clear(lease)
            return settlement(lease)
        if action.tool == "compute.stop":
            return await self.release(run, lease.instance, by=action.id)
        return Outcome(status="failed", detail="a read that was cut short")

    async def release(self, run: RunView, instance: str, *, by: str) -> Outcome:
        """Stop a container and settle its lease; `by` names the action that does it, once for all.

        Raises:
            EffectError: The provider can't be asked; nothing was settled.
        """
        lease = self._lease(run, instance)
        if lease.settled_by is not None:
            await self._clear(lease)
            return settlement(lease, by=by)
        try:
            found = await self._known(lease)
            if found is not None:
                await self._aside(self._provider.stop, found)
            view = None if found is None else await self._aside(self._provider.status, found)
        except _UNAVAILABLE as error:
            raise EffectError(f"the compute provider can't be asked: {error}", unknown=True) from error
        self._check_over(lease, found)
        return settlement(await self._settle(lease, view, by, found), by=by)

    def open_instances(self, run: str) -> list[str]:
        """The instances of a run whose leases are not settled: what is left to release when it ends.

        Raises:
            EffectError: A lease can't be read.
        """
        return [lease.instance for lease in self._leases.open_ones(run)]

    @property
    def forgotten(self) -> int:
        """How many instances may run although the provider said that it doesn't know them."""
        return len(self._forgotten)

    async def healthy(self) -> bool:
        """Whether the provider answers."""
        try:
            await self._aside(self._provider.find, "safebox.health")
        except _UNAVAILABLE:
            return False
        return True

    async def close(self) -> None:
        """Let go of the threads; the provider is not ours to close."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _start(self, action: Action, args: StartCompute, run: RunView, plan: dict[str, Any]) -> Outcome:
        if "charged" not in plan:
            raise EffectError("the image has no price")
        price = ImagePrice(int(plan["per_minute"]), int(plan["minimum"]))
        lease = Lease(
            run=run.id,
            instance=action.id,
            image=args.image,
            minutes=args.minutes,
            price=price,
            charged=int(plan["charged"]),
            ends=int(self._now()) + args.minutes * SECONDS_PER_MINUTE + LATE_SECONDS,
        )
        name, wanted = split_image(args.image)
        digest = await self._aside(self._digest, name)
        if digest != plan["digest"] or wanted not in (None, digest):
            raise EffectError("the image is not the one that was decided")
        await self._aside(self._leases.put, lease)
        try:
            run.last_look(action)
        except FirewallError:
            self._leases.remove(lease)
            raise
        try:
            await self._aside(self._launch, lease, args, plan["digest"])
        except _UNAVAILABLE as error:
            return await self._found(lease, f"the compute provider failed: {error}")
        with contextlib.suppress(EffectError):  # then it is only not known later that it began
            await self._aside(self._leases.put, msgspec.structs.replace(lease, begun=True))
        return started(lease)

    async def _aside(self, what: Callable[..., _Found], *about: Any) -> _Found:
        """What blocks, in a thread of the connector's own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(what, *about))

    def _launch(self, lease: Lease, args: StartCompute, digest: str | None) -> None:
        self._provider.start(
            reference=lease.reference,
            image=split_image(args.image)[0],
            command=args.command,
            input=args.input,
            seconds=args.minutes * SECONDS_PER_MINUTE,
            digest=digest,
        )

    def _digest(self, image: str) -> str | None:
        try:
            return self._provider.image_digest(image)
        except _UNAVAILABLE as error:
            raise EffectError(f"the compute provider can't be asked: {error}") from error

    async def _found(self, lease: Lease, failure: str = "never started") -> Outcome:
        """What became of a start that got no clear answer."""
        if lease.settled_by is not None:  # its container is gone because it has been used
            return started(lease)
        try:
            found = await self._aside(self._provider.close, lease.reference)
        except _UNAVAILABLE as error:
            raise EffectError(f"{failure}; the provider can't be asked", unknown=True) from error
        if found is not None or lease.begun:
            return started(lease)
        self._leases.remove(lease)
        return Outcome(status="failed", detail=failure)

    async def _status(self, action: Action, run: RunView) -> Outcome:
        lease = self._lease(run, action.args.instance)
        if lease.last is not None:
            return Outcome(status="done", result=told(lease, lease.last))
        try:
            found = await self._known(lease)
            view = None if found is None else await self._aside(self._provider.status, found)
        except _UNAVAILABLE as error:
            raise EffectError(f"the compute provider can't be asked: {error}") from error
        self._check_over(lease, found)
        state = "stopped" if view is None else view.state
        refunds: tuple[Charge, ...] = ()
        if state != "running" and lease.settled_by is None:
            settled = await self._settle(lease, view, action.id, found)
            refunds = settlement(settled, by=action.id).refunds
        return Outcome(status="done", result=told(lease, last_seen(view)), refunds=refunds)

    async def _settle(self, lease: Lease, view: InstanceView | None, by: str, found: str | None) -> Lease:
        """Mark a lease as settled, unless it already is, and have its container removed.

        Without a view the whole lease was used.
        """
        self._forgotten.discard(lease.reference)
        async with self._settling:
            current = self._leases.find(lease.run, lease.instance) or lease
            if current.settled_by is not None:
                return current
            used = lease.charged if view is None else lease.price.cost(minutes_of(view.seconds))
            refund = max(0, lease.charged - used)
            last = None if view is None else last_seen(view)
            settled = msgspec.structs.replace(lease, settled_by=by, refund=refund, last=last)
            await self._aside(self._leases.put, settled)
        if found is not None:
            with contextlib.suppress(*_UNAVAILABLE):  # what stays is removed by the provider itself in time
                await self._aside(self._provider.discard, found)
        return settled

    async def _clear(self, lease: Lease) -> None:
        """Have the container of a settled lease removed, where a crash came between the two."""
        with contextlib.suppress(*_UNAVAILABLE):  # what stays is removed by the provider itself in time
            found = await self._aside(self._provider.find, lease.reference)
            if found is not None:
                await self._aside(self._provider.discard, found)

    async def _over(self, run: RunView) -> frozenset[str]:
        """The held instances of a run that certainly run no more; what was seen to be over stays so."""
        over: set[str] = set()
        for instance in list(self._held(run.id)):
            lease = await self._aside(self._leases.find, run.id, instance)
            found = await self._aside(self._provider.find, reference_of(run.id, instance))
            view = None if found is None else await self._aside(self._provider.status, found)
            if lease is not None:  # else another firewall has it
                self._note(lease, found)
            ended = lease is not None and self._ended(lease)
            if ended if view is None else view.state != "running":
                over.add(instance)
        return frozenset(over)

    async def _known(self, lease: Lease) -> str | None:
        """The provider's id of an instance."""
        found = await self._aside(self._provider.find, lease.reference)
        self._note(lease, found)
        return found

    def _note(self, lease: Lease, found: str | None) -> None:
        """Note that a provider knows nothing of what may run, as long as that is so."""
        if self._may_run(lease, found):
            self._forgotten.add(lease.reference)
        else:
            self._forgotten.discard(lease.reference)

    def _may_run(self, lease: Lease, found: str | None) -> bool:
        """Whether an instance that its provider doesn't know may run; not if its time is over, or it was given back."""
        if found is not None or lease.settled_by is not None or self._ended(lease):
            return False
        return lease.instance in self._held(lease.run)

    def _ended(self, lease: Lease) -> bool:
        return lease.ends is not None and self._now() >= lease.ends

    def _check_over(self, lease: Lease, found: str | None) -> None:
        """Go on unless an instance may run although its provider doesn't know it.

        Raises:
            EffectError: If that is so; who asked to stop it is told later what came of it.
        """
        if self._may_run(lease, found):
            cause = "the compute provider doesn't know this instance; it counts as running until its time is over"
            raise EffectError(cause, unknown=True)

    def _lease(self, run: RunView, instance: str) -> Lease:
        lease = self._leases.find(run.id, instance)
        if lease is None:
            raise CallerError(f"this run has no instance {instance[:80]!r}")
        return lease
