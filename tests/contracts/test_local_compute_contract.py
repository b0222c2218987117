"""What a buyer of local compute is promised, on each real engine."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from safebox.sandbox.errors import SandboxError
from safebox.sandbox.provider import InstanceStatus, LocalCompute
from safebox.sandbox.spec import Limits
from tests.contracts.conftest import Bench

IMAGE = "safebox/base"


@pytest.fixture
def compute(bench: Bench) -> LocalCompute:
    return LocalCompute(bench.engine)


@pytest.fixture
def reference(bench: Bench, compute: LocalCompute) -> Iterator[str]:
    """A reference of its own; what it bought is removed at the end."""
    name = f"order-{time.time_ns()}"
    yield name
    instance = compute.find(name)
    if instance is not None:
        bench.engine.discard(instance)


def when_ended(compute: LocalCompute, instance: str) -> InstanceStatus:
    until = time.monotonic() + 30
    while (status := compute.status(instance)).state == "running" and time.monotonic() < until:
        time.sleep(0.05)
    return status


def test_a_bought_command_reads_its_input_and_its_output_and_exit_code_can_be_asked_for(
    compute: LocalCompute, reference: str
) -> None:
    command = ("sh", "-c", "tr a-z A-Z < /job/input; exit 3")
    instance = compute.start(reference=reference, image=IMAGE, command=command, input=b"hello", seconds=60)
    status = when_ended(compute, instance)
    assert (status.state, status.exit_code, status.output) == ("exited", 3, "HELLO")
    assert status.started_at is not None
    assert status.ended_at is not None
    assert abs(time.time() - status.ended_at) < 60


def test_the_same_reference_starts_no_second_instance(compute: LocalCompute, reference: str) -> None:
    first = compute.start(reference=reference, image=IMAGE, command=("sleep", "50"), input=None, seconds=60)
    assert compute.start(reference=reference, image=IMAGE, command=("sleep", "50"), input=None, seconds=60) == first
    assert compute.find(reference) == first


def test_an_instance_is_found_and_goes_on_after_the_firewall_that_bought_it_was_killed(
    bench: Bench, compute: LocalCompute, reference: str
) -> None:
    program = f"""
import os, signal
from safebox.sandbox.provider import LocalCompute
from tests.contracts.conftest import ENGINES
compute = LocalCompute(ENGINES[{bench.engine.name!r}]())
compute.start(reference={reference!r}, image={IMAGE!r}, command=("sh", "-c", "sleep 1; echo alive"),
    input=None, seconds=60)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    bench.engine.reap()
    instance = compute.find(reference)
    assert instance is not None
    status = when_ended(compute, instance)
    assert (status.exit_code, status.output) == (0, "alive\n")


@pytest.mark.parametrize("reaped", [True, False])
def test_an_instance_that_was_made_and_not_started_when_its_buyer_was_killed_is_none(
    bench: Bench, compute: LocalCompute, reference: str, reaped: bool
) -> None:
    program = f"""
import os, signal
from safebox.sandbox.provider import REFERENCE
from safebox.sandbox.spec import SandboxSpec
from tests.contracts.conftest import ENGINES
spec = SandboxSpec(run_id="compute", image={IMAGE!r}, command=("echo", "ran"), labels={{REFERENCE: {reference!r}}},
    detached=True)
ENGINES[{bench.engine.name!r}]().create(spec)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    if reaped:
        bench.engine.reap()
    assert compute.find(reference) is None
    instance = compute.start(reference=reference, image=IMAGE, command=("echo", "again"), input=None, seconds=60)
    assert when_ended(compute, instance).output == "again\n"
    assert len(bench.engine.find("reference", reference)) == 1


def test_an_instance_ends_when_its_lease_has_passed(compute: LocalCompute, reference: str) -> None:
    instance = compute.start(reference=reference, image=IMAGE, command=("sleep", "600"), input=None, seconds=1)
    assert compute.status(instance).state == "running"
    status = when_ended(compute, instance)
    assert (status.state, status.exit_code) == ("stopped", 137)


def test_a_stopped_instance_still_says_how_long_it_ran_and_its_reference_buys_no_second(
    compute: LocalCompute, reference: str
) -> None:
    command = ("sh", "-c", "echo here; sleep 50")
    instance = compute.start(reference=reference, image=IMAGE, command=command, input=None, seconds=60)
    time.sleep(1.1)
    compute.stop(instance)
    compute.stop(instance)
    status = compute.status(instance)
    assert (status.state, status.output) == ("stopped", "here\n")
    assert 2 <= status.seconds <= 20
    assert compute.find(reference) == instance
    assert compute.start(reference=reference, image=IMAGE, command=command, input=None, seconds=60) == instance
    assert compute.status(instance).state == "stopped"


def test_nobody_gets_a_status_for_an_instance_that_is_unknown(compute: LocalCompute) -> None:
    with pytest.raises(SandboxError):
        compute.status("0123456789abcdef")


def test_a_bought_instance_has_no_network_not_even_a_gateway(compute: LocalCompute, reference: str) -> None:
    command = ("sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1; cat /proc/net/tcp /proc/net/udp | grep -vc local")
    instance = compute.start(reference=reference, image=IMAGE, command=command, input=None, seconds=60)
    assert when_ended(compute, instance).output.split() == ["lo", "0"]


def test_endless_output_ends_no_host_and_only_the_last_64_kib_are_kept(compute: LocalCompute, reference: str) -> None:
    command = ("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end")
    instance = compute.start(reference=reference, image=IMAGE, command=command, input=None, seconds=60)
    output = when_ended(compute, instance).output
    assert len(output) <= 65536
    assert output.rstrip().endswith("xend")  # Docker drops the line break after so long a line


def test_an_unknown_image_buys_nothing(compute: LocalCompute, reference: str) -> None:
    with pytest.raises(SandboxError):
        compute.start(reference=reference, image="safebox/nothing", command=("true",), input=None, seconds=60)
    assert compute.find(reference) is None


def test_limits_other_than_the_default_hold(bench: Bench, reference: str) -> None:
    compute = LocalCompute(bench.engine, Limits(work_inodes=100))
    program = "import os; home = os.environ['HOME']\nfor i in range(200): open(f'{home}/{i}', 'w')"
    instance = compute.start(
        reference=reference, image=IMAGE, command=("python3", "-c", program), input=None, seconds=60
    )
    status = when_ended(compute, instance)
    assert status.exit_code == 1
    assert "No space left" in status.output
    compute.stop(instance)
