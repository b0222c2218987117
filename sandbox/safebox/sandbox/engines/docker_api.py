"""The few calls of the Docker Engine's API that are used, typed.

What every run needs goes over `docker_http`; what is rare or streams (images, kept output) goes through the docker SDK,
which has no types and takes 0.1 s to import, so it is touched here only and imported on first use.
"""

import importlib
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from safebox.sandbox.engines.docker_attach import Attached
from safebox.sandbox.engines.docker_http import NotThereError, ask, unanswered
from safebox.sandbox.errors import SandboxError

Json = dict[str, Any]
T = TypeVar("T")

API_VERSION = "1.41"
"""The API of server 20.10, the oldest this engine is for; newer servers still speak it."""
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
ANSWER_SECONDS = 60
"""A busy engine takes seconds to create a container; one that takes a minute is stuck."""
IMPORT_SECONDS = 600
"""Unpacking an image of a few hundred MB on a slow disk."""
_CONFLICT = 409


class Daemon:
    """A connection to the engine that DOCKER_HOST, or the default socket, names."""

    def __init__(self) -> None:
        """Remember nothing yet: the first call connects."""
        self._lock = threading.Lock()
        self._clients: dict[float | None, Any] = {}
        weakref.finalize(self, _close_all, self._clients)

    def _client(self, seconds: float | None = ANSWER_SECONDS) -> Any:
        with self._lock:
            if seconds not in self._clients:
                sdk: Any = importlib.import_module("docker")
                address = "unix://" + self.socket_path()
                self._clients[seconds] = sdk.APIClient(base_url=address, version=API_VERSION, timeout=seconds)
            return self._clients[seconds]

    def _call(
        self, method: str, target: str, document: Json | None = None, seconds: float | None = ANSWER_SECONDS
    ) -> Any:
        return ask(self.socket_path(), method, f"/v{API_VERSION}{target}", document, seconds).json()

    def _sdk(self, call: Callable[[Any], T], seconds: float | None = ANSWER_SECONDS) -> T:
        """Call the SDK; what it raises becomes a SandboxError that repeats the engine's own words."""
        sdk: Any = importlib.import_module("docker.errors")
        requests: Any = importlib.import_module("requests.exceptions")
        try:
            return call(self._client(seconds))
        except sdk.APIError as error:
            gone = error.status_code == _CONFLICT or isinstance(error, sdk.NotFound)
            kind, code = (NotThereError, "sandbox.not_there") if gone else (SandboxError, "sandbox.engine_failed")
            raise kind(f"Docker refused: {error.explanation or error}", "see: docker info", code) from error
        except (sdk.DockerException, requests.RequestException, OSError) as error:
            raise unanswered(str(error)) from error

    def version(self) -> Json:
        """What the server says about itself."""
        return dict(ask(self.socket_path(), "GET", "/version", seconds=ANSWER_SECONDS).json())

    def info(self) -> Json:
        """How the server is set up."""
        return self._sdk(lambda api: dict(api.info()))

    def create(self, config: Json) -> str:
        """Create a container from the API's own configuration; return its id."""
        return str(self._call("POST", "/containers/create", config)["Id"])

    def start(self, container: str) -> None:
        """Start a created container."""
        self._call("POST", f"{_place(container)}/start")

    def attach(self, container: str) -> Attached:
        """Both output streams, as they come; attach before the start to miss nothing."""
        return Attached(self.socket_path(), API_VERSION, container)

    def socket_path(self) -> str:
        """The engine's Unix socket.

        Raises:
            SandboxError: DOCKER_HOST names an engine elsewhere, to which no socket can be handed over.
        """
        address = os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS
        if not address.startswith("unix://"):
            cause = f"DOCKER_HOST={address} is not an engine on this machine, so sockets can't be handed over"
            raise SandboxError(cause, "unset DOCKER_HOST", "sandbox.no_engine")
        return address.removeprefix("unix://")

    def wait(self, container: str) -> int:
        """Wait for the end, however long; return the exit code."""
        return int(self._call("POST", f"{_place(container)}/wait", seconds=None)["StatusCode"])

    def inspect(self, container: str) -> Json:
        """Everything the engine knows about a container."""
        return dict(self._call("GET", f"{_place(container)}/json"))

    def kill(self, container: str) -> None:
        """SIGKILL to all of it."""
        self._call("POST", f"{_place(container)}/kill")

    def pause(self, container: str) -> None:
        """Freeze it."""
        self._call("POST", f"{_place(container)}/pause")

    def unpause(self, container: str) -> None:
        """Let it run on."""
        self._call("POST", f"{_place(container)}/unpause")

    def remove(self, container: str) -> None:
        """Kill and remove it with its anonymous volumes."""
        self._call("DELETE", f"{_place(container)}?v=1&force=1")

    def list(self, labels: Sequence[str]) -> list[Json]:
        """All containers, running or not, that carry every label (`key` or `key=value`)."""
        filters = quote(json.dumps({"label": list(labels)}))
        return list(self._call("GET", f"/containers/json?all=1&filters={filters}"))

    def output(self, container: str) -> bytes:
        """What the engine kept of a container's output."""
        return self._sdk(lambda api: bytes(api.logs(container, stdout=True, stderr=True)))

    def image(self, name: str) -> Json | None:
        """Everything the engine knows about an image it has; None when it has none of this name."""
        try:
            return dict(self._call("GET", f"/images/{quote(name, safe='/:@')}/json"))
        except NotThereError:
            return None

    def image_labels(self, name: str) -> dict[str, str]:
        """The labels of an image; none when there is no such image."""
        image = self.image(name)
        config: Json = (image["Config"] if image is not None else None) or {}
        labels: dict[str, str] = config.get("Labels") or {}
        return labels

    def pull(self, source: str, name: str) -> None:
        """Fetch `source` from its registry and give it a second name."""
        self._sdk(lambda api: api.pull(source), IMPORT_SECONDS)
        self._sdk(lambda api: api.tag(source, name))

    def import_image(self, tar: Iterator[bytes], name: str, changes: Sequence[str]) -> None:
        """Make an image of one layer from a tar stream."""
        repository, _, tag = name.partition(":")

        def call(api: Any) -> str:
            return str(
                api.import_image_from_stream(tar, repository=repository, tag=tag or "latest", changes=list(changes))
            )

        answer = self._sdk(call, IMPORT_SECONDS)
        if '"error"' in answer:
            raise SandboxError(f"Docker could not import the image: {answer[-500:]}", "", "sandbox.image_failed")

    def labels_of(self, container: Json) -> Mapping[str, str]:
        """The labels in an answer of `list`."""
        return container.get("Labels") or {}


def _place(container: str) -> str:
    return "/containers/" + quote(container, safe="")


def _close_all(clients: dict[float | None, Any]) -> None:
    """Close the pooled connections when nobody uses the daemon any more."""
    for each in clients.values():
        each.close()
