"""Law 12: after a kill, a pause or a freeze nothing it stops begins, whatever was under way, queued or asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from safebox.firewall.core.action import Call, canonical
from safebox.firewall.core.money import Amount
from safebox.firewall.core.record import RunEnded, RunKilled, RunPaused, RunResumed, WalletFrozen, WalletThawed
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import CallerError, LedgerUnavailable
from safebox.firewall.evidence import Evidence
from safebox.firewall.recovery import action_of, recover, view_of
from safebox.firewall.runs import Run
from safebox.firewall.standing import OVER
from safebox.firewall.stops import Stops
from tests.adversarial.test_nothing_acts_without_a_durable_allow import pay
from tests.kin import begin
from tests.twins import MANDATE, PAYEE, MemoryStore, Rig, run_started

ETH = 10**18
NAMED = {"run": "run_1", "by": "anna"}
MAIL = {"to": ["a@b.example"], "subject": "Hello", "body": "How are you?"}
CODES = {"kill": "firewall.run_not_live", "pause": "firewall.run_paused"}
SMALL = MANDATE.replace("7 ETH", "1 ETH")


def mail(run: str = "run_1") -> Call:
    return Call(run=run, tool="email.send", arguments=MAIL)


def sweep(run: str = "run_1") -> Call:
    arguments = {"to": PAYEE, "amount": Amount(ETH, "ETH")}
    return Call(run=run, tool="wallet.sweep", arguments=arguments, caller=Caller.OWNER)


def stops(rig: Rig) -> Stops:
    return Stops(rig.ledger, rig.runs, rig.clock)


def remaining(rig: Rig) -> int:
    return rig.run.book.lines["wallet", "ETH"].remaining


async def order(rig: Rig, name: str, **fields: Any) -> dict[str, Any]:
    return await stops(rig).carry_out(name, NAMED | fields)


async def settle_down() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def until(go: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await go.wait()

    return wait


async def child_of(rig: Rig, parent: str, name: str, mandate: str = SMALL) -> Run:
    """A child run, recorded as one and live."""
    started = run_started(name, mandate, rig.clock.now_ns())
    shown = {**msgspec.json.decode(started.run_view), "parent": parent, "root": "run_1", "depth": 1}
    started = await begin(rig.ledger, msgspec.structs.replace(started, run_view=msgspec.Raw(canonical(shown))), parent)
    run = Run(view_of(started), rig.ledger.book(name), Evidence({}))
    rig.runs.add(run)
    return run


async def caught_between(rig: Rig, call: Call, stop: Callable[[], Any]) -> Reply:
    """Ask, stop once the decision is being written and before it is, and give the answer."""
    rig.store.stall = asyncio.Event()
    calling = asyncio.create_task(rig.pipeline.handle(call))
    await settle_down()
    stop()
    rig.store.stall.set()
    return await calling


# --- what is under way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_what_was_decided_but_not_begun_never_begins_and_gives_its_reservation_back(name: str) -> None:
    rig = Rig()
    reply = await caught_between(rig, pay(), lambda: stops(rig).hear(name, NAMED))
    assert (reply.status, rig.effects) == (Status.FAILED, 0)
    assert remaining(rig) == 7 * ETH
    assert rig.ledger.unsettled() == []


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_what_had_begun_is_finished_and_settled(name: str) -> None:
    rig, go = Rig(), asyncio.Event()
    rig.connectors["chain"].on_perform = until(go)
    calling = asyncio.create_task(rig.pipeline.handle(pay()))
    await settle_down()
    assert len(rig.ledger.unsettled()) == 1
    await order(rig, name)
    go.set()
    assert (await calling).status is Status.DONE
    assert (rig.effects, remaining(rig), rig.ledger.unsettled()) == (1, 6 * ETH, [])


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_what_is_only_being_prepared_ends_at_the_connectors_last_look(name: str) -> None:
    """A payment's nonce and fee are asked for before it is signed; a stop meanwhile is in time."""
    rig, go = Rig(), asyncio.Event()

    async def prepare() -> None:
        await go.wait()
        rig.run.view.last_look(action_of(rig.ledger.unsettled()[0]))

    rig.connectors["chain"].on_perform = prepare
    calling = asyncio.create_task(rig.pipeline.handle(pay()))
    await settle_down()
    await order(rig, name)
    go.set()
    assert (await calling).status is Status.FAILED
    assert (rig.effects, remaining(rig), rig.ledger.unsettled()) == (0, 7 * ETH, [])


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_what_waits_for_its_turn_finds_it_gone(name: str) -> None:
    """Payments of one wallet go one by one: those behind the first are neither decided nor done."""
    rig, go = Rig(), asyncio.Event()
    rig.connectors["chain"].on_perform = until(go)
    calling = [asyncio.create_task(rig.pipeline.handle(pay())) for _ in range(5)]
    await settle_down()
    await order(rig, name)
    go.set()
    replies = [await each for each in calling]
    assert [reply.status is Status.DONE for reply in replies] == [True, False, False, False, False]
    assert (rig.effects, remaining(rig)) == (1, 6 * ETH)


@pytest.mark.parametrize("name", ["kill", "pause"])
async def test_a_stop_while_policy_is_asked_ends_the_call_whatever_policy_says(name: str) -> None:
    rig = Rig()

    async def stopped() -> None:
        await order(rig, name)

    rig.connectors["chain"].on_quote = stopped
    reply = await rig.pipeline.handle(pay())
    assert (reply.status, reply.code) == (Status.UNAVAILABLE, CODES[name])
    assert (rig.effects, remaining(rig)) == (0, 7 * ETH)


async def test_the_answer_to_a_kill_comes_after_whatever_could_still_begin() -> None:
    """The answer is given on the loop: nothing that looked at the mark before it can begin after it."""
    rig = Rig()
    begun: list[str] = []

    async def begin() -> None:
        begun.append("mail")

    rig.connectors["mail"].on_perform = begin
    calls = [asyncio.create_task(rig.pipeline.handle(mail())) for _ in range(20)]
    await asyncio.sleep(0)
    await order(rig, "kill")
    before = len(begun)
    await asyncio.gather(*calls)
    assert len(begun) == before


# --- asking again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kill", "pause"])
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_stopped_run_is_told_so_at_once_also_under_a_key_that_was_answered(name: str, key: str | None) -> None:
    rig = Rig()
    assert (await rig.pipeline.handle(pay(key="k"))).status is Status.DONE
    await order(rig, name)
    reply = await rig.pipeline.handle(pay(key=key))
    assert (reply.status, reply.code, reply.result) == (Status.UNAVAILABLE, CODES[name], None)
    assert rig.effects == 1


async def test_a_paused_run_hears_that_it_is_paused_and_when_to_ask_again_and_leaves_no_record() -> None:
    rig = Rig()
    await order(rig, "pause")
    records = len(rig.store.records)
    reply = await rig.pipeline.handle(mail())
    assert reply.code == "firewall.run_paused"
    assert reply.message == "this run is paused by its owner; nothing was done"
    assert reply.retry_after_s == 10
    assert len(rig.store.records) == records
    assert remaining(rig) == 7 * ETH


async def test_a_key_that_was_refused_by_a_pause_is_free_after_it() -> None:
    rig = Rig()
    await order(rig, "pause")
    assert (await rig.pipeline.handle(pay(key="k"))).code == "firewall.run_paused"
    await order(rig, "resume")
    assert (await rig.pipeline.handle(pay(key="k"))).status is Status.DONE


async def test_a_stopped_run_is_told_nothing_of_itself_nor_of_the_world() -> None:
    rig = Rig()
    assert rig.pipeline.view("run_1").id == "run_1"
    for name, code in (("pause", "firewall.run_paused"), ("kill", "firewall.run_not_live")):
        await order(rig, name)
        with pytest.raises(Exception, match="the run is") as caught:
            rig.pipeline.view("run_1")
        assert getattr(caught.value, "code", None) == code


# --- going on ---------------------------------------------------------------------------------------------------


async def test_a_resumed_run_goes_on_and_who_said_so_is_recorded() -> None:
    rig = Rig()
    await order(rig, "pause")
    assert rig.run.state == "paused"
    assert await order(rig, "resume", by="berta") == {"resumed": ["run_1"]}
    assert rig.run.state == "live"
    assert (await rig.pipeline.handle(pay())).status is Status.DONE
    said = [event for event in rig.store.events if isinstance(event, RunPaused | RunResumed)]
    assert [(type(event), event.by) for event in said] == [(RunPaused, "anna"), (RunResumed, "berta")]


async def test_a_killed_run_is_never_resumed_or_thawed() -> None:
    rig = Rig()
    await order(rig, "pause")
    await order(rig, "kill")
    for name in ("resume", "thaw"):
        with pytest.raises(CallerError, match="killed by anna"):
            await order(rig, name)
    assert await order(rig, "resume", run=None) == {"resumed": []}  # all that can be
    assert rig.run.state == "killed"
    assert (await rig.pipeline.handle(mail())).code == "firewall.run_not_live"


async def test_a_resume_holds_only_once_it_is_recorded() -> None:
    rig = Rig()
    await order(rig, "pause")
    rig.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await order(rig, "resume")
    assert (await rig.pipeline.handle(mail())).code == "firewall.run_paused"


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_a_stop_that_cannot_be_recorded_holds_all_the_same(name: str) -> None:
    rig = Rig()
    rig.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await order(rig, name)
    rig.store.broken = False
    assert (await rig.pipeline.handle(pay())).status is not Status.DONE
    assert rig.effects == 0


async def test_a_pause_that_was_not_recorded_can_be_taken_back() -> None:
    rig = Rig()
    rig.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await order(rig, "pause")
    rig.store.broken = False
    await order(rig, "resume")
    assert (await rig.pipeline.handle(pay())).status is Status.DONE


async def test_a_pause_that_comes_while_a_resume_is_written_wins() -> None:
    rig, desk = Rig(), None
    desk = stops(rig)
    await desk.carry_out("pause", NAMED)
    rig.store.stall = asyncio.Event()
    resuming = asyncio.create_task(desk.carry_out("resume", NAMED))
    await settle_down()
    pausing = asyncio.create_task(desk.carry_out("pause", NAMED))
    await settle_down()
    rig.store.stall.set()
    await asyncio.gather(resuming, pausing)
    assert rig.run.state == "paused"
    assert Rig(store=rig.store).run.state == "paused"


async def test_saying_it_twice_records_it_once() -> None:
    rig = Rig()
    for name in ("pause", "pause", "resume", "resume", "freeze", "freeze", "thaw", "thaw", "kill", "kill"):
        await order(rig, name)
    kinds = [type(event) for event in rig.store.events[1:]]
    assert kinds == [RunPaused, RunResumed, WalletFrozen, WalletThawed, RunKilled]


# --- a restart --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_a_new_firewall_holds_what_the_old_one_was_told(name: str) -> None:
    rig = Rig()
    await order(rig, name)
    again = Rig(store=rig.store)
    assert again.run.state == {"kill": "killed", "pause": "paused", "freeze": "frozen"}[name]
    call = pay()
    again.engine.answer = Rig().engine.answer  # policy allows everything
    assert (await again.pipeline.handle(call)).status is not Status.DONE
    assert again.effects == 0


async def test_a_restart_during_a_pause_starts_nothing_that_was_allowed_before_it() -> None:
    """A firewall dies with an allowed payment open while its run is paused: the next one finds out, and no more."""
    rig = Rig()
    rig.connectors["chain"].on_perform = until(asyncio.Event())
    calling = asyncio.create_task(rig.pipeline.handle(pay()))
    await settle_down()
    await order(rig, "pause")
    store = MemoryStore()
    store.records = list(rig.store.records)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    again = Rig(store=store)
    await recover(again.ledger, again.connectors, again.clock)
    assert (again.effects, remaining(again), again.ledger.unsettled()) == (0, 7 * ETH, [])
    assert again.run.state == "paused"


# --- families ---------------------------------------------------------------------------------------------------


async def test_no_child_acts_after_its_parent_was_killed_named_or_not() -> None:
    rig = Rig()
    child = await child_of(rig, "run_1", "run_2")
    grandchild = await child_of(rig, "run_2", "run_3")
    other = run_started("run_9", MANDATE, rig.clock.now_ns())
    await rig.ledger.start(other)
    rig.runs.add(Run(view_of(other), rig.ledger.book("run_9"), Evidence({})))
    assert await order(rig, "kill") == {"killed": ["run_1"]}
    assert [run.state for run in (rig.run, child, grandchild)] == ["killed"] * 3
    for name in ("run_1", "run_2", "run_3"):
        assert (await rig.pipeline.handle(mail(name))).code == "firewall.run_not_live"
    late = await child_of(rig, "run_3", "run_4")  # however late it is born
    assert late.state == "killed"
    assert (await rig.pipeline.handle(mail("run_9"))).status is Status.DONE


async def test_a_childs_effect_under_decision_does_not_begin_after_its_parents_kill() -> None:
    rig = Rig()
    await child_of(rig, "run_1", "run_2")
    reply = await caught_between(rig, mail("run_2"), lambda: stops(rig).hear("kill", NAMED))
    assert (reply.status, rig.effects) == (Status.FAILED, 0)


async def test_killing_a_tree_records_each_run_of_it_and_no_other() -> None:
    rig = Rig()
    await child_of(rig, "run_1", "run_2", MANDATE.replace("7 ETH", "2 ETH"))
    await child_of(rig, "run_2", "run_3")
    sibling = await child_of(rig, "run_1", "run_4")
    assert await order(rig, "kill", run="run_2", tree=True) == {"killed": ["run_2", "run_3"]}
    assert {event.run for event in rig.store.events if isinstance(event, RunKilled)} == {"run_2", "run_3"}
    assert (sibling.state, rig.run.state) == ("live", "live")


async def test_a_tree_whose_root_has_ended_can_still_be_killed() -> None:
    rig = Rig()
    await child_of(rig, "run_1", "run_2")
    await rig.ledger.note(RunEnded(at_ns=rig.clock.now_ns(), run="run_1", reason="exited", exit_code=0))
    rig.runs.remove("run_1")
    assert await order(rig, "kill", tree=True) == {"killed": ["run_2"]}


async def test_a_child_of_a_killed_run_stays_stopped_under_a_new_firewall() -> None:
    rig = Rig()
    await child_of(rig, "run_1", "run_2")
    await order(rig, "kill")
    again = Rig(store=rig.store)
    again.runs.remove("run_1")  # only the record says it
    again.runs.add(Run(rig.runs.find("run_2").view, again.ledger.book("run_2"), Evidence({})))
    assert (await again.pipeline.handle(mail("run_2"))).code == "firewall.run_not_live"


async def test_a_child_waits_while_its_parent_is_paused_and_cannot_be_resumed_alone() -> None:
    rig = Rig()
    child = await child_of(rig, "run_1", "run_2")
    await order(rig, "pause")
    assert child.state == "paused"
    with pytest.raises(CallerError, match="descends from is paused"):
        await order(rig, "resume", run="run_2")
    await order(rig, "pause", run="run_2")
    await order(rig, "resume")
    assert (rig.run.state, child.state) == ("live", "paused")


async def test_a_child_pays_nobody_while_its_parents_wallet_is_frozen_and_cannot_be_thawed_alone() -> None:
    rig = Rig()
    child = await child_of(rig, "run_1", "run_2", MANDATE.replace("7 ETH", "2 ETH"))
    grandchild = await child_of(rig, "run_2", "run_3")
    payment = msgspec.structs.replace(pay(), run="run_2")
    stops(rig).hear("freeze", NAMED)
    assert [child.frozen, grandchild.frozen] == [True, True], "from the moment it is heard"
    await order(rig, "freeze")
    assert (child.state, (await rig.pipeline.handle(payment)).status, rig.effects) == ("frozen", Status.FAILED, 0)
    assert (await rig.pipeline.handle(mail("run_3"))).status is Status.DONE
    with pytest.raises(CallerError, match="descends from is frozen"):
        await order(rig, "thaw", run="run_3")
    await order(rig, "thaw")
    assert (await rig.pipeline.handle(payment)).status is Status.DONE


@pytest.mark.parametrize("seen", ["by this firewall", "in the ledger alone"])
async def test_a_child_does_nothing_after_its_parents_end_and_its_owner_takes_the_money_home(seen: str) -> None:
    rig = Rig()
    child = await child_of(rig, "run_1", "run_2")
    grandchild = await child_of(rig, "run_2", "run_3")
    if seen == "by this firewall":
        rig.run.stopped = OVER
    else:
        await rig.ledger.note(RunEnded(at_ns=rig.clock.now_ns(), run="run_1", reason="exited", exit_code=0))
        rig.runs.remove("run_1")
    assert (child.state, grandchild.state) == (OVER, OVER)
    for name in ("run_2", "run_3"):
        assert (await rig.pipeline.handle(mail(name))).code == "firewall.run_not_live"
    assert (await rig.pipeline.handle(sweep("run_2"))).status is Status.DONE


async def test_an_order_about_a_run_that_is_not_there_is_an_error_and_about_none_at_all_is_not() -> None:
    rig = Rig()
    for name in ("kill", "pause", "resume", "freeze", "thaw"):
        with pytest.raises(CallerError, match="no live run"):
            await order(rig, name, run="run_7")
    rig.runs.remove("run_1")
    assert await order(rig, "kill", run=None) == {"killed": []}


# --- the frozen wallet ------------------------------------------------------------------------------------------


async def test_a_frozen_wallet_pays_nobody_while_all_else_goes_on_and_its_owner_takes_the_money_home() -> None:
    rig = Rig()
    await order(rig, "freeze")
    assert (await rig.pipeline.handle(pay())).status is Status.FAILED  # though this policy allows everything
    assert rig.effects == 0
    assert (await rig.pipeline.handle(mail())).status is Status.DONE
    balance = Call(run="run_1", tool="wallet.balance", arguments={})
    assert (await rig.pipeline.handle(balance)).status is Status.DONE
    assert (await rig.pipeline.handle(sweep())).status is Status.DONE
    await order(rig, "thaw")
    assert (await rig.pipeline.handle(pay())).status is Status.DONE


async def test_policy_is_shown_that_the_wallet_is_frozen_even_before_it_is_recorded() -> None:
    rig = Rig()
    stops(rig).hear("freeze", NAMED)
    await rig.pipeline.handle(pay())
    await order(rig, "thaw")
    await rig.pipeline.handle(pay())
    shown = [msgspec.json.decode(document)["facts"]["frozen"] for document in rig.engine.asked]
    assert shown == [True, False]


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_the_owner_takes_the_money_home_after_any_stop(name: str) -> None:
    rig = Rig()
    await order(rig, name)
    assert (await rig.pipeline.handle(sweep())).status is Status.DONE


@pytest.mark.parametrize("name", ["kill", "pause", "freeze"])
async def test_an_agent_that_says_it_is_the_owner_is_the_agent(name: str) -> None:
    """The caller is no part of what a gateway reads; the owner's tools do not exist for it either."""
    rig = Rig()
    await order(rig, name)
    asked = Call(run="run_1", tool="wallet.sweep", arguments={"to": PAYEE, "amount": None, "caller": "owner"})
    reply = await rig.pipeline.handle(asked)
    assert reply.code in ("firewall.run_not_live", "firewall.run_paused", "request.unknown_tool")
    assert rig.effects == 0
