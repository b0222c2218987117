"""Holds: what people approved happens once, as they saw it; what they did not approve never happens.

How it can be attacked, and the test that tries:

- a vote forged, signed with another key, by somebody of no or another group, under another's name
- a good vote replayed on another action, hold, run, bundle or group, or turned from no to yes
- one person with two voices: twice, under two names, with two keys
- a vote or a window that comes after the hold expired, was refused, was used, or its run was stopped
- the action, the policy or the budget changed between the hold and its release
- a veto racing the end of a window; two ticks, votes or asks at once; a crash at any point
- an agent that asks a thousand times, under a thousand keys, for a thousand things, or again after a no
- approvers.toml half written, writable by others, gone; a ledger with votes nobody gave
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safebox.firewall.core.action import Call
from safebox.firewall.core.holds import OPEN_MAX, SECOND, TOTAL_MAX
from safebox.firewall.core.outcome import Outcome
from safebox.firewall.core.record import AskedAgain, Decided, HoldClosed, RunKilled, Voted, encode_event
from safebox.firewall.core.reply import Status
from safebox.firewall.core.tools import Caller
from safebox.firewall.errors import CallerError, ConfigError, FactsUnavailable, LedgerUnavailable
from safebox.firewall.recovery import recover
from safebox.firewall.roster import FILE_NAME
from tests.people import A_MINUTE, TWO_OWNERS, Waiting, signed, signer, statement, write_roster

ETH = 10**18


@pytest.fixture
def rig(tmp_path: Path) -> Waiting:
    return Waiting(tmp_path)


async def test_a_hold_does_nothing_and_burns_nothing(rig: Waiting) -> None:
    reply = await rig.ask()
    assert (reply.status, reply.code, reply.retry_after_s) == (Status.HELD, "test.held", 5)
    line = rig.run.book.lines["wallet", "ETH"]
    assert (rig.effects, line.spent, line.reserved) == (0, 0, 0)
    await rig.later(3599)
    assert rig.effects == 0


async def test_enough_people_let_it_happen_once_and_the_agent_is_told(rig: Waiting) -> None:
    held = await rig.ask()
    assert (await rig.vote(held, "alice"))["approved_by"] == ["alice"]
    await rig.rest()
    assert rig.effects == 0
    await rig.vote(held, "bob")
    await rig.rest()
    assert rig.effects == 1
    done = await rig.ask()
    assert (done.status, done.decision_id, done.result) == (Status.DONE, held.decision_id, {"number": 1})
    (allowed,) = rig.allowed
    assert (allowed.hold, allowed.digest) == (held.decision_id, rig.hold(held).decided.digest)
    assert rig.run.book.lines["wallet", "ETH"].spent == ETH


async def test_a_payment_asked_for_after_the_outcome_was_told_is_another_payment(rig: Waiting) -> None:
    held = await rig.ask()
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    assert (await rig.ask()).status is Status.DONE
    again = await rig.ask()
    assert again.status is Status.HELD
    assert again.decision_id != held.decision_id
    assert rig.effects == 1


async def test_silence_lets_pass_what_may_be_challenged_and_a_veto_stops_it(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    quiet, stopped = await rig.ask(), await rig.ask("2 ETH")
    assert quiet.retry_after_s == 60
    await rig.vote(stopped, "carol", "deny")
    await rig.later(58)
    assert rig.effects == 0
    assert (await rig.ask()).retry_after_s in (1, 2)
    await rig.later(2)
    assert [action.args.amount.units for action in rig.connectors["chain"].done] == [ETH]
    assert rig.hold(quiet).used is not None
    assert rig.hold(stopped).used is None


async def test_one_person_ends_a_challenge_window_early(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()
    await rig.vote(held, "bob")
    await rig.rest()
    assert rig.effects == 1


# --- whose vote it is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said_by", "signed_by", "code"),
    [
        ("alice", ("mallory", 0), "approval.bad_signature"),
        ("alice", ("alice", 1), "approval.bad_signature"),
        ("mallory", ("mallory", 0), "approval.not_a_member"),
        ("nobody", ("nobody", 0), "approval.not_a_member"),
        ("Alice", ("alice", 0), "approval.not_a_member"),
        ("alice ", ("alice", 0), "approval.not_a_member"),
        ("", ("alice", 0), "approval.not_a_member"),
    ],
)
@pytest.mark.parametrize("verdict", ["approve", "deny"])
async def test_a_vote_of_somebody_else_counts_for_nothing(
    rig: Waiting, said_by: str, signed_by: tuple[str, int], code: str, verdict: Any
) -> None:
    held = await rig.ask()
    with pytest.raises(CallerError) as refused:
        await rig.desk.vote(signed(statement(rig.hold(held), said_by, verdict), signer(*signed_by)))
    assert refused.value.code == code
    assert not [event for event in rig.store.events if isinstance(event, Voted)]
    assert rig.metric("safebox_votes_total", verdict="invalid") == 1
    assert rig.hold(held).is_open(rig.clock.now_ns())


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "run_2"},
        {"digest": "sha256:" + "0" * 64},
        {"bundle": "sha256:other"},
        {"group": "others"},
        {"verdict": "deny"},
        {"approver": "bob"},
        {"signed_ns": 0},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_signature_is_good_for_exactly_what_was_signed(rig: Waiting, changes: dict[str, Any]) -> None:
    held = await rig.ask()
    vote = signed(statement(rig.hold(held), "alice"), signer("alice"))
    vote["statement"] |= changes
    with pytest.raises(CallerError) as refused:
        await rig.desk.vote(vote)
    assert refused.value.code == "approval.bad_signature"


@pytest.mark.parametrize(
    "changes",
    [{"run": "run_2"}, {"digest": "sha256:" + "0" * 64}, {"bundle": "sha256:other"}, {"group": "others"}],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_good_signature_about_something_else_counts_for_nothing(rig: Waiting, changes: dict[str, Any]) -> None:
    held = await rig.ask()
    with pytest.raises(CallerError) as refused:
        await rig.desk.vote(signed(statement(rig.hold(held), "alice", **changes), signer("alice")))
    assert refused.value.code == "approval.bad_signature"


async def test_a_vote_for_one_payment_is_none_for_another(rig: Waiting) -> None:
    small, large = await rig.ask("1 ETH"), await rig.ask("3 ETH")
    vote = signed(statement(rig.hold(small), "alice"), signer("alice"))
    vote["statement"]["hold"] = large.decision_id
    with pytest.raises(CallerError):
        await rig.desk.vote(vote)
    said = statement(rig.hold(small), "alice", hold=str(large.decision_id))
    with pytest.raises(CallerError) as refused:
        await rig.desk.vote(signed(said, signer("alice")))
    assert refused.value.code == "approval.bad_signature"


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_a_vote_signed_at_another_time_counts_for_nothing(rig: Waiting, seconds: int) -> None:
    held = await rig.ask()
    when = rig.clock.now + seconds * SECOND
    with pytest.raises(CallerError) as refused:
        await rig.desk.vote(signed(statement(rig.hold(held), "alice", signed_ns=when), signer("alice")))
    assert refused.value.code == "approval.bad_time"


@pytest.mark.parametrize(
    "vote",
    [
        {},
        {"statement": None, "signature": ""},
        {"statement": {}, "signature": ""},
        {"statement": {"hold": 1}, "signature": ""},
        {"statement": [], "signature": []},
    ],
)
async def test_what_is_no_vote_is_refused(rig: Waiting, vote: dict[str, Any]) -> None:
    await rig.ask()
    with pytest.raises(CallerError) as refused:
        await rig.desk.vote(vote)
    assert refused.value.code == "approval.invalid"


@pytest.mark.parametrize("signature", ["", "AAAA", "!", "é", "A" * 88])
async def test_a_signature_that_is_none_is_refused(rig: Waiting, signature: str) -> None:
    held = await rig.ask()
    vote = signed(statement(rig.hold(held), "alice"), signer("alice")) | {"signature": signature}
    with pytest.raises(CallerError) as refused:
        await rig.desk.vote(vote)
    assert refused.value.code == "approval.bad_signature"


# --- one voice each ----------------------------------------------------------------------------------------------


async def test_the_same_person_twice_is_one_person(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "alice")
    with pytest.raises(CallerError) as refused:
        await rig.vote(held, "alice")
    assert refused.value.code == "approval.twice"
    await rig.later(1)
    assert rig.effects == 0


async def test_the_same_person_twice_at_once_is_one_person(rig: Waiting) -> None:
    held = await rig.ask()
    await asyncio.gather(*(rig.vote(held, "alice") for _ in range(5)), return_exceptions=True)
    await rig.later(1)
    assert rig.effects == 0


async def test_nobody_has_two_names_or_two_keys(tmp_path: Path) -> None:
    rig = Waiting(tmp_path)
    held = await rig.ask()
    twice = signer("alice").verifier.text().replace("alice", "bob", 1)
    shared = msgspec.structs.replace(signer("alice"), name="bob")
    other = signer("alice", 1)
    for content in (
        f'[owners]\nalice = "{signer("alice").verifier.text()}"\nbob = "{twice}"\n',
        f'[owners]\nalice = "{signer("alice").verifier.text()}"\nbob = "{shared.verifier.text()}"\n',
        f'[owners]\nalice = "{signer("alice").verifier.text()}"\n[more]\nalice = "{other.verifier.text()}"\n',
        f'[owners]\nalice = "{signer("alice").verifier.text()}"\n[more]\nbob = "{shared.verifier.text()}"\n',
    ):
        (tmp_path / FILE_NAME).write_text(content)
        with pytest.raises(ConfigError):
            await rig.vote(held, "alice")
    assert not rig.hold(held).votes


async def test_a_yes_can_be_taken_back_by_a_no_but_a_no_by_nothing(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "alice")
    await rig.vote(held, "alice", "deny")
    for name in ("alice", "bob"):
        with pytest.raises(CallerError) as refused:
            await rig.vote(held, name)
        assert refused.value.code == "approval.too_late"
    await rig.later(1)
    assert rig.effects == 0


# --- who they are now --------------------------------------------------------------------------------------------


async def test_the_yes_of_somebody_who_left_the_group_counts_no_more(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "alice")
    write_roster(rig.folder, owners=[signer("bob"), signer("carol")])
    await rig.vote(held, "bob")
    await rig.later(1)
    assert rig.effects == 0
    await rig.vote(held, "carol")
    await rig.rest()
    assert rig.effects == 1


async def test_the_yes_given_with_a_key_that_was_replaced_counts_no_more(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "alice")
    write_roster(rig.folder, owners=[signer("alice", 1), signer("bob")])
    await rig.vote(held, "bob")
    await rig.later(1)
    assert rig.effects == 0


def _spoil(path: Path, how: str) -> None:
    text = path.read_text()
    match how:
        case "gone":
            path.unlink()
        case "half":
            path.write_text(text[: len(text) // 2])
        case "a line":
            path.write_text(text + "oscar = 7\n")
        case "no file":
            path.unlink()
            path.mkdir()
        case "a link":
            path.rename(path.with_name("elsewhere"))
            path.symlink_to(path.with_name("elsewhere"))
        case "writable":
            path.chmod(0o666)
        case "large":
            path.write_text(text + "#" * 70_000)
        case _:
            path.write_bytes(b"\xff\xfe")


@pytest.mark.parametrize("how", ["gone", "half", "a line", "no file", "a link", "writable", "large", "no text"])
async def test_without_a_sound_file_of_approvers_nobody_approves_and_no_silence_counts(
    tmp_path: Path, how: str
) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()
    _spoil(tmp_path / FILE_NAME, how)
    with pytest.raises((CallerError, ConfigError)):
        await rig.vote(held, "alice")
    await rig.later(120)
    assert rig.effects == 0
    assert (await rig.ask()).status is Status.HELD
    assert bool(rig.desk.listed()["problem"]) is (how != "gone")


async def test_a_group_nobody_is_in_approves_nothing(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE | {"group": "nobody"})
    await rig.ask()
    await rig.later(120)
    assert rig.effects == 0


async def test_votes_written_into_the_ledger_without_a_signature_count_for_nothing(rig: Waiting) -> None:
    held = await rig.ask()
    for name in ("alice", "bob"):
        said = msgspec.structs.asdict(statement(rig.hold(held), name))
        forged = Voted(at_ns=rig.clock.now_ns(), key=signer(name).verifier.text(), signature="AAAA", **said)
        rig.store.records.append(encode_event(forged))
    again = rig.restarted()
    assert len(again.hold(held).votes) == 2
    await again.later(1)
    assert again.effects == 0


async def test_votes_for_something_else_written_into_the_ledger_count_for_nothing(rig: Waiting) -> None:
    held = await rig.ask()
    for name in ("alice", "bob"):
        said = statement(rig.hold(held), name, digest="sha256:" + "0" * 64)
        good = Voted(
            at_ns=rig.clock.now_ns(),
            key=signer(name).verifier.text(),
            signature=signer(name).sign(said),
            **msgspec.structs.asdict(said),
        )
        rig.store.records.append(encode_event(good))
    again = rig.restarted()
    await again.later(1)
    assert again.effects == 0


# --- when it is over ---------------------------------------------------------------------------------------------


async def test_after_its_time_no_vote_counts(rig: Waiting) -> None:
    held = await rig.ask(key="k")
    await rig.vote(held, "alice")
    rig.clock.now += 3600 * SECOND
    with pytest.raises(CallerError) as refused:
        await rig.vote(held, "bob")
    assert refused.value.code == "approval.too_late"
    await rig.later(0)
    assert (await rig.ask(key="k")).code == "hold.expired"
    assert [event.reason for event in rig.store.events if isinstance(event, HoldClosed)] == ["expired"]
    await rig.later(1)
    assert len([event for event in rig.store.events if isinstance(event, HoldClosed)]) == 1
    assert rig.effects == 0


async def test_a_window_that_ended_while_the_firewall_was_down_past_the_expiry_does_not_pass(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    await rig.ask()
    rig.clock.now += 3600 * SECOND
    again = rig.restarted()
    await again.later(0)
    assert again.effects == 0


async def test_after_a_no_the_same_thing_is_refused_for_the_rest_of_the_run(rig: Waiting) -> None:
    held = await rig.ask(key="k")
    await rig.vote(held, "bob", "deny")
    assert (await rig.ask(key="k")).code == "hold.refused"
    for number in range(3):
        reply = await rig.ask(key=f"other-{number}")
        assert (reply.status, reply.code) == (Status.DENIED, "hold.refused")
    rig.engine.terms = A_MINUTE
    assert (await rig.ask()).code == "hold.refused"
    again = rig.restarted()
    assert (await again.ask()).code == "hold.refused"
    assert again.run.book.denied.count(again.clock.now_ns()) >= 4, "asking again after a no is probing"
    assert (await again.ask("2 ETH")).status is Status.HELD


async def test_after_a_no_a_policy_that_would_allow_it_does_not(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "bob", "deny")
    rig.engine.terms = {"group": "owners", "approvals": 0}
    rig.engine.allows = True
    assert (await rig.ask()).code == "hold.refused"
    assert rig.effects == 0


async def test_a_stopped_run_is_not_approved_into_doing_anything(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "alice")
    rig.run.stopped = "killed by the owner"
    await rig.vote(held, "bob")
    await rig.later(1)
    await rig.ledger.note(RunKilled(at_ns=rig.clock.now_ns(), run="run_1", by="the owner"))
    assert not rig.run.book.holds.open
    with pytest.raises(CallerError) as refused:
        await rig.vote(held, "carol")
    assert refused.value.code == "approval.too_late"
    again = rig.restarted()
    await again.later(1)
    assert (rig.effects, again.effects) == (0, 0)


async def test_a_kill_while_it_is_being_released_stops_it(rig: Waiting) -> None:
    held = await rig.ask()

    async def killed() -> None:
        rig.run.stopped = "killed by the owner"

    rig.connectors["chain"].on_quote = killed
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    assert rig.effects == 0
    assert rig.allowed == []


async def test_an_agent_that_is_gone_gets_nothing_done(rig: Waiting) -> None:
    held = await rig.ask()
    rig.ready = False
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.later(1)
    assert rig.effects == 0
    rig.ready = True
    await rig.later(1)
    assert rig.effects == 1


# --- what changed meanwhile --------------------------------------------------------------------------------------


async def test_another_policy_makes_it_void(rig: Waiting) -> None:
    held = await rig.ask(key="k")
    await rig.vote(held, "alice")
    rig.engine.bundle = "sha256:edited"
    await rig.vote(held, "bob")
    await rig.rest()
    assert rig.effects == 0
    assert rig.hold(held).closed == "policy_changed"
    assert (await rig.ask(key="k")).code == "hold.void"
    rig.engine.bundle = "sha256:test"
    await rig.later(1)
    assert rig.effects == 0


async def test_a_policy_that_changes_while_it_is_being_released_makes_it_void(rig: Waiting) -> None:
    held = await rig.ask()

    async def edited() -> None:
        rig.engine.bundle = "sha256:edited"

    rig.connectors["chain"].on_quote = edited
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    assert rig.effects == 0
    assert (await rig.ask()).code == "hold.void"


async def test_a_deny_of_today_beats_the_approval_of_yesterday_and_uses_it_up(rig: Waiting) -> None:
    held = await rig.ask(key="k")
    rig.engine.denies = True
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    assert (await rig.ask(key="k")).code == "test.denied"
    rig.engine.denies = False
    await rig.later(1)
    assert rig.effects == 0
    assert (await rig.ask(key="another")).status is Status.HELD


async def test_a_budget_that_is_gone_beats_the_approval(rig: Waiting) -> None:
    both = [await rig.ask("4 ETH"), await rig.ask("5 ETH")]
    for held in both:
        for name in ("alice", "bob"):
            await rig.vote(held, name)
    await rig.rest()
    assert rig.effects == 1
    assert (await rig.ask("5 ETH")).code == "budget.exceeded"


async def test_terms_that_grew_stricter_are_not_met_by_an_older_approval(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "alice")
    rig.engine.terms = TWO_OWNERS | {"approvals": 3}
    await rig.vote(held, "bob")
    await rig.rest()
    assert rig.effects == 0
    assert (await rig.ask()).code == "hold.void"


async def test_an_action_changed_in_the_ledger_is_not_the_one_that_was_approved(rig: Waiting) -> None:
    held = await rig.ask("1 ETH")
    for number, event in enumerate(rig.store.events):
        if isinstance(event, Decided):
            changed = bytes(event.action).replace(b"1000000000000000000", b"5000000000000000000")
            assert changed != bytes(event.action)
            event = msgspec.structs.replace(event, action=msgspec.Raw(changed))  # noqa: PLW2901
            rig.store.records[number] = encode_event(event)
    again = rig.restarted()
    for name in ("alice", "bob"):
        await again.vote(held, name)
    await again.rest()
    assert again.effects == 0
    assert again.hold(held).closed == "impossible"


# --- races -------------------------------------------------------------------------------------------------------


async def test_a_veto_on_its_way_to_the_disk_stops_a_window_that_ends_meanwhile(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()
    rig.clock.now += 59 * SECOND
    rig.store.stall = asyncio.Event()
    voting = asyncio.create_task(rig.vote(held, "carol", "deny"))
    await asyncio.sleep(0.01)
    rig.clock.now += 10 * SECOND
    await rig.desk.tick()
    await asyncio.sleep(0.01)
    rig.store.stall.set()
    await voting
    await rig.later(1)
    assert rig.effects == 0
    assert [event for event in rig.store.events if isinstance(event, Decided)] == [rig.hold(held).decided]


async def test_a_veto_on_its_way_to_the_disk_stops_what_is_being_judged(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()
    voting: list[asyncio.Task[Any]] = []

    async def vetoed() -> None:
        rig.connectors["chain"].on_quote = None
        rig.store.stall = asyncio.Event()
        voting.append(asyncio.create_task(rig.vote(held, "carol", "deny")))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.02, rig.store.stall.set)

    rig.connectors["chain"].on_quote = vetoed
    await rig.later(61)
    await asyncio.gather(*voting, return_exceptions=True)
    await rig.later(1)
    assert rig.effects == 0


async def test_a_veto_while_it_is_being_judged_stops_it(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()

    async def vetoed() -> None:
        rig.connectors["chain"].on_quote = None
        await rig.vote(held, "carol", "deny")

    rig.connectors["chain"].on_quote = vetoed
    await rig.later(61)
    assert rig.effects == 0
    assert (await rig.ask()).code == "hold.refused"


async def test_a_veto_that_could_not_be_written_was_not_given(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()
    rig.store.broken = True
    with pytest.raises(LedgerUnavailable):
        await rig.vote(held, "carol", "deny")
    rig.store.broken = False
    await rig.later(61)
    assert rig.effects == 1


async def test_a_veto_after_the_fact_is_too_late_and_says_so(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()
    await rig.later(61)
    with pytest.raises(CallerError) as refused:
        await rig.vote(held, "carol", "deny")
    assert refused.value.code == "approval.too_late"
    assert "done" in refused.value.cause


async def test_a_veto_that_another_firewall_took_stops_what_this_one_is_judging(tmp_path: Path) -> None:
    rig = Waiting(tmp_path, A_MINUTE)
    held = await rig.ask()
    said = statement(rig.hold(held), "carol", "deny")
    key = signer("carol")
    veto = Voted(
        at_ns=rig.clock.now_ns(),
        key=key.verifier.text(),
        signature=key.sign(said),
        **msgspec.structs.asdict(said),
    )
    rig.engine.while_deciding = lambda: rig.store.merge([encode_event(veto)])
    await rig.later(61)
    assert rig.effects == 0
    assert (await rig.ask()).code == "hold.refused"


async def test_what_expires_while_it_is_being_judged_is_void(rig: Waiting) -> None:
    held = await rig.ask(key="k")

    async def slow() -> None:
        rig.clock.now += 3600 * SECOND

    rig.connectors["chain"].on_quote = slow
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    assert rig.effects == 0
    assert (await rig.ask(key="k")).code == "hold.void"


async def test_what_is_judged_for_long_is_judged_once(rig: Waiting) -> None:
    held = await rig.ask()

    async def slow() -> None:
        rig.clock.now += 60 * SECOND
        await rig.desk.tick()
        await asyncio.sleep(0.01)

    rig.connectors["chain"].on_quote = slow
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    await rig.later(60)
    await asyncio.sleep(0.1)  # nobody waits for a second release, if there is one
    assert rig.effects == 1
    assert len([event for event in rig.store.events if isinstance(event, Decided)]) == 2


@pytest.mark.parametrize("how", ["pausing", "freezing"])
async def test_a_pause_or_a_freeze_uses_no_approval_up(rig: Waiting, how: str) -> None:
    held = await rig.ask()
    setattr(rig.run, how, object())
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.later(10)
    assert rig.effects == 0
    assert rig.hold(held).is_open(rig.clock.now_ns())
    setattr(rig.run, how, None)
    await rig.later(10)
    assert rig.effects == 1


async def test_many_ticks_and_votes_at_once_are_one_effect(rig: Waiting) -> None:
    held = await rig.ask()
    rig.connectors["chain"].on_perform = lambda: asyncio.sleep(0.01)
    await asyncio.gather(
        *(rig.vote(held, name) for name in ("alice", "bob", "carol")),
        *(rig.desk.tick() for _ in range(20)),
        return_exceptions=True,
    )
    await rig.rest()
    assert rig.effects == 1
    assert len(rig.allowed) == 1


async def test_a_release_that_could_not_be_answered_is_tried_again_and_keeps_the_approval(rig: Waiting) -> None:
    held = await rig.ask()

    async def down() -> None:
        raise FactsUnavailable("the node is down")

    rig.connectors["chain"].on_quote = down
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    records = len(rig.store.records)
    for _ in range(10):
        await rig.desk.tick()
    await rig.rest()
    assert (rig.effects, len(rig.store.records)) == (0, records), "it is not asked again at once"
    rig.connectors["chain"].on_quote = None
    await rig.later(6)
    assert rig.effects == 1


async def test_a_decision_that_could_not_be_written_uses_nothing_up(rig: Waiting) -> None:
    held = await rig.ask()
    await rig.vote(held, "alice")

    async def disk_fills() -> None:
        rig.store.broken = True

    rig.connectors["chain"].on_quote = disk_fills
    await rig.vote(held, "bob")
    await rig.rest()
    assert rig.effects == 0
    assert rig.run.book.lines["wallet", "ETH"].reserved == 0
    rig.store.broken, rig.connectors["chain"].on_quote = False, None
    await rig.later(6)
    assert rig.effects == 1


# --- restarts ----------------------------------------------------------------------------------------------------


async def test_holds_votes_and_windows_survive_a_restart(tmp_path: Path) -> None:
    rig = Waiting(tmp_path)
    held = await rig.ask(key="k")
    await rig.vote(held, "alice")
    again = rig.restarted()
    assert (await again.ask(key="k")).decision_id == held.decision_id
    assert (await again.ask()).decision_id == held.decision_id
    await again.vote(held, "bob")
    await again.rest()
    assert again.effects == 1
    last = again.restarted()
    await last.later(1)
    assert (await last.ask(key="k")).status is Status.DONE
    assert last.effects == 1


async def test_a_crash_between_the_last_vote_and_the_effect_leads_to_one_effect(rig: Waiting) -> None:
    held = await rig.ask()
    rig.ready = False  # this firewall gets no further
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    again = rig.restarted()
    await again.later(1)
    last = again.restarted()
    await last.later(1)
    assert last.effects == 1


async def test_a_crash_after_the_second_decision_releases_nothing_a_second_time(rig: Waiting) -> None:
    held = await rig.ask()

    async def crash() -> None:
        raise asyncio.CancelledError

    rig.connectors["chain"].on_perform = crash
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await asyncio.sleep(0.01)
    rig.store.records = [record for record in rig.store.records if b'"settled"' not in record]
    again = rig.restarted()
    await again.later(1)
    assert again.effects == 0
    (left,) = again.ledger.unsettled()
    assert left.hold == held.decision_id
    assert (await again.ask()).status is Status.HELD, "until recovery knows what became of it"
    again.connectors["chain"].world[left.action_id] = Outcome(status="done", result={"number": 7})
    await recover(again.ledger, again.connectors, again.clock)
    reply = await again.ask()
    assert (reply.status, reply.decision_id, reply.result) == (Status.DONE, held.decision_id, {"number": 7})


# --- the agent ---------------------------------------------------------------------------------------------------


async def test_asking_a_thousand_times_is_asking_once(rig: Waiting) -> None:
    held = await rig.ask()
    replies = await asyncio.gather(*(rig.ask() for _ in range(1000)))
    assert {reply.decision_id for reply in replies} == {held.decision_id}
    assert len(rig.engine.asked) == 1
    assert len(rig.store.records) == 2


async def test_asking_at_once_opens_one_hold(rig: Waiting) -> None:
    replies = await asyncio.gather(*(rig.ask() for _ in range(20)))
    assert len({reply.decision_id for reply in replies}) == 1


async def test_every_key_under_which_a_hold_was_asked_for_stays_bound_to_it(rig: Waiting) -> None:
    held = await rig.ask(key="first")
    assert (await rig.ask(key="second")).decision_id == held.decision_id
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    assert (await rig.ask()).status is Status.DONE
    for each in (rig, rig.restarted()):
        for key in ("first", "second"):
            reply = await each.ask(key=key)
            assert (reply.status, reply.decision_id) == (Status.DONE, held.decision_id)
    assert rig.effects == 1


async def test_what_the_owner_asks_for_is_not_answered_with_an_agents_hold_and_not_held(rig: Waiting) -> None:
    stop: dict[str, Any] = {"run": "run_1", "tool": "compute.stop", "arguments": {"instance": "i-1"}}
    assert (await rig.pipeline.handle(Call(**stop))).status is Status.HELD
    assert (await rig.pipeline.handle(Call(**stop, caller=Caller.OWNER))).code == "hold.unusable"
    rig.engine.allows = True
    assert (await rig.pipeline.handle(Call(**stop, caller=Caller.OWNER))).status is Status.DONE


async def test_the_same_key_for_another_payment_is_an_error_while_it_waits(rig: Waiting) -> None:
    await rig.ask(key="k")
    await rig.ask(key="joined")
    for key in ("k", "joined"):
        assert (await rig.ask("2 ETH", key=key)).code == "request.idempotency_conflict"


async def test_a_run_that_asks_for_more_than_people_can_look_through_is_denied(rig: Waiting) -> None:
    replies = [await rig.ask(f"0.{number + 1:03d} ETH") for number in range(OPEN_MAX + 3)]
    assert [reply.status for reply in replies[:OPEN_MAX]] == [Status.HELD] * OPEN_MAX
    assert {reply.code for reply in replies[OPEN_MAX:]} == {"hold.too_many"}
    await rig.vote(replies[0], "alice", "deny")
    assert (await rig.ask("0.9 ETH")).status is Status.HELD


async def test_a_run_has_so_many_holds_and_no_more(rig: Waiting) -> None:
    for number in range(TOTAL_MAX):
        held = await rig.ask(f"0.{number + 1:03d} ETH")
        assert held.status is Status.HELD
        await rig.vote(held, "alice", "deny")
    assert (await rig.ask("0.999 ETH")).code == "hold.too_many"


async def test_an_expired_hold_can_be_asked_for_again_but_not_without_end(rig: Waiting) -> None:
    first = await rig.ask()
    await rig.later(3600)
    second = await rig.ask()
    assert second.status is Status.HELD
    assert second.decision_id != first.decision_id


async def test_another_runs_hold_is_nobodys_business(rig: Waiting) -> None:
    held = await rig.ask()
    with pytest.raises(CallerError) as refused:
        await rig.pipeline.told("run_1", "dec_000999")
    assert refused.value.code == "request.unknown_decision"
    assert (await rig.pipeline.told("run_1", str(held.decision_id))).status is Status.HELD


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"group": "owners", "expires_s": 60},
        {"group": "owners", "approvals": 1},
        {"group": "owners", "approvals": 0, "expires_s": 60},
        {"group": "owners", "approvals": True, "expires_s": 60},
        {"group": "owners", "approvals": 1.0, "expires_s": 60},
        {"group": "owners", "approvals": 99, "expires_s": 60},
        {"group": "owners", "approvals": 1, "expires_s": 0},
        {"group": "owners", "approvals": 1, "expires_s": 10**9},
        {"group": "owners", "approvals": 1, "challenge_s": 5, "expires_s": 60},
        {"group": "owners", "approvals": None, "expires_s": 60},
        {"group": "owners", "challenge_s": 60, "expires_s": 60},
        {"group": "owners", "challenge_s": 0, "expires_s": 60},
        {"group": "", "approvals": 1, "expires_s": 60},
        {"group": None, "approvals": 1, "expires_s": 60},
        {"group": "owners\n", "approvals": 1, "expires_s": 60},
        {"group": "owners", "approvals": 1, "expires_s": 60, "except": "mallory"},
    ],
    ids=str,
)
async def test_a_hold_nobody_could_decide_is_a_deny(tmp_path: Path, terms: dict[str, Any]) -> None:
    rig = Waiting(tmp_path, terms)
    reply = await rig.ask()
    assert (reply.status, reply.code) == (Status.DENIED, "hold.unusable")
    assert not rig.run.book.holds.all


async def test_what_the_ledger_does_not_keep_whole_is_not_held(rig: Waiting) -> None:
    mail: dict[str, Any] = {"to": ["a@b.example"], "subject": "s", "body": "b"}
    assert (await rig.pipeline.handle(Call(run="run_1", tool="email.send", arguments=mail))).status is Status.HELD
    mail["attachments"] = [{"name": "x", "content_base64": "eA=="}]
    reply = await rig.pipeline.handle(Call(run="run_1", tool="email.send", arguments=mail))
    assert reply.code == "hold.unusable"
    chat = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    reply = await rig.pipeline.handle(Call(run="run_1", tool="inference.chat", arguments=chat))
    assert reply.code == "hold.unusable"


async def test_a_retold_outcome_is_recorded_so_that_a_restart_does_not_swallow_a_payment(rig: Waiting) -> None:
    held = await rig.ask()
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    assert (await rig.ask()).status is Status.DONE
    assert [event.told for event in rig.store.events if isinstance(event, AskedAgain)] == [True]
    assert (await rig.restarted().ask()).status is Status.HELD


async def test_an_outcome_that_is_unknown_is_told_until_it_is_known(rig: Waiting) -> None:
    held = await rig.ask()
    rig.connectors["chain"].on_perform = _cut_off
    for name in ("alice", "bob"):
        await rig.vote(held, name)
    await rig.rest()
    for _ in range(2):
        reply = await rig.ask()
        assert (reply.status, reply.decision_id) == (Status.UNKNOWN, held.decision_id)
    assert len(rig.allowed) == 1


async def _cut_off() -> None:
    raise TimeoutError
