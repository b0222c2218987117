"""A compute provider of `deploy/compute-api.md` in a process of its own: it really rents out sandboxes, and can fail.

Run as `python -m tests.compute_service ENGINE`: it listens on a port of loopback, which it prints, and ends with its
standard input. What stands before `/v1/` in a path is how to fail: `QUESTION:HOW`, as in `/instances-start:after/v1/…`.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Final

from safebox.firewall.connectors.http_compute import HttpCompute
from safebox.sandbox.engines import choose_engine
from safebox.sandbox.errors import SandboxError
from safebox.sandbox.provider import LocalCompute
from tests.failing import WAYS, Failing, Patient
from tests.real_parts import ROOT

KEY: Final = "a-key"
SLOW_SECONDS: Final = 20.0
LATE_SECONDS: Final = 6.0
"""After which a late start is made all the same."""
WRONG: Final = {
    "no json": b"<html>",
    "deep": b"[" * 60_000,
    "no field": b"{}",
    "one more field": b'{"id": "x", "reference": "x", "digest": "x", "state": "running", "more": 1}',
    "another type": b'{"id": 5, "digest": 5, "state": 5, "exit_code": "0", "output": 5, "seconds": "1"}',
    "below zero": b'{"id": "", "digest": "sha256:0", "state": "exited", "exit_code": -1, "output": "", "seconds": -1}',
}
BROKEN: Final = (*WAYS, *WRONG)
"""Answers of no shape, or none in time, to questions that were not done."""
LIES: Final = ("another digest", "another reference")
AFTER: Final = ("after: status", "after: hangs up", "after: no json", "after: slow")
"""Done, and not said."""


class _Provider(Failing):
    """One request."""

    slow_seconds, wrong, trouble = SLOW_SECONDS, WRONG, {"error": "<b>secret words</b>"}
    compute: LocalCompute

    def asked(self, document: dict[str, Any]) -> None:
        """Answer, fail or lie."""
        before, _, what = self.path.partition("/v1/")
        question, _, how = before.strip("/").replace("%20", " ").partition(":")
        fails = how if question == what.replace("/", "-") else ""
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self.say(401, {"error": "secret words"})
        elif fails == "late":
            time.sleep(LATE_SECONDS)
            self._answer(what, document, "")
        elif fails in BROKEN:
            self.fail(fails)
        else:
            self._answer(what, document, fails)

    def _answer(self, what: str, asked: dict[str, Any], fails: str) -> None:
        try:
            answer = self._done(what, asked)
        except SandboxError as error:
            self.say(409, {"error": error.cause})
            return
        if fails.startswith("after: "):
            self.fail(fails.removeprefix("after: "))
        else:
            self.say(200, answer | self._lie(fails))

    def _done(self, what: str, asked: dict[str, Any]) -> dict[str, Any]:
        match what:
            case "images/resolve":
                return {"digest": self.compute.image_digest(asked["image"])}
            case "instances/start":
                return self._started(asked)
            case "instances/find":
                return {"id": self.compute.find(asked["reference"])}
            case "instances/close":
                return {"id": self.compute.close(asked["reference"])}
            case "instances/status":
                found = self.compute.status(asked["id"])
                return {name: getattr(found, name) for name in ("state", "exit_code", "output", "seconds")}
            case "instances/stop":
                self.compute.stop(asked["id"])
            case "instances/discard":
                self.compute.discard(asked["id"])
            case _:
                raise SandboxError("what?", "")
        return {}

    def _started(self, asked: dict[str, Any]) -> dict[str, Any]:
        given = {name: asked[name] for name in ("reference", "image", "seconds", "digest")}
        content = None if asked["input"] is None else base64.b64decode(asked["input"])
        name = self.compute.start(**given, command=tuple(asked["command"]), input=content)
        digest = asked["digest"] or self.compute.image_digest(asked["image"])
        return {"id": name, "reference": asked["reference"], "digest": digest}

    def _lie(self, how: str) -> dict[str, Any]:
        lies = {"another digest": {"digest": f"sha256:{'0' * 64}"}, "another reference": {"reference": "run_x.act_x"}}
        return lies.get(how, {})


def main(engine: str) -> None:
    """Answer until the standard input ends."""
    _Provider.compute = LocalCompute(choose_engine(engine))
    port = Patient(("127.0.0.1", 0), _Provider)
    Thread(target=port.serve_forever, daemon=True).start()
    print(port.server_address[1], flush=True)
    sys.stdin.read()


@contextmanager
def compute_service(engine: str) -> Generator[Callable[..., HttpCompute]]:
    """The process; what is called makes a client, of a provider that fails at one question if it is named."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.compute_service", engine],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        def client(question: str = "", how: str = "", key: str | None = KEY) -> HttpCompute:
            path = f"{question.replace('/', '-')}:{how}".replace(" ", "%20") if how else ""
            return HttpCompute(f"http://127.0.0.1:{port}/{path}", key)

        try:
            yield client
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


if __name__ == "__main__":
    main(*sys.argv[1:])
