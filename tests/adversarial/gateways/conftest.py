"""These tests run on the event loop a real firewall runs on; others, also of the gateways, on Python's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes event loops with."""
    return {"uvloop": uvloop.new_event_loop}
