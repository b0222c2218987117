"""While several runs ask, few requests of each begin in one turn of the loop; alone, nobody waits; nothing is lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from safebox.firewall.gateways.entrance import A_TURN, Entrance

MANY = 40


async def begin(entrance: Entrance, run: str, order: list[str]) -> None:
    await entrance.step(run)
    order.append(run)


def all_of(entrance: Entrance, run: str, count: int, order: list[str]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(begin(entrance, run, order)) for _ in range(count)]


async def test_a_run_alone_begins_all_it_asks_at_once() -> None:
    entrance, order = Entrance(), list[str]()
    all_of(entrance, "run_1", MANY, order)
    await asyncio.sleep(0)
    assert len(order) == MANY


async def test_a_run_that_asks_once_goes_before_most_of_what_another_has_waiting() -> None:
    entrance, order = Entrance(), list[str]()
    await begin(entrance, "run_2", [])
    tasks = all_of(entrance, "run_1", MANY, order)
    await asyncio.sleep(0)
    tasks += all_of(entrance, "run_2", 1, order)
    await asyncio.gather(*tasks)
    assert order.index("run_2") <= 3 * A_TURN
    assert order.count("run_1") == MANY


async def test_within_a_run_first_come_first_served() -> None:
    entrance, order = Entrance(), list[int]()
    await entrance.step("run_2")

    async def one(number: int) -> None:
        await entrance.step("run_1")
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(MANY)))
    assert order == list(range(MANY))


@pytest.mark.parametrize("seed", range(10))
async def test_whoever_is_cancelled_nobody_else_waits_for_ever(seed: int) -> None:
    dice, entrance, order = random.Random(seed), Entrance(), list[str]()  # noqa: S311 - dice
    tasks = [asyncio.create_task(begin(entrance, f"run_{dice.randrange(3)}", order)) for _ in range(200)]
    kept: list[asyncio.Task[None]] = []
    for task in tasks:
        if dice.random() < 0.3:
            await asyncio.sleep(0)
            task.cancel()
        else:
            kept.append(task)
    async with asyncio.timeout(5):
        await asyncio.gather(*kept)
