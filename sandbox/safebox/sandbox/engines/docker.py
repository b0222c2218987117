"""The Docker engine: two containers for each sandbox, and no network.

The *holder* has a network namespace with nothing but `lo`; it binds the gateway ports, hands them to us and sleeps. The
*agent* joins the holder's network and process namespaces. Because the holder is process 1 of that process namespace,
the kernel ends everything the agent started the moment the holder ends, and the holder ends when its owner does.
"""

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from safebox.sandbox.engines import LAST_OUTPUT_BYTES, Found
from safebox.sandbox.engines.docker_api import Daemon
from safebox.sandbox.engines.docker_config import LABEL, OWNER, ROLE, UNTIL, labels_of
from safebox.sandbox.engines.docker_holder import Coming, Created, Holder, make_detached_holder, make_holder
from safebox.sandbox.engines.docker_http import NotThereError
from safebox.sandbox.engines.docker_sandbox import DockerSandbox
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.owner import owner_is_dead
from safebox.sandbox.pool import take
from safebox.sandbox.spec import MIB, SandboxSpec, check_readable_by_others

TREE = "safebox.tree"
KEEP_SECONDS = 24 * 3600
"""How long the output of a detached sandbox can still be asked for after its end."""


class DockerEngine:
    """Sandboxes on a Docker Engine that runs on this kernel."""

    name = "docker"

    def __init__(self, pool: Path | None = None) -> None:
        """Connect to nothing yet; `pool` is the socket of a pool of ready holders, if there is one."""
        self._daemon = Daemon()
        self._pool = pool
        self._lock = threading.Lock()
        self._prepared: tuple[tuple[int, ...], Coming] | None = None

    @property
    def daemon(self) -> Daemon:
        """The connection, for the image builder."""
        return self._daemon

    def available(self) -> str | None:
        """None when an engine on this kernel answers."""
        try:
            kernel = self._daemon.version().get("KernelVersion", "")
        except SandboxError as error:
            return error.cause
        if kernel != os.uname().release:
            return f"the engine runs on another kernel ({kernel}), so sockets can't be handed over"
        return None

    def not_isolated(self) -> tuple[str, ...]:
        """What containers share with their host."""
        return (
            "The agent runs on the host's own kernel: a flaw in one of the allowed system calls is a way out.",
            "Programs inside can see how many CPUs and how much memory the host has, and its kernel's version.",
            "Disk reads of the image and of the agent's folder are not limited in speed.",
        )

    def shared(self) -> tuple[str, ...]:
        """The same in a few words."""
        return ("the host's kernel", "disk speed")

    def create(self, spec: SandboxSpec) -> DockerSandbox:
        """Make the holder, take its listeners, and make the agent's container beside it, not started.

        Raises:
            SandboxError: an image is missing, the engine refuses, or the handover fails. Nothing is left then.
        """
        check_readable_by_others(spec)
        sandbox = DockerSandbox(self._daemon, spec)
        try:
            sandbox.make(self._holder_for(spec))
        except BaseException as error:
            sandbox.remove()
            if isinstance(error, NotThereError):
                raise SandboxError(error.cause, "safebox image build", "sandbox.no_image") from error
            raise
        return sandbox

    def prepare(self, ports: tuple[int, ...]) -> None:
        """Begin to make a holder, or take a ready one."""
        self.release()
        coming = self._coming(ports)
        with self._lock:
            self._prepared = ports, coming

    def release(self) -> None:
        """Let a prepared holder end that no sandbox got."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared[1].abandon()

    def _holder_for(self, spec: SandboxSpec) -> Coming:
        if spec.detached:
            labels, seconds = labels_of(spec), spec.limits.wall_seconds
            return Coming(lambda created: make_detached_holder(self._daemon, labels, seconds, created))
        with self._lock:
            if self._prepared is not None and self._prepared[0] == spec.ports:
                (_, coming), self._prepared = self._prepared, None
                return coming
        return self._coming(spec.ports)

    def _coming(self, ports: tuple[int, ...]) -> Coming:
        def make(created: Created) -> Holder:
            ready = None if self._pool is None else take(self._pool, ports)
            return ready or make_holder(self._daemon, ports, created=created)

        return Coming(make)

    def reap(self) -> list[str]:
        """Remove containers whose owner is dead, and detached ones past their end."""
        removed: list[str] = []
        for each in self._daemon.list([OWNER]):
            labels = self._daemon.labels_of(each)
            until = labels.get(UNTIL)
            if until is None and labels.get(ROLE) == "holder" and each.get("State") == "running":
                continue  # somebody who lives has its owner's end, whoever made it; without that it is ending now
            over = owner_is_dead(labels[OWNER]) if until is None else time.time() > float(until) + KEEP_SECONDS
            unstarted = self._cut_short(each)
            if unstarted:
                self.discard(each["Id"])  # with its holder, which runs already
            if over or unstarted:
                with contextlib.suppress(NotThereError):
                    self._daemon.remove(each["Id"])
                    removed.append(str(each["Id"]))
        return removed

    def _cut_short(self, container: dict[str, Any]) -> bool:
        """Whether a container was made and not started by a process that is dead now."""
        return container.get("State") == "created" and owner_is_dead(self._daemon.labels_of(container)[OWNER])

    def image_digest(self, image: str) -> str | None:
        """The id of the image, which is a digest of its configuration and layers."""
        answer = self._daemon.image(image)
        return None if answer is None else str(answer["Id"])

    def tree_digest(self, name: str) -> str | None:
        """The digest of the ingredients this image was built from, kept in a label."""
        return self._daemon.image_labels(name).get(TREE)

    def take_tree(self, name: str, digest: str, tree: Path) -> None:
        """Import the tree as an image of one layer."""
        import tempfile

        from safebox.sandbox.image import IMAGE_ENV, archive

        environment = " ".join(f"{key}={value}" for key, value in IMAGE_ENV.items())
        changes = [f"LABEL {TREE}={digest}", f"ENV {environment}", "WORKDIR /work"]
        with tempfile.TemporaryFile() as tar:
            archive(tree, tar)
            tar.seek(0)
            self._daemon.import_image(iter(lambda: tar.read(MIB), b""), name, changes)

    def pull(self, name: str, source: str) -> None:
        """Fetch an image from its registry and give it the name."""
        self._daemon.pull(source, name)

    def find(self, label: str, value: str) -> tuple[Found, ...]:
        """Sandboxes that carry this label, found among the containers themselves.

        One that its maker died over is removed before it could start, and is none.
        """
        containers = self._daemon.list([f"{LABEL}{label}={value}", f"{ROLE}=agent"])
        found: list[Found] = []
        for each in containers:
            if self._cut_short(each):
                self.discard(each["Id"])
                continue
            with contextlib.suppress(NotThereError):
                found.append(_found(self._daemon.inspect(each["Id"])))
        return tuple(found)

    def look(self, sandbox_id: str) -> Found | None:
        """One sandbox by its id; a container that isn't ours is none."""
        try:
            container = self._daemon.inspect(sandbox_id)
        except NotThereError:
            return None
        labels: dict[str, str] = container["Config"]["Labels"] or {}
        return _found(container) if labels.get(ROLE) == "agent" else None

    def output(self, sandbox_id: str) -> bytes:
        """The last 64 KiB the engine kept."""
        try:
            return b"" if self.look(sandbox_id) is None else self._daemon.output(sandbox_id)[-LAST_OUTPUT_BYTES:]
        except NotThereError:
            return b""

    def _holder_of(self, sandbox_id: str) -> str:
        return str(self._daemon.inspect(sandbox_id)["HostConfig"]["NetworkMode"]).removeprefix("container:")

    def stop(self, sandbox_id: str) -> None:
        """SIGKILL to the agent's container, which stays to be asked about; one that isn't ours is left alone."""
        found = self.look(sandbox_id)
        if found is not None and found.state == "running":
            with contextlib.suppress(NotThereError):
                self._daemon.kill(sandbox_id)
                self._daemon.wait(sandbox_id)
        if found is not None:
            with contextlib.suppress(NotThereError):
                self._daemon.kill(self._holder_of(sandbox_id))

    def discard(self, sandbox_id: str) -> None:
        """Remove the agent's container and its holder; a container that isn't ours is left alone."""
        if self.look(sandbox_id) is None:
            return
        try:
            holder = self._holder_of(sandbox_id)
        except NotThereError:
            return
        for each in (sandbox_id, holder):
            with contextlib.suppress(NotThereError):
                self._daemon.remove(each)


def _found(container: dict[str, Any]) -> Found:
    state = container["State"]
    running = bool(state["Running"])
    labels: dict[str, str] = container["Config"]["Labels"] or {}
    return Found(
        id=str(container["Id"]),
        state="running" if running else "exited",
        exit_code=None if running else int(state["ExitCode"]),
        started_at=_seconds(state["StartedAt"]),
        ended_at=None if running else _seconds(state["FinishedAt"]),
        labels={key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)},
    )


def _seconds(text: str) -> float | None:
    """Docker's RFC 3339 time with nanoseconds; the year 1 means never."""
    if text.startswith("0001-"):
        return None
    from datetime import datetime

    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")
