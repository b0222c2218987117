"""What a run that finds a sandbox made ahead is promised, on the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from safebox.sandbox.engines.docker import DockerEngine
from safebox.sandbox.engines.docker_holder import AHEAD, Holder
from safebox.sandbox.pool import Pool, take
from safebox.sandbox.spec import Limits
from tests.contracts.conftest import Bench, finish, real_engine, soon
from tests.real_parts import ask_engine, find

PORTS = (8700, 8701)
"""Not the gateways' own three: holders of other firewalls on this machine have those."""


def running(holder: str) -> bool:
    """Whether this container runs."""
    filters = quote(json.dumps({"id": [holder]}))
    return bool(ask_engine(find("docker").at, f"/containers/json?filters={filters}"))


@pytest.fixture
def path(short_path: Path) -> Path:
    return short_path / "pool.sock"


@pytest.fixture
def pool(path: Path) -> Iterator[Pool]:
    real_engine("docker")
    with Pool(path, PORTS, 1) as pool:
        soon(lambda: pool.ready == 1)
        yield pool


@pytest.fixture
def bench(path: Path, pool: Pool) -> Bench:
    return Bench(DockerEngine(path))


def taken(path: Path) -> Holder:
    holder = take(path, PORTS)
    assert holder is not None
    return holder


def test_a_run_uses_it_and_it_is_as_isolated_as_any_other(bench: Bench, pool: Pool) -> None:
    inside = "tail -n +3 /proc/net/dev | cut -d: -f1; tail -n +2 /proc/net/route; cat /etc/hosts; ls /run"
    with bench.engine.create(bench.spec("sh", "-c", inside, ports=PORTS)) as sandbox:
        assert pool.ready == 0
        assert [each.getsockname() for each in sandbox.listeners] == [("127.0.0.1", port) for port in PORTS]
        ended, text = finish(sandbox)
    assert ended.code == 0
    assert text.split() == ["lo", "127.0.0.1", "localhost", "sandbox"]


def test_it_is_given_to_one_run_and_another_takes_its_place(path: Path, pool: Pool) -> None:
    first = taken(path)
    assert take(path, PORTS) is None
    soon(lambda: pool.ready == 1)
    second = taken(path)
    assert first.container != second.container
    first.close()
    soon(lambda: not running(first.container))
    assert running(second.container)
    second.close()


def test_it_ends_with_the_run_that_took_it_and_is_removed_by_the_engine(path: Path, pool: Pool) -> None:
    program = f"""
import sys, time
from pathlib import Path
from safebox.sandbox.pool import take
print(take(Path({str(path)!r}), {PORTS!r}).container, flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    holder = owner.stdout.readline().strip()
    assert running(holder)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    soon(lambda: not running(holder))


def test_a_run_keeps_it_when_the_firewall_that_made_it_was_killed_and_reaping_leaves_it_alone(short_path: Path) -> None:
    real_engine("docker")
    path = short_path / "other.sock"
    program = f"""
import time
from pathlib import Path
from safebox.sandbox.pool import Pool
with Pool(Path({str(path)!r}), {PORTS!r}, 1) as pool:
    while not pool.ready: time.sleep(0.02)
    print("ready", flush=True)
    time.sleep(60)
"""
    maker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    assert maker.stdout.readline() == "ready\n"
    engine = DockerEngine(path)
    bench = Bench(engine)
    with engine.create(bench.spec("sleep", "60", ports=PORTS, limits=Limits(wall_seconds=60))) as sandbox:
        maker.send_signal(signal.SIGKILL)
        maker.communicate()
        sandbox.start(lambda _: None)
        DockerEngine().reap()
        time.sleep(0.3)
        with pytest.raises(TimeoutError):
            sandbox.wait(0.1)
    assert take(path, PORTS) is None


def test_other_ports_and_no_pool_at_all_cost_only_a_slower_start(path: Path, pool: Pool) -> None:
    assert take(path, (9000,)) is None
    assert take(path.with_name("nothing"), PORTS) is None
    assert pool.ready == 1


def test_one_that_ended_while_it_waited_is_not_given_away(path: Path, pool: Pool, bench: Bench) -> None:
    first = taken(path)
    soon(lambda: pool.ready == 1)
    engine = bench.engine
    assert isinstance(engine, DockerEngine)
    waiting = [
        str(each["Id"])
        for each in engine.daemon.list([f"safebox.run={AHEAD}"])
        if str(each["Labels"]["safebox.owner"]).startswith(f"{os.getpid()}-") and each["Id"] != first.container
    ]
    for each in waiting:
        engine.daemon.remove(each)
    assert take(path, PORTS) is None
    first.close()


def test_nothing_waits_any_more_when_the_pool_has_closed(path: Path) -> None:
    real_engine("docker")
    with Pool(path, PORTS, 2) as pool:
        soon(lambda: pool.ready == 2)
        assert path.stat().st_mode & 0o777 == 0o600
    assert pool.ready == 0
    assert not path.exists()


def test_what_was_prepared_and_not_used_ends(bench: Bench) -> None:
    engine = bench.engine
    engine.prepare(PORTS)
    engine.release()
    engine.release()
    ended, _ = bench.run("true", ports=PORTS)
    assert ended.code == 0
