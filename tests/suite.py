"""What `make test` runs: provision, start an engine if none answers, check, then the other tests.

The last lines printed are pytest's own. An engine that this started is stopped again; one that was there is left alone.
Standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.provision import provide_all, say
from tests.real_parts import BUILD, ROOT, find, in_ci, look_again, with_bytecode

START_SECONDS = 60
"""An engine answers within two seconds, or within some twenty on a machine that has never run one."""
STOP_SECONDS = 30
PYTHON = ROOT / ".venv/bin/python"
BEYOND_CHECK = ("tests/adversarial", "tests/contracts", "tests/integration")
"""What `make check` hasn't run already."""
SIDE_BY_SIDE = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")
"""Most tests wait for another process, so two at a time take half as long. A file's tests share what is slow to set up,
so they stay together; more at once would only make each other late."""


def _install() -> bool:
    """Install .venv through the Makefile, which knows when there is nothing to do."""
    make = ["make", "--no-print-directory", ".venv/.installed-dev", f"PYTHON={sys.executable}"]
    return subprocess.run(make, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _mount_cgroups() -> None:
    """Mount control groups where no init system did."""
    mount = shutil.which("cgroupfs-mount")
    if mount and "cgroup" not in Path("/proc/mounts").read_text(encoding="utf-8"):
        subprocess.run([mount], check=False)


def _answers(engine: subprocess.Popen[bytes]) -> bool:
    """Wait until the engine answers; False when it ends or takes too long."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and engine.poll() is None:
        look_again()
        if find("docker").usable:
            return True
        time.sleep(0.25)
    return False


@contextmanager
def _engine() -> Generator[None]:
    """A Docker engine for the time of the tests, unless one answers already or this is no place to start one."""
    dockerd = shutil.which("dockerd")
    if find("docker").usable or find("docker").broken or os.geteuid() != 0 or not dockerd:
        yield
        return
    say("starting a Docker engine (log: build/log/dockerd.log)")
    _mount_cgroups()
    log = BUILD / "log/dockerd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        engine = subprocess.Popen(
            [dockerd, "--pidfile", str(BUILD / "dockerd.pid")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        if not _answers(engine):
            say("the engine did not start; see build/log/dockerd.log")
        yield
    finally:
        engine.terminate()
        try:
            engine.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            engine.kill()


def _interrupted(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C, so that what was started is stopped."""
    raise KeyboardInterrupt


def main() -> int:
    """Run everything; 0 only when every step passed."""
    signal.signal(signal.SIGTERM, _interrupted)
    with ThreadPoolExecutor() as pool:
        installed, provided = pool.submit(_install), pool.submit(provide_all)
    if not installed.result() or (in_ci() and not provided.result()):
        return 1
    with _engine():
        if in_ci() and not find("docker").usable:
            say(f"missing: docker: {find('docker').wrong}")
            return 1
        checked = subprocess.run([PYTHON, "-m", "tests.check"], cwd=ROOT, env=with_bytecode(), check=False)
        pytest = [str(PYTHON), "-m", "pytest", "-q", "--durations=12", *SIDE_BY_SIDE, *BEYOND_CHECK]
        tested = subprocess.run(pytest, cwd=ROOT, env=with_bytecode(), check=False)
    if checked.returncode:
        say("the tests above ran, but a check before them failed")
    return checked.returncode or tested.returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
