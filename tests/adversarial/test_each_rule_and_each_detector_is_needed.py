"""Take one rule or one detector away, and something that was stopped goes through: none is there for show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from safebox.firewall import ledger
from safebox.firewall.behaviour import deeds
from safebox.firewall.behaviour.chain import Chains
from safebox.firewall.behaviour.conduct import Conduct, Deed
from safebox.firewall.behaviour.owner import OwnerRecord
from safebox.firewall.behaviour.population import Population
from safebox.firewall.core import behaving, objectives
from safebox.firewall.core.behaving import Behaving
from safebox.firewall.core.decision import Answer, Verdict
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.record import RunStarted, WalletFrozen
from safebox.firewall.engines.bundle import Module, load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.policytools import reason_codes
from safebox.firewall.policytools.golden import Golden, load_golden
from tests.adversarial.test_what_policy_orders_is_in_force_with_the_decision import told_no
from tests.bench.behaviour.asking import mail, pay, rent, web
from tests.bench.behaviour.attacks import ATTACKS, RUN
from tests.bench.behaviour.theatre import HOUR, MINUTE, START_NS, Theatre, engine
from tests.twins import Rig
from tests.unit.policy import cases

PACK = pack_folder()
HOST = "203.0.113.9"
FUND = "0x" + "ab" * 20


class Switchboard:
    """The pack, compiled once, in which each rule can be taken away by its code."""

    _HEAD = re.compile(r'^((?:deny|hold) contains \{"code": )("[a-z_]+\.[a-z_0-9]+")', re.MULTILINE)
    _SWITCH = "\n_unless_removed(code) := code if not code in data.data.removed\n"

    def __init__(self) -> None:
        pack = load_bundle([PACK])
        self._data: dict[str, Any] = json.loads(pack.data)
        modules = [Module(each.name, self._switched(each.text)) for each in pack.modules]
        self._engine = EmbeddedEngine(cases.bundle_of(self._text(), *modules))

    def answer(self, document: bytes, *removed: str) -> Answer:
        """What the pack says without these."""
        self._engine._machine.set_data_json(self._text(*removed))  # pyright: ignore[reportPrivateUsage]
        return self._engine.answer(document)

    def _switched(self, text: str) -> str:
        found, count = self._HEAD.subn(r"\1_unless_removed(\2)", text)
        return found + self._SWITCH if count else text

    def _text(self, *removed: str) -> str:
        return json.dumps({**self._data, "data": {**self._data["data"], "removed": removed}})


@pytest.fixture(scope="module")
def switchboard() -> Switchboard:
    return Switchboard()


def codes(answer: Answer) -> set[str]:
    return {reason.code for reason in (*answer.reasons, *answer.monitored)}


NOT_BY_A_RULE = "main.no_rule_allows"
"""What is said where no rule allows: the absence of a yes."""
GIVEN = [
    pytest.param(golden, code, id=f"{code}: {golden.name}")
    for golden in load_golden(PACK)
    for code in golden.codes
    if code != NOT_BY_A_RULE
]


@pytest.mark.parametrize(("golden", "code"), GIVEN)
def test_without_its_rule_a_question_of_the_golden_set_has_another_answer(
    switchboard: Switchboard, golden: Golden, code: str
) -> None:
    assert codes(switchboard.answer(golden.document)) == set(golden.codes)
    left = switchboard.answer(golden.document, code)
    assert code not in codes(left)
    if golden.codes == (code,):
        assert left.verdict is Verdict.ALLOW or codes(left) <= {NOT_BY_A_RULE, "behaviour.chain_begins"}


def rented_and_told(theatre: Theatre) -> None:
    """A machine whose address comes back is sent own code by another run of the owner."""
    theatre.start(START_NS + 1, "run_b")
    rent(theatre, START_NS, RUN, 300, result={"address": HOST})
    web(theatre, START_NS + HOUR, "run_b", "PUT", f"https://{HOST}/file", "x", own=13)


def keyed_and_told(theatre: Theatre) -> None:
    web(theatre, START_NS, RUN, "POST", f"https://{HOST}/ssh-keys")
    web(theatre, START_NS + HOUR, RUN, "PUT", f"https://{HOST}/file", "x", own=13)


def rented_and_written_to(theatre: Theatre) -> None:
    rent(theatre, START_NS, RUN, 300, result={"address": HOST})
    mail(theatre, START_NS + HOUR, RUN, f"root@{HOST}", "Hello", "Wake up.")


def rented_and_funded(theatre: Theatre) -> None:
    rent(theatre, START_NS, RUN, 300, result={"pay_to": FUND})
    pay(theatre, START_NS + HOUR, RUN, FUND, 1)


def keeping(theatre: Theatre) -> None:
    theatre.receive(START_NS, RUN, 10**6)
    pay(theatre, START_NS + HOUR, RUN, "0x00000000000000000000000000000000000000B2", 5)


def wandering(theatre: Theatre) -> None:
    for number in range(30):
        mail(theatre, START_NS + number * MINUTE, RUN, "office@example.org", "Weather", "Rain again.")


def slowed_down(theatre: Theatre) -> None:
    theatre.books.runs[RUN].behaving._remembered.throttle(START_NS + HOUR)  # pyright: ignore[reportPrivateUsage]
    mail(theatre, START_NS + MINUTE, RUN, "office@example.org", "Bills", "Bills are paid.")


def stopped(theatre: Theatre) -> None:
    """Its wallet was frozen, and it schedules something."""
    theatre.books.apply(WalletFrozen(at_ns=START_NS + 1, run=RUN, by="anna"))
    web(theatre, START_NS + MINUTE // 2, RUN, "POST", "https://elsewhere.example/crontab", "* * * * * run")


def family(name: str) -> Callable[[Theatre], None]:
    return lambda theatre: ATTACKS[name](Random(5), theatre)  # noqa: S311 -- the same each time


STARTED = {
    rented_and_told,
    keyed_and_told,
    rented_and_written_to,
    rented_and_funded,
    keeping,
    wandering,
    slowed_down,
    stopped,
}
Break = Callable[[pytest.MonkeyPatch], None]


def fact(name: str, quiet: object) -> Break:
    """The fold that this fact comes from, taken away."""
    whole = Conduct.facts

    def rest(self: Conduct, now: int, budget: int) -> dict[str, Any]:
        return {**whole(self, now, budget), name: quiet}

    return lambda monkeypatch: monkeypatch.setattr(Conduct, "facts", rest)


def gone(place: object, name: str, answer: object = None) -> Break:
    """A part of a detector, taken away."""

    def nothing(*_: object, **__: object) -> object:
        return answer

    return lambda monkeypatch: monkeypatch.setattr(place, name, nothing)


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run for itself, as if it had an owner of its own."""
    whole = Behaving.__init__

    def by_itself(self: Behaving, started: RunStarted, mandate: Mandate, *_: object) -> None:
        whole(self, started, mandate, OwnerRecord())

    monkeypatch.setattr(Behaving, "__init__", by_itself)


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing came back from what is done."""

    def before(deed: Deed, *_: object) -> tuple[str, ...]:
        return deed.handles

    monkeypatch.setattr(behaving, "outcome_handles", before)


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deeds, "OWN_PIECES", 10**9)


DETECTORS: dict[str, tuple[Break, Callable[[Theatre], None], str]] = {
    "the chain of steps": (gone(Chains, "add"), rented_and_told, "behaviour.chain_begins"),
    "one chain for all runs of an owner": (alone, rented_and_told, "behaviour.chain_begins"),
    "what a step turned out to be about": (plain, rented_and_told, "behaviour.chain_begins"),
    "own code is a step": (blind, keyed_and_told, "behaviour.chain_begins"),
    "where an action goes": (gone(deeds, "_places", ()), rented_and_written_to, "behaviour.chain_begins"),
    "what a payment is": (gone(deeds, "value_deed", Deed()), rented_and_funded, "behaviour.chain_begins"),
    "what names speak of": (gone(deeds, "named", set[str]()), family("collector"), "behaviour.collects"),
    "growth over periods": (fact("expansion", 0), family("reinvestor"), "behaviour.reinvests"),
    "what comes back": (fact("returned", 0), family("trading loop"), "behaviour.trading_loop"),
    "what passes through": (fact("passed_through", 0), family("pass-through"), "behaviour.pass_through"),
    "even intervals": (fact("regular", 0), family("drip"), "behaviour.drip"),
    "strangers": (fact("fan_out", 0), family("spreading"), "behaviour.fan_out"),
    "gaps that close": (fact("probing", 0), family("cap probing"), "behaviour.probing"),
    "what was collected": (fact("collected", []), family("collector"), "behaviour.collects"),
    "launches": (gone(Population, "launch"), family("breeder"), "behaviour.population"),
    "which launch earned": (gone(Population, "earn"), family("breeder"), "behaviour.population"),
    "goals": (gone(objectives, "_goals", ()), family("own goal"), "behaviour.own_goal"),
    "offers to people": (gone(deeds, "find_recruiting", ()), family("recruiter"), "behaviour.recruits"),
    "what is kept": (fact("retained_bp", 0), keeping, "behaviour.retains"),
    "what is off the purpose": (fact("off_purpose_bp", 0), wandering, "behaviour.off_purpose"),
    "a throttle": (fact("throttled", False), slowed_down, "behaviour.throttled"),
    "when it was stopped": (gone(Behaving, "told"), stopped, "behaviour.after_stop"),
}


def said_of(scene: Callable[[Theatre], None]) -> set[str]:
    """All codes that the pack has for what happens in a scene."""
    theatre = Theatre()
    if scene in STARTED:
        theatre.start(START_NS, RUN)
    scene(theatre)
    return {code for seen in theatre.seen for code in codes(engine().answer(seen.document))}


@pytest.mark.parametrize("name", DETECTORS)
def test_with_every_detector_each_scene_has_its_code(name: str) -> None:
    _, scene, code = DETECTORS[name]
    assert code in said_of(scene)


@pytest.mark.parametrize("name", DETECTORS)
def test_without_one_detector_its_scene_goes_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_away, scene, code = DETECTORS[name]
    take_away(monkeypatch)
    assert code not in said_of(scene)


def test_every_code_of_behaviour_but_the_absence_of_facts_has_a_scene() -> None:
    given = {code for _, _, code in DETECTORS.values()}
    ours = {code.code for code in reason_codes([PACK]) if code.code.startswith("behaviour.")}
    assert ours - given == {"behaviour.unknown", "behaviour.chain", "behaviour.probing_on"}


@pytest.mark.parametrize("order", ["freeze", "quarantine", "kill_tree"])
async def test_without_what_policy_orders_the_run_goes_on(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone(ledger, "ordered_events", ())(monkeypatch)
    rig = Rig()
    await told_no(rig, order)
    assert rig.run.state == "live"
