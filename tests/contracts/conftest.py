"""The real sandbox engines, one after the other: a missing one is a visible skip on a laptop and a failure in CI."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from safebox.sandbox.engines import Sandbox, SandboxEngine
from safebox.sandbox.engines.bwrap import BwrapEngine
from safebox.sandbox.engines.docker import DockerEngine
from safebox.sandbox.image import BASE_IMAGE, build
from safebox.sandbox.spec import Exit, SandboxSpec
from tests import real_parts

ENGINES: dict[str, type[DockerEngine] | type[BwrapEngine]] = {"docker": DockerEngine, "bwrap": BwrapEngine}


@dataclass
class Bench:
    """An engine, and short ways to run something on it."""

    engine: SandboxEngine
    counter: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def spec(self, *command: str, **more: Any) -> SandboxSpec:
        return SandboxSpec(run_id=f"test-{next(self.counter)}", image=BASE_IMAGE, command=command, **more)

    def run(self, *command: str, timeout: float = 60, **more: Any) -> tuple[Exit, str]:
        """Run to the end; return the exit and everything written."""
        with self.engine.create(self.spec(*command, **more)) as sandbox:
            return finish(sandbox, timeout)

    def python(self, program: str, timeout: float = 60, **more: Any) -> tuple[Exit, str]:
        """Run a Python program inside."""
        return self.run("python3", "-I", "-S", "-c", program, timeout=timeout, **more)


def finish(sandbox: Sandbox, timeout: float = 60) -> tuple[Exit, str]:
    """Start it and wait for its end."""
    chunks: list[bytes] = []
    sandbox.start(chunks.append)
    ended = sandbox.wait(timeout)
    return ended, b"".join(chunks).decode(errors="replace")


def real_engine(name: str) -> DockerEngine | BwrapEngine:
    """The engine with its base image, or a skip that says why (in CI a failure)."""
    real_parts.require(name)
    engine: DockerEngine | BwrapEngine = ENGINES[name]()
    reason = engine.available()
    assert reason is None, f"{name} is there, but safebox can't use it: {reason}"
    build(engine)
    return engine


@pytest.fixture(scope="session", params=sorted(ENGINES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each real engine in turn; leftovers of a test are a failure of its own."""
    engine = real_engine(request.param)
    yield Bench(engine)
    engine.reap()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of an agent, readable by the agent's uid."""
    place = tmp_path / "agent"
    place.mkdir()
    (place / "main.py").write_text("print('hello from the agent')\n")
    place.chmod(0o755)
    return place


def soon(look: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.02)
