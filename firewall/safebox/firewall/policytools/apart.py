"""Work with foreign policies that is done in a child process: they may end the process that evaluates them.

A module that can be asked so is run as `python -m`, reads its question from standard input as MessagePack, and calls
`answer_apart`.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from safebox.firewall.errors import PolicyUnavailable, SafeboxError

SECONDS_MAX: Final = 120
"""Real time, on a machine under load; what is asked takes a second."""
CPU_SECONDS_MAX: Final = 60
MEMORY_MAX: Final = 4_294_967_296

Question = TypeVar("Question")
Told = TypeVar("Told")


class _Failed(msgspec.Struct, frozen=True, tag="failed"):
    cause: str
    remedy: str


class _Said(msgspec.Struct, frozen=True, tag="said"):
    answer: msgspec.Raw


_REPLY: Final = msgspec.msgpack.Decoder(_Failed | _Said)


def ask_apart(module: str, question: Any, kind: type[Told]) -> Told:
    """Have a module answer a question in a process of its own.

    Args:
        module: the one to run.
        question: of the type it expects.
        kind: the type of its answer.

    Raises:
        PolicyUnavailable: if it could not answer: the policy ended the process, or took too long.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", module],
            input=msgspec.msgpack.encode(question),
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
            env={"LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise PolicyUnavailable(f"the policy took longer than {SECONDS_MAX} s", kind="slow") from error
    if child.returncode == -signal.SIGXCPU:
        raise PolicyUnavailable(f"the policy took more than {CPU_SECONDS_MAX} s of computing", kind="slow")
    if child.returncode:
        raise PolicyUnavailable(f"the policy ended the process that asked it (status {child.returncode})", kind="ended")
    try:
        reply = _REPLY.decode(child.stdout)
        if isinstance(reply, _Failed):
            raise PolicyUnavailable(reply.cause, remedy=reply.remedy)
        return msgspec.msgpack.decode(reply.answer, type=kind)
    except msgspec.MsgspecError as error:
        raise PolicyUnavailable(f"what came of asking the policy can't be read: {error}", kind="ended") from error


def answer_apart(kind: type[Question], answer: Callable[[Question], Any]) -> None:
    """Be the child: read the question, answer it under limits."""
    for limit, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS_MAX),
        (resource.RLIMIT_AS, MEMORY_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most + 1))
    try:
        said = answer(msgspec.msgpack.decode(sys.stdin.buffer.read(), type=kind))
        reply: _Failed | _Said = _Said(msgspec.Raw(msgspec.msgpack.encode(said)))
    except SafeboxError as error:
        reply = _Failed(error.cause, error.remedy)
    sys.stdout.buffer.write(msgspec.msgpack.encode(reply))
