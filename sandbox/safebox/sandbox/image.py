"""Images: a root tree under a name, for whichever engine runs the sandbox.

`build` makes the base image from this machine's own Python (see `tree.py`) and gives it to the engine; called again
with nothing changed it notices within a second and does nothing.
"""

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from safebox.sandbox.errors import SandboxError
from safebox.sandbox.spec import BASE_IMAGE as BASE_IMAGE  # noqa: PLC0414 - where most look for it
from safebox.sandbox.tree import Progress, ingredients, make_tree

IMAGE_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
"""What every program in an image made here finds set."""
HOST = "host"
"""The source that needs no registry: this machine's Python."""


class TakesTrees(Protocol):
    """What an engine offers for images; both engines do."""

    def tree_digest(self, name: str) -> str | None:
        """The digest of the ingredients of the tree that the name means now."""
        ...

    def take_tree(self, name: str, digest: str, tree: Path) -> None:
        """Make the name mean this tree."""
        ...

    def pull(self, name: str, source: str) -> None:
        """Make the name mean an image from a registry.

        Raises:
            SandboxError: this engine has no registry or can't reach it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """The outcome of a build; `digest` is of the ingredients, not of the engine's image."""

    name: str
    digest: str
    rebuilt: bool


def state_folder() -> Path:
    """Where safebox keeps things, made private to this user on first use."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = Path(os.environ.get("SAFEBOX_HOME") or Path(state) / "safebox")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def build(engine: TakesTrees, name: str = BASE_IMAGE, source: str = HOST, progress: Progress = lambda _: None) -> Built:
    """Make `name` mean an up-to-date base image, from this machine (`host`) or from an image a registry has.

    Raises:
        SandboxError: the tree can't be made, or the engine does not take it.
    """
    if source != HOST:
        progress(f"fetching {source}")
        engine.pull(name, source)
        return Built(name, source, rebuilt=True)
    digest = ingredients()
    if engine.tree_digest(name) == digest:
        return Built(name, digest, rebuilt=False)
    with _lock(state_folder() / "trees.lock"):
        tree = _tree(digest, progress)
        progress(f"giving the tree to the engine as {name}")
        engine.take_tree(name, digest, tree)
    return Built(name, digest, rebuilt=True)


def trees_folder() -> Path:
    """The folder of all trees; each is named by its digest and never changed once it is there."""
    folder = state_folder() / "trees"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _tree(digest: str, progress: Progress) -> Path:
    ready = trees_folder() / digest
    if ready.is_dir():
        return ready
    scratch = Path(tempfile.mkdtemp(prefix="building-", dir=trees_folder()))
    try:
        scratch.chmod(0o755)
        make_tree(scratch, progress)
        scratch.rename(ready)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return ready


@contextmanager
def _lock(path: Path) -> Generator[None]:
    """One builder at a time; the kernel lets go of the lock when its holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def archive(tree: Path, target: IO[bytes]) -> None:
    """The tree as a tar that depends on nothing but its contents: sorted, owned by root."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        if entry.isdir():
            entry.mode, entry.mtime = 0o755, 0
        return entry

    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            tar.add(path, str(path.relative_to(tree)), recursive=False, filter=plain)


def file_name(name: str) -> str:
    """An image's name as a file name: readable, and different for different names."""
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    return f"{plain[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def missing(name: str) -> SandboxError:
    """The error for an image nobody built."""
    return SandboxError(f"there is no image {name}", f"safebox image build {name}", "sandbox.no_image")
