"""What Prometheus and an operator's probes get from the metrics server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from safebox.firewall.errors import ConfigError
from safebox.firewall.metrics import Metrics
from safebox.firewall.observe import ObserveServer

TROUBLE: list[str] = []


@pytest.fixture
async def url() -> AsyncIterator[str]:
    TROUBLE.clear()
    metrics = Metrics()
    metrics.swept()
    server = ObserveServer(metrics, lambda: TROUBLE)
    host, port = await server.start()
    yield f"http://{host}:{port}"
    await server.close()


async def test_metrics_are_served_in_prometheus_text_format(url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(url + "/metrics") as answer:
        text = await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "safebox_wallet_sweeps_total 1.0\n" in text
    assert "_created" not in text


async def test_readiness_says_why_not(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(url + "/readyz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ready", "reasons": []})
        TROUBLE.append("no policy is in force")
        async with http.get(url + "/readyz") as answer:
            expected = {"status": "not ready", "reasons": ["no policy is in force"]}
            assert (answer.status, await answer.json()) == (503, expected)
        async with http.get(url + "/healthz") as answer:
            assert answer.status == 200


async def test_nothing_else_is_served(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for method, path, status in (("GET", "/", 404), ("POST", "/metrics", 405), ("GET", "/v1/tools", 404)):
            async with http.request(method, url + path) as answer:
                assert answer.status == status


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "localhost", ""])  # noqa: S104 - refused
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ConfigError):
        await ObserveServer(Metrics(), list).start(host)


async def test_a_taken_port_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.listen()
        with pytest.raises(ConfigError, match="can't listen"):
            await ObserveServer(Metrics(), list).start(port=taken.getsockname()[1])
