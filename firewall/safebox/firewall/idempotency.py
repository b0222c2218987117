"""One effect under one idempotency key: the same question has the same answer, another one is an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from safebox.firewall.core.action import Action
from safebox.firewall.core.record import Decided
from safebox.firewall.core.reply import Reply
from safebox.firewall.errors import CallerError
from safebox.firewall.runs import Run

Act = Callable[[], Coroutine[Any, Any, Reply]]
Again = Callable[[Run, Decided], Coroutine[Any, Any, Reply]]


async def once(run: Run, action: Action, act: Act, again: Again) -> Reply:
    """Answer an action by `act`, or by `again` from what was decided before under its key; one `act` at a time.

    Raises:
        CallerError: if the key was used for another request, or so long ago that its answer is no longer at hand.
    """
    if action.key is None:
        return await act()
    earlier, running = run.book.keys.get(action.key), run.running.get(action.key)
    if running is None and earlier is None and action.key in run.book.used:
        raise CallerError("this key was used long ago, and is not used again", code="request.idempotency_conflict")
    digest = running[0] if running is not None else earlier.digest if earlier is not None else action.digest
    if digest != action.digest:
        raise CallerError("this key was used for another request", code="request.idempotency_conflict")
    if running is None and earlier is not None:
        return await again(run, earlier)
    if running is None:
        running = action.digest, asyncio.ensure_future(act())
        run.running[action.key] = running
        running[1].add_done_callback(lambda _: run.running.pop(action.key or "", None))
    return await asyncio.shield(running[1])
