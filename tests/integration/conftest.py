"""Fixtures that start real parts; each skips visibly, or fails in CI, where its part is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.monitoring import RULES, Monitoring, http_server, monitoring

StartPrometheus = Callable[..., Monitoring]


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[StartPrometheus]:
    """`prometheus(targets, rules=…)` starts Prometheus and Alertmanager for this test.

    `targets` are HOST:PORT of firewalls with a /metrics; `rules` is a rule file, by default the one that is deployed.
    """
    with ExitStack() as stack:

        def start(targets: Sequence[str], rules: Path = RULES) -> Monitoring:
            return stack.enter_context(monitoring(tmp_path, targets, rules))

        yield start


@pytest.fixture
def serve_metrics() -> Iterator[Callable[[Callable[[], bytes]], str]]:
    """`serve_metrics(render)` serves what `render()` gives as /metrics; returns HOST:PORT."""
    with ExitStack() as stack:
        yield lambda render: stack.enter_context(http_server(lambda _body: render()))
