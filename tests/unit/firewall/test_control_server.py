"""The control socket serves its owner whatever anybody on it does, and stops runs without waiting for the loop."""

from __future__ import annotations

import asyncio
import os
import pwd
import resource
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from safebox.firewall.control import server as control_module
from safebox.firewall.control.client import ControlClient
from safebox.firewall.control.server import ControlServer
from safebox.firewall.control.wire import ControlError, receive, send
from safebox.firewall.errors import ConfigError

ME = pwd.getpwuid(os.getuid()).pw_name


class Desk:
    """Operations that note what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], int]] = []
        self.stopped: list[tuple[str, str | None, str]] = []
        self.gone: list[list[str]] = []
        self.taken: list[socket.socket] = []
        self.watchers: list[Callable[[dict[str, Any]], None]] = []

    async def operate(self, op: str, fields: dict[str, Any], sockets: list[socket.socket]) -> dict[str, Any]:
        self.asked.append((op, fields, len(sockets)))
        match op:
            case "start" | "adopt":
                return {"run": fields["run"]}
            case "attach" if len(sockets) != 2:
                raise ConfigError("not two", remedy="two")
            case "attach":
                self.taken += sockets
                return {"run": fields["run"]}
            case _:
                return {}

    def stop_now(self, op: str, fields: dict[str, Any]) -> None:
        self.stopped.append((op, fields.get("run"), fields["by"]))

    async def launcher_gone(self, runs: list[str]) -> None:
        self.gone.append(runs)

    def watch(self, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        self.watchers.append(watcher)
        return lambda: self.watchers.remove(watcher)


class Served:
    """A control server over a loop in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.desk = Desk()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = ControlServer(path, self.desk, self.loop)

    def close(self) -> None:
        self.server.close()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), self.loop).result()  # what hung up just now is heard
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def served(short_path: Path) -> Iterator[Served]:
    it = Served(short_path / "control.sock")
    yield it
    it.close()


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.002)


def raw(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(path))
    connection.settimeout(5)
    return connection


def test_only_the_owner_may_open_it(served: Served) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600


class Stranger:
    """What the kernel says of somebody who is neither this user nor root."""

    size = 12

    @staticmethod
    def unpack(_: bytes) -> tuple[int, int, int]:
        return 1, 4711, 4711


@pytest.mark.parametrize("op", ["resume", "thaw", "kill", "pause", "status", "start"])
def test_somebody_else_is_not_even_heard(served: Served, monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    monkeypatch.setattr(control_module, "_CREDENTIALS", Stranger)
    with ControlClient(served.path) as client, pytest.raises(ControlError):
        client.request(op, run="run_1", by=ME)
    assert (served.desk.asked, served.desk.stopped) == ([], [])


def test_what_is_asked_is_answered_and_what_is_wrong_is_told(served: Served) -> None:
    with ControlClient(served.path) as client:
        assert client.request("start", run="run_1") == {"run": "run_1"}
        with pytest.raises(ControlError, match="start needs 'run'"):
            client.request("start")
        with pytest.raises(ControlError, match="not two") as caught:
            client.request("attach", run="run_1")
        assert (caught.value.remedy, caught.value.code) == ("two", "config.invalid")
        assert client.request("status") == {}


def test_a_launcher_that_hangs_up_ends_the_runs_it_started(served: Served) -> None:
    with ControlClient(served.path) as client:
        client.request("start", run="run_1")
        client.request("start", run="run_2")
        assert served.desk.gone == []
    eventually(lambda: served.desk.gone == [["run_1", "run_2"]])


def test_a_launcher_that_took_up_a_child_and_hangs_up_ends_it(served: Served) -> None:
    with ControlClient(served.path) as client:
        client.request("adopt", run="run_3", engine="")
        assert served.desk.gone == []
    eventually(lambda: served.desk.gone == [["run_3"]])


HOSTILE = [
    b"",
    b"\0",
    b"\xff" * 64,
    struct.pack("!I", 2) + b"[]",
    struct.pack("!I", 500) + b"{",
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("sent", HOSTILE, ids=range(len(HOSTILE)))
def test_nonsense_ends_its_own_connection_and_the_runs_started_on_it_and_nothing_else(
    served: Served, sent: bytes
) -> None:
    with ControlClient(served.path) as other, raw(served.path) as hostile:
        send(hostile, {"op": "hold"})
        assert receive(hostile) == ({}, [])
        assert not served.server.leave()
        send(hostile, {"op": "start", "run": "run_1"})
        assert receive(hostile) == ({"run": "run_1"}, [])
        hostile.sendall(sent)
        hostile.shutdown(socket.SHUT_WR)
        eventually(lambda: ["run_1"] in served.desk.gone)
        assert served.server.leave()
        assert other.request("status") == {}


def test_whoever_is_told_that_the_firewall_stays_can_rely_on_it(served: Served) -> None:
    with ControlClient(served.path) as launcher, ControlClient(served.path) as late:
        assert launcher.request("hold") == {}
        assert not served.server.leave()
        launcher.close()
        eventually(served.server.leave)
        with pytest.raises(ControlError):
            late.request("hold")
        with ControlClient(served.path) as later, pytest.raises(ControlError):
            later.request("hold")


def test_somebody_who_only_asked_is_no_launcher_that_left(served: Served) -> None:
    with ControlClient(served.path) as person:
        person.request("status")
    with ControlClient(served.path) as launcher:
        launcher.request("hold")
    eventually(lambda: bool(served.desk.gone))
    assert served.desk.gone == [[]], "only the launcher's going is a reason to look whether anybody is left"


def test_sockets_that_nobody_takes_over_are_closed(served: Served) -> None:
    pair = socket.socketpair()
    with ControlClient(served.path) as client:
        client.request("status")
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ControlError):
            client.attach("run_1", [pair[0]] * 3)
        for op in ("status", "kill", "nonsense"):
            client._ask({"op": op}, [pair[0]] * 4)  # pyright: ignore[reportPrivateUsage]
        assert len(os.listdir("/proc/self/fd")) == before
        client.attach("run_1", pair)
        assert [each.fileno() >= 0 for each in served.desk.taken] == [True, True]
        assert len(os.listdir("/proc/self/fd")) == before + 2
    for each in (*served.desk.taken, *pair):
        each.close()


@pytest.mark.parametrize("op", ["kill", "pause", "freeze"])
def test_a_stop_takes_effect_while_the_loop_stands_still(served: Served, op: str) -> None:
    let_go = threading.Event()
    served.loop.call_soon_threadsafe(let_go.wait)
    with raw(served.path) as connection:
        send(connection, {"op": op, "run": "run_1", "by": "somebody else"})
        eventually(lambda: served.desk.stopped == [(op, "run_1", ME)])
        assert served.desk.asked == []
        let_go.set()
        assert receive(connection) == ({}, [])


def test_the_kill_switch_comes_back_after_the_descriptors_ran_out(served: Served) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = [raw(served.path) for _ in range(2)]
    eventually(lambda: threading.active_count() >= 4)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))
        client.connect(str(served.path))  # waits in the backlog: it can't be accepted
        time.sleep(3 * control_module.PAUSE_SECONDS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with client:
        client.settimeout(5)
        send(client, {"op": "kill"})
        assert receive(client) == ({}, [])
    ((order, run, by),) = served.desk.stopped
    assert (order, run) == ("kill", None)
    assert by in (ME, f"uid {os.geteuid()}"), "without a descriptor left, the name can't be looked up"
    for each in waiting:
        each.close()


def test_a_follower_sees_what_happens_to_its_run(served: Served) -> None:
    with ControlClient(served.path) as client:
        assert client.request("follow", run="run_1") == {"following": "run_1"}
        eventually(lambda: bool(served.desk.watchers))
        for run in ("run_2", "run_1"):
            served.desk.watchers[0]({"run": run, "event": "decided"})
        assert next(client.events()) == {"run": "run_1", "event": "decided"}
    served.desk.watchers[0]({"run": "run_1", "event": "decided"})
    eventually(lambda: served.desk.watchers == [])


def test_a_follower_that_does_not_read_is_cut_off_and_delays_nobody(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "FEED_MAX", 5)
    with ControlClient(served.path) as slow, ControlClient(served.path) as other:
        slow.request("follow")
        eventually(lambda: bool(served.desk.watchers))
        watcher = served.desk.watchers[0]
        for _ in range(200):
            watcher({"run": "run_1", "text": "x" * 100_000})
        assert other.request("status") == {}
        slow.close()
        eventually(lambda: served.desk.watchers == [])


def test_a_second_firewall_is_refused_and_a_stale_socket_is_replaced(served: Served, short_path: Path) -> None:
    with pytest.raises(ControlError, match="another firewall"):
        ControlServer(served.path, served.desk, served.loop)
    stale = short_path / "stale.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(stale))
    server = ControlServer(stale, served.desk, served.loop)
    with ControlClient(stale) as client:
        assert client.request("status") == {}
    server.close()
    assert not stale.exists()
    with pytest.raises(ControlError, match="no firewall answers"):
        ControlClient(stale)


def test_a_connection_that_outlives_the_loop_ends_quietly(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "FEED_SECONDS", 0.05)
    before = set(threading.enumerate())
    it = Served(short_path / "control.sock")
    with ControlClient(it.path) as client, ControlClient(it.path) as follower:
        client.request("start", run="run_1")
        follower.request("follow")
        it.close()
        with pytest.raises(ControlError):
            client.request("status")
    eventually(lambda: set(threading.enumerate()) <= before)
