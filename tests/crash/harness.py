"""One session of the harness: a world, a load, and one firewall after the other."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from safebox.firewall.control.wire import ControlError
from safebox.firewall.keystore import Keystore
from tests.crash import far_sides, moments, reckoning
from tests.crash.checks import Checks
from tests.crash.firewall import Firewall
from tests.crash.journal import Journal
from tests.crash.load import Slot
from tests.crash.moments import Moment, moment
from tests.crash.sightings import Sightings
from tests.crash.trigger import Trigger
from tests.crash.watcher import Watcher
from tests.crash.wire import ChainWire, ModelWire, serve
from tests.crash.witness import Witness
from tests.live import Chain, Home, home_at, share_images

SLOTS: Final = 3
ORPHANS_ENDED: Final = 0.3
"""How often the runs whose launcher never heard of them are ended by hand, as an operator would."""
RECOVERY_SECONDS: Final = 10.0
"""A firewall that starts asks the chain in a second or two."""
VIOLATIONS_MAX: Final = 10
"""After so many nothing new is learned."""
SETTLE_SECONDS: Final = 90.0
"""At the end: the clients get their answers, the runs end, and what can become known becomes known."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One sentence that must never be true, and the kill after which it was."""

    kill: int
    moment: str
    what: str


@dataclass
class Tally:
    """What a session came to so far."""

    seed: int
    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter[str])
    missed: int = 0
    records: int = 0
    runs: int = 0
    answers: int = 0
    recovered: int = 0
    effects: Counter[str] = field(default_factory=Counter[str])
    starts: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    """What each firewall that got ready had to recover from, and the seconds it took."""
    violations: list[Violation] = field(default_factory=list[Violation])
    seconds: float = 0.0

    @property
    def middle_start(self) -> float:
        """The median of all starts, in seconds."""
        return statistics.median_low(took for _, took in self.starts) if self.starts else 0.0

    @property
    def worst_start(self) -> float:
        """The slowest start, in seconds."""
        return max((took for _, took in self.starts), default=0.0)


Show = Callable[[Tally], None]


@dataclass
class World:
    """Everything that outlives the firewalls."""

    home: Home
    chain: Chain
    owner: str
    chain_wire: ChainWire
    model_wire: ModelWire
    mails: far_sides.Mails
    sightings: Sightings
    trigger: Trigger
    arguments: tuple[str, ...]


@contextmanager
def world(folder: Path, node: str, *, images: bool = True) -> Generator[World]:
    """Start the far sides; `node` is the path of an anvil, or empty for the stand-in chain."""
    trigger = Trigger()
    with ExitStack() as stack:
        home = stack.enter_context(home_at(folder / "h", keys=False))
        if images:
            share_images(home.path)
        owner = Keystore.open(home.path / "keystore", home.path / "passphrase").owner_address
        chain_url = stack.enter_context(
            far_sides.anvil(node, owner) if node else far_sides.standin_chain(folder, owner)
        )
        chain_wire = ChainWire(chain_url, trigger)
        model_wire = ModelWire(stack.enter_context(far_sides.model(folder)), trigger)
        mails, smtp_url = stack.enter_context(far_sides.relay(folder, trigger))
        chain_seen, model_seen = stack.enter_context(serve(chain_wire)), stack.enter_context(serve(model_wire))
        sightings = stack.enter_context(Sightings(home.path / "sandboxes", trigger))
        arguments = (
            *("--engine", "bwrap", "--chain-url", chain_seen, "--chain-id", str(far_sides.CHAIN_ID)),
            *("--smtp-url", smtp_url, "--model-url", model_seen, "--model-price", f"{far_sides.MODEL}=150,600"),
        )
        yield World(home, Chain(chain_url), owner, chain_wire, model_wire, mails, sightings, trigger, arguments)


class Session:
    """Kills one firewall after the other under load, and checks after each."""

    def __init__(self, world: World, seed: int, show: Show = lambda _tally: None) -> None:
        self.world, self._seed, self._show = world, seed, show
        self._firewall = Firewall(world.home, world.arguments)
        self.journal, self.witness = Journal(), Witness(world.home.ledger)
        self.checks = Checks(self.witness, self.journal, world.mails, world.model_wire, world.sightings)
        self._slots = [Slot(world.home.path / "control.sock", self.journal, f"{seed}/{n}") for n in range(SLOTS)]
        self._chance = random.Random(seed)  # noqa: S311 - repeatable
        self._orphans: list[str] = []
        self._begun = time.monotonic()
        self.tally = Tally(seed, starts=self._firewall.starts)

    def run(self, kills: int) -> Tally:
        """Kill so often, then let the load end and hold everything against everything."""
        self._firewall.start()  # the first of all makes keys and caches
        assert self._firewall.wait_ready(), self._firewall.log()
        for slot in self._slots:
            slot.thread.start()
        try:
            while self.tally.kills < kills and len(self.tally.violations) < VIOLATIONS_MAX:
                self._one_kill(moment(self._seed, self.tally.kills))
                self._show(self._counted())
            self._end()
        finally:
            for slot in self._slots:
                slot.over.set()
                slot.given_up.set()
            self._firewall.kill()
        return self._counted()

    def _one_kill(self, plan: Moment) -> None:
        """Kill at one moment, look at what is there, and start the next."""
        reached = self._reach(plan)
        self.world.trigger.disarm()
        self._firewall.kill()
        self.tally.kills += 1
        self.tally.moments[plan.point] += reached
        self.tally.missed += not reached
        self._note(plan.point, self.checks.after_a_kill())
        self._look_for_orphans()
        self._firewall.start(f"kill {self.tally.kills} at {plan.point}")

    def _reach(self, plan: Moment) -> bool:
        """Wait for the moment; false if it didn't come."""
        trigger, strike = self.world.trigger, self._firewall.striker()
        if plan.point == moments.STARTING:
            time.sleep(plan.delay)
            return True
        if plan.point == moments.RECOVERING:
            trigger.arm(plan.point, strike, nth=plan.nth, delay=plan.delay)
            return trigger.fired.wait(RECOVERY_SECONDS)
        assert self._firewall.wait_ready(), self._firewall.log()
        self._note(plan.point, self.checks.after_a_start(self._firewall.ask))
        if self._chance.random() < ORPHANS_ENDED:
            self._end_orphans()
        if plan.point == moments.ANY:
            time.sleep(plan.delay)
            return True
        self.world.chain_wire.fate = plan.fate
        with Watcher(self.world.home.ledger, self.witness.seq, plan.point, trigger):
            trigger.arm(plan.point, strike, nth=plan.nth, delay=plan.delay)
            return trigger.fired.wait(plan.patience)

    def _end_orphans(self) -> None:
        """End the runs whose launcher died with its question, or was never told, as far as the last kill knew."""
        for run in self._orphans:
            with suppress(ControlError):
                self._firewall.ask("end", run=run, reason="operator", exit_code=None)

    def _look_for_orphans(self) -> None:
        known = {run for slot in self._slots for run in slot.known}
        self._orphans = [run for run, life in self.witness.runs.items() if not life.ended and run not in known]

    def _note(self, where: str, found: Iterable[str]) -> None:
        self.tally.violations += [Violation(self.tally.kills, where, what) for what in found]

    def _end(self) -> None:
        """Let clients hear their answers and runs end, wait for what can still become known, and reckon."""
        assert self._firewall.wait_ready(), self._firewall.log()
        for slot in self._slots:
            slot.over.set()
        for slot in self._slots:
            slot.thread.join(SETTLE_SECONDS)
            assert not slot.thread.is_alive(), f"a client or launcher waits for ever: {slot.last_error}"
        self.world.chain_wire.settle()
        self.witness.read()
        self._look_for_orphans()
        self._end_orphans()
        self._until_known()
        self._firewall.ask("stop")
        self._firewall.process.wait(SETTLE_SECONDS)
        self._note("the end", self.checks.after_a_kill())
        self._note("the end", self._reckoned())

    def _until_known(self) -> None:
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until:
            self.witness.read()
            if not any(reckoning.may_become_known(each) for each in self.witness.actions.values()):
                return
            time.sleep(0.5)

    def _reckoned(self) -> Iterator[str]:
        world = self.world
        yield from reckoning.payments(self.witness, world.chain, world.owner)
        yield from reckoning.budgets(self.witness, world.model_wire, world.sightings)
        yield from reckoning.outcomes(self.witness)
        yield from reckoning.effects(self.witness, world.mails, world.model_wire, world.sightings)
        yield from reckoning.answers(self.journal)
        verified = world.home("audit", "verify")
        if verified.status != 0 or "intact" not in verified.out:
            yield f"safebox audit verify: {verified.out} {verified.err}"
        with suppress(AssertionError):
            world.home.nothing_left()
            return
        yield f"left behind: {[*world.home.processes(), *world.home.mounts(), *world.home.path.glob('sandboxes/*')]}"

    def _counted(self) -> Tally:
        world, tally = self.world, self.tally
        tally.records, tally.runs = self.witness.seq, len(self.witness.runs)
        tally.answers = self.checks.answers
        tally.recovered = self.witness.recovered
        tally.effects["payments"] = world.chain_wire.sent
        tally.effects["mails"] = len(world.mails.kept)
        tally.effects["questions"] = len(world.model_wire.asked)
        tally.effects["containers"] = sum(each.started for each in list(world.sightings.seen.values()))
        tally.seconds = time.monotonic() - self._begun
        return tally
