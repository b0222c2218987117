"""Places are shared out: all for one run alone, few and fair among several, none ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from safebox.firewall.places import ACTIVE_SECONDS, SHARED, Place, Places


class Hand:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


async def ask(places: Places, run: str, count: int) -> tuple[list[Place], list[asyncio.Task[None]]]:
    """So many calls of a run: those that have a place, and those that wait."""
    asked = [places.place(run) for _ in range(count)]
    tasks = [asyncio.create_task(place.take()) for place in asked]
    await asyncio.sleep(0)
    got = [place for place, task in zip(asked, tasks, strict=True) if task.done()]
    return got, [task for task in tasks if not task.done()]


async def test_a_run_alone_never_waits() -> None:
    got, waiting = await ask(Places(Hand()), "run_1", 500)
    assert (len(got), waiting) == (500, [])


async def test_of_two_runs_neither_takes_the_others_place() -> None:
    places = Places(Hand())
    with places.place("run_2") as place:
        await place.take()
    got, waiting = await ask(places, "run_1", 50)
    assert len(got) == SHARED - 1
    other, none = await ask(places, "run_2", 2)
    assert (len(other), none) == (2, [])
    for task in waiting:
        task.cancel()


async def test_a_run_that_fills_the_house_is_let_in_again_only_when_it_has_given_way() -> None:
    places = Places(Hand())
    first, waiting = await ask(places, "run_1", 50)  # alone: all are in
    assert (len(first), waiting) == (50, [])
    second, theirs = await ask(places, "run_2", 20)
    assert len(second) == SHARED // 2
    _, late = await ask(places, "run_1", 1)
    for place in first[SHARED:]:
        place.leave()
    await asyncio.sleep(0)
    assert not late[0].done()
    for place in first[:SHARED]:
        place.leave()
    await asyncio.sleep(0)
    assert late[0].done()
    for task in theirs:
        task.cancel()


async def test_a_run_that_fell_silent_is_minded_no_more() -> None:
    hand = Hand()
    places = Places(hand)
    with places.place("run_2") as place:
        await place.take()
    got, waiting = await ask(places, "run_1", 50)
    assert waiting
    hand.at = ACTIVE_SECONDS * 0.9
    await ask(places, "run_1", 1)
    hand.at = ACTIVE_SECONDS * 1.1
    got[0].leave()
    await asyncio.sleep(0)
    assert all(task.done() for task in waiting)


async def test_the_owner_needs_no_place() -> None:
    places = Places(Hand())
    await ask(places, "run_2", 1)
    await ask(places, "run_1", 50)
    async with asyncio.timeout(1):
        for _ in range(100):
            await places.place(None).take()


async def test_within_a_run_first_come_first_served() -> None:
    places = Places(Hand())
    await ask(places, "run_2", 1)
    order: list[int] = []

    async def one(number: int) -> None:
        with places.place("run_1") as place:
            await place.take()
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(number) for number in range(40)))
    assert order == list(range(40))


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_cancelled_when_no_place_is_lost_and_nobody_waits_for_ever(seed: int) -> None:
    hand = Hand()
    dice, places = random.Random(seed), Places(hand)  # noqa: S311 - dice

    async def call(run: str) -> None:
        with places.place(run) as place:
            await place.take()
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(call(f"run_{dice.randrange(4)}")) for _ in range(200)]
    for task in tasks:
        if dice.random() < 0.3:
            await asyncio.sleep(0)
            task.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert places.inside == 0
    hand.at = 2 * ACTIVE_SECONDS
    got, waiting = await ask(places, "run_9", 50)
    assert (len(got), waiting) == (50, [])
