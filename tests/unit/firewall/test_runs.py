"""Runs act while they live, and whoever watches sees what happens, cut for eyes."""

from typing import Any

import pytest

from safebox.firewall.core.record import RunEnded
from safebox.firewall.core.tools import Caller
from safebox.firewall.runs import TEXT_SHOWN_MAX, RunNotLive, Runs
from tests.twins import Rig
from tests.unit.cli import sample_ledger


def test_a_live_run_may_act_and_a_stopped_one_only_bring_its_money_home() -> None:
    run = Rig().run
    run.check_live(Caller.AGENT)
    run.stopped = "killed by the owner"
    with pytest.raises(RunNotLive, match="killed by the owner"):
        run.check_live(Caller.AGENT)
    run.check_live(Caller.OWNER)
    run.book.ended = RunEnded(at_ns=1, run="run_1", reason="exited", exit_code=0)
    for caller in Caller:
        with pytest.raises(RunNotLive):
            run.check_live(caller)


def test_each_connector_has_one_turn_in_a_run() -> None:
    run, other = Rig().run, Rig().run
    assert run.turn("chain") is run.turn("chain")
    assert run.turn("chain") is not run.turn("mail")
    assert run.turn("chain") is not other.turn("chain")


def test_a_run_that_was_removed_is_not_found() -> None:
    rig = Rig()
    assert rig.runs.find("run_1") is rig.run
    assert rig.runs.all() == [rig.run]
    rig.runs.remove("run_1")
    rig.runs.remove("run_1")
    with pytest.raises(RunNotLive):
        rig.runs.find("run_1")
    assert rig.runs.all() == []


def test_watchers_are_shown_events_until_they_leave() -> None:
    runs, one, other = Runs(), list[dict[str, Any]](), list[dict[str, Any]]()
    leave = runs.watch(one.append)
    runs.watch(other.append)
    runs.tell(sample_ledger.ENDED)
    leave()
    runs.tell_plain({"event": "policy_reloaded"})
    assert [event["event"] for event in one] == ["run_ended"]
    assert [event["event"] for event in other] == ["run_ended", "policy_reloaded"]


def test_the_feed_has_every_event_readable_and_cut() -> None:
    runs, seen = Runs(), list[dict[str, Any]]()
    runs.watch(seen.append)
    long = sample_ledger.decided(9, "email.send", {"body": "x" * 5_000, "to": ["y" * 5_000]}, sample_ledger.ALLOW)
    for event in (sample_ledger.started(), sample_ledger.TRANSFER, sample_ledger.SETTLED, long):
        runs.tell(event)
    assert seen[1]["action"]["args"]["to"] == sample_ledger.ACME
    assert seen[1]["charges"][0]["amount"] == "0.1 ETH"
    args = seen[3]["action"]["args"]
    assert args == {"body": "x" * TEXT_SHOWN_MAX + "…", "to": ["y" * TEXT_SHOWN_MAX + "…"]}
