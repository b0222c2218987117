"""A real Prometheus and Alertmanager on loopback, with intervals short enough for a test."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.real_parts import ROOT, require

RULES = ROOT / "deploy/prometheus/rules/safebox.yml"
ROUTES = ROOT / "deploy/alertmanager/alertmanager.yml"
INTERVAL = "500ms"
"""Between two scrapes, and between two evaluations of the rules."""
WAIT_SECONDS = 20.0
STOP_SECONDS = 10

Found = TypeVar("Found")
Alert = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What a test sees of Prometheus (at `url`) and of the person who is told (`received`)."""

    url: str
    received: list[Alert] = field(default_factory=list[Alert])
    """Every alert delivered so far, as Alertmanager's webhook format has it."""

    def wait_for_alert(self, name: str, seconds: float = WAIT_SECONDS) -> Alert:
        """The first alert of this name that was delivered firing. Fails the test when none comes in time."""
        return _wait(lambda: self._firing(name), seconds, lambda: f"no {name}, only {self.names()}")

    def wait_for_value(self, query: str, seconds: float = WAIT_SECONDS) -> float:
        """The first value of a PromQL query, as soon as it has one. Fails the test when none comes in time."""
        return _wait(lambda: self.value(query), seconds, lambda: f"no value of {query}")

    def value(self, query: str) -> float | None:
        """The first value of a PromQL query now, or None."""
        answer = _get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        result = json.loads(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def names(self) -> set[str]:
        """The names of all alerts delivered so far."""
        return {alert["labels"]["alertname"] for alert in self.received}

    def _firing(self, name: str) -> Alert | None:
        mine = (each for each in list(self.received) if each["labels"]["alertname"] == name)
        return next((each for each in mine if each["status"] == "firing"), None)


def _wait(look: Callable[[], Found | None], seconds: float, otherwise: Callable[[], str]) -> Found:
    until = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < until, otherwise()
        time.sleep(0.1)
    return found


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback, written here
        body: bytes = answer.read()
    return body


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def http_server(handle: Callable[[bytes], bytes]) -> Generator[str]:
    """An HTTP server on loopback: `handle` gets each request's body and gives the answer's. Yields HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = handle(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _program(command: Sequence[str], ready: str, log: Path) -> Generator[None]:
    """Run a server until it says it is ready, and end it afterwards."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait(lambda: _is_ready(process, ready), WAIT_SECONDS, log.read_text)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _is_ready(process: subprocess.Popen[bytes], url: str) -> bool | None:
    assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
    try:
        return bool(_get(url))
    except (urllib.error.URLError, ConnectionError):
        return None


def _routes(receiver: str) -> dict[str, Any]:
    """The real routes, sent to the test's own receiver and without the time to gather."""
    routes: dict[str, Any] = yaml.safe_load(ROUTES.read_text())
    for route in (routes["route"], *routes["route"]["routes"]):
        route |= {"group_wait": "100ms", "group_interval": "1s"}
    for each in routes["receivers"]:
        for hook in each["webhook_configs"]:
            hook["url"] = f"http://{receiver}/alerts"
    return routes


def _scrapes(targets: Sequence[str], rules: Path, alertmanager: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [{"job_name": "safebox", "static_configs": [{"targets": list(targets)}]}],
    }


@contextmanager
def monitoring(folder: Path, targets: Sequence[str], rules: Path = RULES) -> Generator[Monitoring]:
    """Scrape `targets` (HOST:PORT), evaluate `rules`, deliver alerts through the real routes to a receiver here."""
    prometheus, alertmanager = require("prometheus"), require("alertmanager")
    here, there = _free_address(), _free_address()
    result = Monitoring(url=f"http://{here}")

    def receive(body: bytes) -> bytes:
        result.received.extend(json.loads(body)["alerts"])
        return b""

    with ExitStack() as stack:
        receiver = stack.enter_context(http_server(receive))
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(_routes(receiver)))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_scrapes(targets, rules, there)))
        stack.enter_context(
            _program(
                [
                    alertmanager,
                    f"--config.file={folder}/alertmanager.yml",
                    f"--storage.path={folder}/alertmanager",
                    f"--web.listen-address={there}",
                    "--cluster.listen-address=",
                ],
                f"http://{there}/-/ready",
                folder / "alertmanager.log",
            )
        )
        stack.enter_context(
            _program(
                [
                    prometheus,
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/prometheus",
                    f"--web.listen-address={here}",
                ],
                f"http://{here}/-/ready",
                folder / "prometheus.log",
            )
        )
        yield result
