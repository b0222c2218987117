"""Disks that a test may spoil: small ones, read-only ones, files that nobody may write."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Generator
from pathlib import Path

from tests.real_parts import go_without, require_root


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "1m") -> Generator[Path]:
    """A file system of so many bytes, where it may be mounted."""
    require_root("mounts a file system")
    folder.mkdir()
    _tried("mount", "-t", "tmpfs", "-o", f"size={size}", "safebox-test", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder: Path, size: str = "4m") -> None:
    """Give a small disk more room."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk of a folder; the file that takes it."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


@contextlib.contextmanager
def read_only(folder: Path) -> Generator[None]:
    """Nobody may open a file in this folder for writing, nor make one; it is a mount of its own ever after."""
    require_root("mounts a file system")
    _tried("mount", "--bind", str(folder), str(folder))
    try:
        _tried("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def immutable(*files: Path) -> Generator[None]:
    """Nobody can write these files, not even who has them open."""
    names = [str(file) for file in files]
    _tried("chattr", "+i", *names)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *names], check=True)


def _tried(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        go_without(f"this machine refuses {command[0]}: {done.stderr.strip()}")
