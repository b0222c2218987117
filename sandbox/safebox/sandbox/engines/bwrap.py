"""The bubblewrap engine: no daemon, no image store, the same promises.

A keeper process (`keeper.py`) makes the namespaces and owns the sandbox; it dies with us, and bubblewrap dies with it.
Each sandbox has a folder under the state folder, by which leftovers and detached sandboxes are found.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from safebox.sandbox.engines import LAST_OUTPUT_BYTES, Found
from safebox.sandbox.engines.bwrap_sandbox import KILL_SECONDS, BwrapSandbox, is_unfinished, maker_of
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.groups import group_at, make_group
from safebox.sandbox.image import file_name, missing, state_folder, trees_folder
from safebox.sandbox.owner import end_process, owner_is_dead
from safebox.sandbox.spec import Limits, SandboxSpec, check_readable_by_others

KEEP_SECONDS = 24 * 3600
"""How long the output of a detached sandbox can still be asked for after its end."""
STOP_LOOK_SECONDS = 0.005
"""How often `stop` looks whether the keeper has ended."""
_PROBE_SECONDS = 10
_PROGRAMS = tuple(Path("/") / name for name in ("usr", "bin", "lib", "lib32", "lib64", "libx32"))


class BwrapEngine:
    """Sandboxes made by bubblewrap, as root or as an ordinary user."""

    name = "bwrap"

    def __init__(self) -> None:
        """Look for nothing yet."""
        self._bounded: bool | None = None

    def available(self) -> str | None:
        """None when bubblewrap is there and may make the namespaces it needs."""
        program = shutil.which("bwrap")
        if program is None:
            return "bubblewrap is not installed"
        try:
            answer = _probe(program)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap does not work here: {error}"
        return None if answer.returncode == 0 else f"bubblewrap does not work here: {answer.stderr.strip()[:300]}"

    def not_isolated(self) -> tuple[str, ...]:
        """What processes in namespaces share with their host, and what can't be bounded here."""
        said: tuple[str, ...] = (
            "The agent runs on the host's own kernel: a flaw in one of the allowed system calls is a way out.",
            "Programs inside can see how many CPUs and how much memory the host has, and its kernel's version.",
            "Disk reads of the image and of the agent's folder are not limited in speed.",
        )
        if os.geteuid() != 0:
            said += (
                "Outside, the agent's processes have your own user id; only namespaces keep them from your files.",
            )
        if not self._groups_work():
            said += (
                "No control group may be made here: memory is bounded for each process, not for all of them together,",
                "and CPU time in total only; the number of processes counts with your own on kernels before 5.14.",
            )
        return said

    def shared(self) -> tuple[str, ...]:
        """The same in a few words."""
        user = () if os.geteuid() == 0 else ("your user id",)
        bounds = () if self._groups_work() else ("memory in all",)
        return ("the host's kernel", "disk speed", *user, *bounds)

    def _groups_work(self) -> bool:
        if self._bounded is None:
            group = make_group(f"probe-{secrets.token_hex(4)}", Limits())
            self._bounded = group is not None
            if group is not None:
                group.remove()
        return self._bounded

    def prepare(self, ports: tuple[int, ...]) -> None:
        """Do nothing: all of a sandbox is made in less time than this could save."""

    def release(self) -> None:
        """Do nothing."""

    def create(self, spec: SandboxSpec) -> BwrapSandbox:
        """Start the keeper, have it make the namespaces and the stage, and take its listeners.

        Raises:
            SandboxError: there is no such image, or the kernel refuses a part. Nothing is left then.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise SandboxError("bubblewrap is not installed", "sudo apt-get install bubblewrap", "sandbox.no_engine")
        if os.geteuid() == 0:
            check_readable_by_others(spec)
        digest = self.tree_digest(spec.image)
        if digest is None:
            raise missing(spec.image)
        sandbox = BwrapSandbox(spec, sandboxes_folder() / secrets.token_hex(8))
        try:
            sandbox.make(trees_folder() / digest, program)
        except BaseException:
            sandbox.remove()
            raise
        return sandbox

    def reap(self) -> list[str]:
        """Remove what dead keepers left whose owner is dead, or whose output is old, and what never was started."""
        removed: list[str] = []
        for folder in sandboxes_folder().iterdir():
            state = _read_state(folder)
            if is_unfinished(folder.name) and owner_is_dead(maker_of(folder.name)):
                shutil.rmtree(folder, ignore_errors=True)
            elif state is not None and (_cut_short(folder, state) or _is_over(state, _read_json(folder / "report"))):
                self.discard(folder.name)
                removed.append(folder.name)
        return removed

    def image_digest(self, image: str) -> str | None:
        """The digest of the tree's ingredients."""
        digest = self.tree_digest(image)
        return None if digest is None else f"sha256:{digest}"

    def tree_digest(self, name: str) -> str | None:
        """The digest of the ingredients of the tree that the name means now."""
        try:
            digest = (_names_folder() / file_name(name)).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        return digest if digest and (trees_folder() / digest).is_dir() else None

    def take_tree(self, name: str, digest: str, tree: Path) -> None:
        """Write down which tree the name means; the tree itself is used where it is."""
        path = _names_folder() / file_name(name)
        scratch = path.with_suffix(f".{secrets.token_hex(4)}")
        scratch.write_text(digest, encoding="ascii")
        scratch.replace(path)

    def pull(self, name: str, source: str) -> None:
        """There is no registry without Docker."""
        raise SandboxError(
            f"bubblewrap can't fetch {source}", "build from this machine: --from host", "sandbox.no_image"
        )

    def find(self, label: str, value: str) -> tuple[Found, ...]:
        """Sandboxes that carry this label, found among the state folders.

        One that its maker died over is ended before it could start, and is none.
        """
        found: list[Found] = []
        for folder in sandboxes_folder().iterdir():
            state = _read_state(folder)
            if state is None or state["labels"].get(label) != value:
                continue
            if _cut_short(folder, state):
                self.discard(folder.name)
            else:
                found.append(_found(folder, state))
        return tuple(found)

    def look(self, sandbox_id: str) -> Found | None:
        """One sandbox by its id."""
        state = _read_state(_folder_of(sandbox_id))
        return None if state is None else _found(_folder_of(sandbox_id), state)

    def output(self, sandbox_id: str) -> bytes:
        """The last 64 KiB the keeper wrote down."""
        try:
            return (_folder_of(sandbox_id) / "output").read_bytes()[-LAST_OUTPUT_BYTES:]
        except FileNotFoundError:
            return b""

    def stop(self, sandbox_id: str) -> None:
        """Let the keeper end bubblewrap and write down how long it ran; a keeper that doesn't is ended itself."""
        state = _read_state(_folder_of(sandbox_id))
        if state is None:
            return
        end_process(state["keeper"], signal.SIGTERM)
        until = time.monotonic() + KILL_SECONDS
        while state["keeper"] and not owner_is_dead(state["keeper"]) and time.monotonic() < until:
            time.sleep(STOP_LOOK_SECONDS)
        end_process(state["keeper"])

    def discard(self, sandbox_id: str) -> None:
        """End the keeper, and with it all of the sandbox; remove its folder and control groups."""
        folder = _folder_of(sandbox_id)
        state = _read_state(folder)
        if state is None:
            return
        end_process(state["keeper"])
        if state["groups"]:
            group_at(state["groups"]).remove()
        shutil.rmtree(folder, ignore_errors=True)


def sandboxes_folder() -> Path:
    """One folder for each sandbox that exists."""
    return _below("sandboxes")


def _names_folder() -> Path:
    return _below("images")


def _below(name: str) -> Path:
    folder = state_folder() / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _folder_of(sandbox_id: str) -> Path:
    if not sandbox_id.isalnum():
        raise SandboxError(f"{sandbox_id!r} is no sandbox's id", "use an id that safebox printed", "sandbox.not_there")
    return sandboxes_folder() / sandbox_id


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return data


def _read_state(folder: Path) -> dict[str, Any] | None:
    return None if is_unfinished(folder.name) else _read_json(folder / "state")


def _is_over(state: dict[str, Any], report: dict[str, Any] | None) -> bool:
    if not state["keeper"] or owner_is_dead(state["keeper"]):
        if state["until"] is None:
            return owner_is_dead(state["owner"])
        ended = (report or {}).get("ended_at") or state["until"]
        return bool(time.time() > ended + KEEP_SECONDS)
    return False


def _cut_short(folder: Path, state: dict[str, Any]) -> bool:
    """Whether a bought sandbox was never started and never will be: its maker is dead, and so is its keeper after this.

    One that isn't bought needs no such care: it ends with its owner, started or not. A keeper writes down that it
    starts before it says so, and starts nothing once its maker's end is closed; one that was given the word already is
    ended, and asked again.
    """
    if state["until"] is None or not owner_is_dead(state["owner"]) or _has_started(folder):
        return False
    end_process(state["keeper"])
    until = time.monotonic() + KILL_SECONDS
    while state["keeper"] and not owner_is_dead(state["keeper"]):
        if time.monotonic() > until:
            return False
        time.sleep(STOP_LOOK_SECONDS)
    return not _has_started(folder)


def _has_started(folder: Path) -> bool:
    return "started_at" in (_read_json(folder / "report") or {})


def _found(folder: Path, state: dict[str, Any]) -> Found:
    """A keeper that died unseen ran, as far as anybody can know, until its lease ended."""
    alive = bool(state["keeper"]) and not owner_is_dead(state["keeper"])
    report: dict[str, Any] = _read_json(folder / "report") or {}
    if not alive and "ended_at" not in report:
        report.setdefault("started_at", state["made"])
        report["ended_at"] = min(time.time(), state["until"] or time.time())
    return Found(
        id=folder.name,
        state="running" if alive and "exit_code" not in report else "exited",
        exit_code=report.get("exit_code"),
        started_at=report.get("started_at"),
        ended_at=report.get("ended_at"),
        labels=dict(state["labels"]),
    )


def _probe(program: str) -> "subprocess.CompletedProcess[str]":
    """Make the namespaces once, with nothing in them but this machine's own programs.

    Not all of `/`: a container's file system that goes away elsewhere meanwhile would make bubblewrap fail.
    """
    line = [program, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--disable-userns"]
    for folder in _PROGRAMS:
        if folder.is_symlink():
            line += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            line += ["--ro-bind", str(folder), str(folder)]
    line += ["--proc", "/proc", "true"]
    return subprocess.run(line, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
