"""A firewall in which a duty failed is none: it ends."""

from __future__ import annotations

import asyncio
import logging

import pytest

from safebox.firewall.duties import Duties


async def _fail() -> None:
    raise ValueError("nobody foresaw this")


async def _wait() -> None:
    await asyncio.Event().wait()


async def _nothing() -> None:
    pass


async def test_a_duty_that_fails_ends_the_firewall_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    failed = asyncio.Event()
    duties = Duties(failed.set)
    duties.begin(_wait(), _fail())
    await asyncio.wait_for(failed.wait(), 5)
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    assert "nobody foresaw this" in caplog.text
    await duties.end()


async def test_a_duty_that_is_done_or_stopped_does_not() -> None:
    failed = asyncio.Event()
    duties = Duties(failed.set)
    duties.begin(_wait(), _nothing())
    await asyncio.sleep(0)
    await duties.end()
    await duties.end()
    assert not failed.is_set()
