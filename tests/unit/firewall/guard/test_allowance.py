"""A run's allowance of slow evaluations: spent at once or over time, filled again slowly, of no concern to others."""

from __future__ import annotations

from safebox.firewall.guard.allowance import FULL_SECONDS, REFILL, Allowance

SECOND = 10**9


def test_a_run_waits_once_its_allowance_is_used_up_and_others_do_not() -> None:
    allowance = Allowance()
    allowance.spend("slow", FULL_SECONDS - 1, 0)
    assert allowance.wait("slow", 0) == 0
    allowance.spend("slow", 2, 0)
    assert allowance.wait("slow", 0) == round(1 / REFILL)
    assert allowance.wait("other", 0) == 0


def test_the_wait_it_names_is_long_enough_and_not_much_longer() -> None:
    allowance = Allowance()
    allowance.spend("slow", FULL_SECONDS + 1, 0)
    wait = allowance.wait("slow", 0)
    assert allowance.wait("slow", (wait - 2) * SECOND) > 0
    assert allowance.wait("slow", (wait + 1) * SECOND) == 0


def test_whoever_asks_as_fast_as_it_may_takes_no_more_than_its_share() -> None:
    allowance, spent, now = Allowance(), 0.0, 0
    hours = 2
    while now < hours * 3600 * SECOND:
        wait = allowance.wait("slow", now)
        if wait == 0:
            allowance.spend("slow", 0.9, now)
            spent += 0.9
        now += max(wait, 1) * SECOND
    assert spent <= FULL_SECONDS + hours * 3600 * REFILL + 1


def test_runs_that_have_their_whole_allowance_are_forgotten() -> None:
    allowance = Allowance()
    for number in range(100):
        allowance.spend(f"run_{number}", 0.1, number * 3600 * SECOND)
    assert allowance.known
    assert len(vars(allowance)["_used"]) == 1
