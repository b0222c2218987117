"""The real program with a state folder of its own: runs, firewalls, and what they leave in the ledger and the world."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.wire import ControlError
from safebox.firewall.keystore import Keystore
from safebox.firewall.store.reader import read_events
from tests.real_parts import ask_engine, find

SECONDS = 60.0
"""A firewall needs three seconds to start on a quiet machine; on a busy one this is still enough."""
QUICK_SCRYPT = 2**12
"""Each start of a firewall opens the keystore, which is slow on purpose."""
Found = TypeVar("Found")


def until(look: Callable[[], Found | None], what: Callable[[], object] | str, seconds: float = SECONDS) -> Found:
    """What `look` finds, as soon as it finds something that isn't None or False. Fails with `what` otherwise."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, what if isinstance(what, str) else what()
        time.sleep(0.02)
    return found


def halt(pid: int) -> None:
    """Stop a process; none of its threads goes on then. (The signal alone reaches them one after another.)"""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")
    until(
        lambda: all(each.read_text().rpartition(")")[2].split()[0] in "TZX" for each in threads.glob("*/stat")),
        f"{pid} goes on",
    )


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Started:
    """A program that runs; what it writes goes to files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def out(self) -> str:
        return self.log.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self.log.with_suffix(".err").read_text()

    def end(self, seconds: float = SECONDS) -> Done:
        """Wait for its end."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"still running\n{self.out}\n{self.err}") from late
        return Done(status, self.out, self.err)

    def json(self) -> list[dict[str, Any]]:
        """What `safebox run --json` has shown so far."""
        return [json.loads(line) for line in self.out.splitlines(keepends=True) if line.endswith("\n")]

    @property
    def run(self) -> str | None:
        """The run's name, once it is shown."""
        headers = [each for each in self.json() if each["event"] == "header"]
        return dict(headers[0]["rows"])["run"] if headers else None


@dataclass
class Home:
    """A state folder, and everything that is done in it."""

    path: Path
    started: list[Started] = field(default_factory=list[Started])

    def start(self, *words: str) -> Started:
        """Start `safebox WORDS…`."""
        logs = self.path.with_name(self.path.name + "-logs")
        logs.mkdir(exist_ok=True)
        log = logs / str(len(self.started))
        environment = {**os.environ, "SAFEBOX_HOME": str(self.path), "COLUMNS": "80"}
        environment.pop("OPENAI_API_KEY", None)
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "safebox.sandbox.cli", *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.started.append(Started(process, log))
        return self.started[-1]

    def __call__(self, *words: str) -> Done:
        """Run `safebox WORDS…` to its end."""
        return self.start(*words).end()

    def serve(self, *options: str) -> Started:
        """A firewall of its own, ready to answer."""
        firewall = self.start("serve", *options)

        def answers() -> bool:
            assert firewall.process.poll() is None, firewall.err
            return bool(self.status())

        until(answers, lambda: firewall.err)
        return firewall

    def client(self) -> ControlClient:
        """A connection to the firewall."""
        return ControlClient(self.path / "control.sock")

    def status(self) -> dict[str, Any]:
        """What the firewall says of itself; empty when there is none."""
        try:
            with self.client() as client:
                return client.request("status")
        except ControlError:
            return {}

    def hold(self) -> ControlClient:
        """A connection that keeps the firewall of a run from ending with it, as soon as there is one."""

        def held() -> ControlClient | None:
            try:
                client = self.client()
            except ControlError:
                return None
            try:
                client.request("hold")
            except ControlError:
                client.close()
                return None
            return client

        return until(held, "no firewall came up")

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.sqlite3"

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The ledger, from the file alone."""
        if not self.ledger.exists():
            return []
        return [event for _, event in read_events(self.ledger) if kind in (None, event["event"])]

    def verified(self) -> str:
        """The ledger verifies; returns what `safebox audit verify` says."""
        done = self("audit", "verify")
        assert done.status == 0, done
        return done.out

    def agent_log(self, run: str) -> str:
        return (self.path / "runs" / run / "agent.log").read_text()

    def processes(self) -> list[int]:
        """Everything alive that belongs to this state folder, but not this test."""
        mark = f"SAFEBOX_HOME={self.path}".encode()
        found: list[int] = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def containers(self) -> list[str]:
        """Containers of any run this ledger knows."""
        engine = find("docker")
        if not engine.usable:
            return []
        runs = {event["run"] for event in self.events("run_started")}
        answer: list[dict[str, Any]] = ask_engine(
            engine.at, "/containers/json?all=true&filters=" + quote('{"label":["safebox.run"]}')
        )
        return [each["Labels"]["safebox.run"] for each in answer if each["Labels"]["safebox.run"] in runs]

    def mounts(self) -> list[str]:
        """Mounts of this machine that have to do with this state folder."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        runs = [event["run"] for event in self.events("run_started")]
        return [line for line in lines if str(self.path) in line or any(run in line for run in runs)]

    def nothing_left(self) -> None:
        """No process, container, mount or control socket is there, at the latest in a moment."""

        def left() -> list[object]:
            return [*self.processes(), *self.containers(), *self.mounts(), *self.path.glob("sandboxes/*")]

        until(lambda: not left(), left)
        assert not (self.path / "control.sock").exists()
        assert not (self.path / "firewall.json").exists()

    def clear(self) -> None:
        """End what a failed test left, each process by its number."""
        with suppress(ControlError), self.client() as client:
            client.request("stop")
        for started in self.started:
            if started.process.poll() is None:
                started.process.send_signal(signal.SIGINT)
        with suppress(AssertionError):
            until(lambda: not self._alive(), "", 10)
        for pid in self._alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for started in self.started:
            started.process.wait()

    def _alive(self) -> list[int]:
        for started in self.started:
            started.process.poll()
        return self.processes()


class Chain:
    """A chain asked by the test itself, not by way of the firewall."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)["result"]

    def balance(self, address: str) -> int:
        return int(self.ask("eth_getBalance", address, "latest"), 16)

    def transactions(self) -> list[dict[str, Any]]:
        """Everything that ever happened, in order."""
        last = int(self.ask("eth_blockNumber"), 16)
        blocks = (self.ask("eth_getBlockByNumber", hex(number), True) for number in range(1, last + 1))
        return [transaction for block in blocks for transaction in block["transactions"]]


@dataclass(frozen=True)
class Answered:
    status: int
    document: dict[str, Any]
    headers: dict[str, str]

    @property
    def code(self) -> str:
        error = self.document.get("error", {})
        return str(error.get("code", ""))


def http(url: str, body: bytes | None = None, key: str | None = None, *, timeout: float = 30) -> Answered:
    """One request; an answer of any status is an answer."""
    headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key is not None else {})}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return _answered(response.status, response.read(), response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return _answered(error.code, error.read(), error.headers)


def _answered(status: int, body: bytes, headers: Any) -> Answered:
    try:
        document = json.loads(body)
    except ValueError:
        document = {"text": body.decode(errors="replace")}
    return Answered(status, document, {name.lower(): value for name, value in headers.items()})


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def agent_folder(parent: Path, name: str, mandate: str, **files: str) -> Path:
    """An agent's folder that the sandbox's user may read: `safebox.toml`, and programs by their stem."""
    folder = parent / name
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    parent.chmod(0o755)
    (folder / "safebox.toml").write_text(mandate)
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(text)
    return folder


@contextmanager
def home_at(path: Path, *, keys: bool = True) -> Generator[Home]:
    """A state folder, cleared afterwards; with keys that open quickly, or with nothing in it."""
    path.mkdir(mode=0o700)
    if keys:
        Keystore.open(path / "keystore", path / "passphrase", scrypt_n=QUICK_SCRYPT)
    home = Home(path)
    try:
        yield home
    finally:
        home.clear()


def share_images(path: Path) -> None:
    """Let a state folder use the images of this test session: building one takes ten seconds."""
    for name in ("trees", "images"):
        shared = Path(os.environ["SAFEBOX_HOME"]) / name
        if shared.is_dir():
            (path / name).symlink_to(shared)


def pairs(events: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each allowed action of an agent, with its outcomes in order."""
    for event in events:
        if event["event"] == "decided" and event["caller"] == "agent" and event["answer"]["verdict"] == "allow":
            mine = [each for each in events if each["event"] == "settled" and each["action_id"] == event["action_id"]]
            yield event, mine
