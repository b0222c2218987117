"""Loads what is large and not needed at once: a firewall that starts is to be ready soon."""

from __future__ import annotations

import asyncio
import importlib
import sys


async def load(name: str) -> None:
    """Import a module on a thread of its own, unless that was done; the loop goes on meanwhile."""
    if name not in sys.modules:
        await asyncio.to_thread(importlib.import_module, name)
