"""Killed at any step of making a bwrap sandbox, its maker leaves nothing that the next one does not clear away."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from safebox.sandbox.engines.bwrap import BwrapEngine, sandboxes_folder
from safebox.sandbox.groups import planned_group
from tests.contracts.conftest import real_engine

STEPS = [
    ("pathlib.Path.rename", "before"),
    ("pathlib.Path.rename", "after"),
    ("safebox.sandbox.engines.bwrap_sandbox.make_group", "after"),
    ("safebox.sandbox.engines.bwrap_sandbox.BwrapSandbox._spawn", "after"),
    ("safebox.sandbox.engines.bwrap_sandbox.receive_listeners", "before"),
]
MAKER = """
import os, signal, sys
from unittest import mock
from safebox.sandbox.engines.bwrap import BwrapEngine
from safebox.sandbox.spec import SandboxSpec
import pkgutil
where, when = sys.argv[1:]
known = pkgutil.resolve_name(where)
def dies(*words, **more):
    if when == "after":
        known(*words, **more)
    os.kill(os.getpid(), signal.SIGKILL)
spec = SandboxSpec(run_id="compute", image="safebox/base", command=("true",), detached=True)
with mock.patch(where, dies):
    BwrapEngine().create(spec)
"""


@pytest.mark.bwrap
@pytest.mark.parametrize(("where", "when"), STEPS)
def test_what_a_dead_maker_left_is_cleared_away(where: str, when: str) -> None:
    engine = real_engine("bwrap")
    before = {place.name for place in sandboxes_folder().iterdir()}
    done = subprocess.run([sys.executable, "-c", MAKER, where, when], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    left = {place.name for place in sandboxes_folder().iterdir()} - before
    assert left, "it left nothing to clear away: the step is no step"
    engine.reap()
    assert not left & {place.name for place in sandboxes_folder().iterdir()}
    groups = [folder for name in left for folder in planned_group(name.rpartition("+")[2]).folders]
    assert not [folder for folder in groups if Path(folder).exists()]


def test_an_unfinished_folder_of_somebody_who_lives_is_left_alone() -> None:
    from safebox.sandbox.owner import owner_mark

    place = sandboxes_folder() / f"+{owner_mark()}+0123456789abcdef"
    place.mkdir()
    try:
        BwrapEngine().reap()
        assert place.exists()
        assert BwrapEngine().find("reference", "any") == ()
    finally:
        place.rmdir()
