"""What a test run left behind: processes that inherited its mark, containers whose owner is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from safebox.sandbox.owner import owner_is_dead
from tests.real_parts import ask_engine, find

MARK = "SAFEBOX_TEST_SESSION"
"""An environment variable every process of a test run inherits. A sandbox clears it, its launcher has it."""


def processes() -> list[str]:
    """Live processes that this session started, however they were detached."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    mine = {os.getpid(), os.getppid()}
    return [
        f"process {folder.name}: {_command(folder)}"
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and int(folder.name) not in mine and mark in _read(folder / "environ").split(b"\0")
    ]


def containers(since: float) -> list[str]:
    """Sandboxes made after `since` (seconds since 1970) whose owner has ended without removing them."""
    engine = find("docker")
    if not engine.usable:
        return []
    answer = ask_engine(engine.at, "/containers/json?all=true&filters=" + quote('{"label":["safebox.run"]}'))
    return [
        f"container {each['Names'][0]} of run {each['Labels']['safebox.run']}"
        for each in cast("list[dict[str, Any]]", answer)
        if each["Created"] >= int(since) and owner_is_dead(each["Labels"].get("safebox.owner", ""))
    ]


def _command(folder: Path) -> str:
    return _read(folder / "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def _read(path: Path) -> bytes:
    """A file of a process, empty when it ended meanwhile or is somebody else's."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
