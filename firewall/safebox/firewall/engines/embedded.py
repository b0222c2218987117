"""The embedded engine: Rego compiled once, run in this process.

The policy is compiled to a program for the virtual machine of regorus, several times faster than its interpreter and,
unlike it, bounded: a decision that needs more than 25,000 instructions is stopped, so no input holds the firewall up.
What remains unbounded (the compiler, a stack overflow) is found out in a child process before (`validate`); where only
one input in a million does it (an instruction may be a builtin over megabytes), the deadline ends this process.

Rule 1: one engine belongs to the thread that made it.
Rule 2: whatever the machine does but answer (error, panic, nothing, another shape) is `PolicyUnavailable`.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

from safebox.firewall.core.decision import Answer, parse_answer
from safebox.firewall.engines.bundle import Bundle
from safebox.firewall.engines.machine import Machine, Program, compile_program, new_machine, read_program
from safebox.firewall.errors import PolicyUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from safebox.firewall.engines.syntax import Source
    from safebox.firewall.ports import EngineHealth

ENTRYPOINT: Final = "data.safebox.main.decision"
INPUT_BYTES_MAX: Final = 16_777_216
"""Above the largest request of any gateway; while the machine reads it (2 ms a megabyte) nothing else runs."""
_UNDEFINED: Final = '"<undefined>"'
PANICS: Final = "pyo3_runtime"
"""The module of `PanicException`, which can't be imported and is no `Exception`."""


class _Here(threading.local):
    """What a thread's engines left behind when another thread collected them; freed only where it was made."""

    def __init__(self) -> None:
        self.left: list[object] = []


_HERE: Final = _Here()


class EmbeddedEngine:
    """Decides by a bundle, in the thread that made it.

    Args:
        bundle: judges.
        deadline: the context of each evaluation; ends the process if that doesn't come back.
        program: the bundle as it was compiled before (`compile_bundle`).

    Raises:
        PolicyUnavailable: if the bundle can't be compiled.
    """

    def __init__(
        self, bundle: Bundle, deadline: AbstractContextManager[None] | None = None, *, program: Program | None = None
    ) -> None:
        self._bundle = bundle
        self._deadline = deadline or nullcontext()
        self._thread = threading.get_ident()
        self._left = _HERE.left
        self._left.clear()
        self._program = program or compile_bundle(bundle)
        self._machine = self._fresh_machine()

    @property
    def bundle(self) -> str:
        """The digest of the bundle in force."""
        return self._bundle.digest

    def health(self) -> EngineHealth:
        """Ready: an engine that can't be made doesn't exist."""
        from safebox.firewall.ports import EngineHealth  # heavy, and the child that checks a bundle has no use for it

        return EngineHealth(True, f"policy {self.bundle}")

    async def decide(self, document: bytes) -> Answer:
        """Judge one policy input; see `answer`."""
        return self.answer(document)

    def answer(self, document: bytes) -> Answer:
        """Judge one policy input, given as JSON.

        Raises:
            PolicyUnavailable: for everything that is not exactly an answer.
        """
        if len(document) > INPUT_BYTES_MAX:
            raise PolicyUnavailable("the policy input is too large", kind="input")
        if threading.get_ident() != self._thread:
            raise PolicyUnavailable("an engine was used outside its thread", kind="thread")
        try:
            text = document.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolicyUnavailable("the policy input is not UTF-8", kind="input") from error
        return parse_answer(self._evaluate(text))

    def _evaluate(self, text: str) -> str:
        try:
            with self._deadline:
                self._machine.set_input_json(text)
                result = self._machine.execute_entry_point(ENTRYPOINT)
        except RuntimeError as error:
            raise PolicyUnavailable(f"policy failed: {first_line(error)}", kind="error") from error
        except BaseException as panic:
            if type(panic).__module__ != PANICS:
                raise
            self._machine = self._fresh_machine()
            raise PolicyUnavailable(f"policy engine panicked: {first_line(panic)}", kind="panic") from panic
        if result == _UNDEFINED:
            raise PolicyUnavailable(f"{ENTRYPOINT} is undefined", kind="undefined")
        return result

    def __del__(self) -> None:
        """Leave what belongs to one thread to it: an engine in a cycle is collected by whichever thread comes along."""
        if threading.get_ident() != self._thread:
            self._left.append(vars(self).copy())

    def _fresh_machine(self) -> Machine:
        machine = new_machine()
        machine.load_program(self._program)
        machine.set_data_json(self._bundle.data)
        return machine


def compile_bundle(bundle: Bundle, sources: Iterable[Source] | None = None) -> Program:
    """Compile a bundle for the machine.

    Args:
        bundle: is compiled.
        sources: its modules, if they are parsed already.

    Raises:
        PolicyUnavailable: if that can't be done.
    """
    from safebox.firewall.engines.guards import guarded  # which need this module
    from safebox.firewall.engines.syntax import parse_module

    parsed = map(parse_module, bundle.modules) if sources is None else sources
    modules = [(source.module.name, guarded(source).text) for source in parsed]
    try:
        return compile_program(bundle.data, modules, [ENTRYPOINT])
    except RuntimeError as error:
        cause = f"the policy does not compile: {first_line(error)}"
        if "not a valid rule path" in cause:
            cause = f"no module has a rule {ENTRYPOINT}, which is what is asked"
        raise PolicyUnavailable(cause, kind="broken") from error
    except BaseException as panic:
        if type(panic).__module__ != PANICS:
            raise
        raise PolicyUnavailable(f"the policy compiler panicked: {first_line(panic)}", kind="panic") from panic


def restore_program(raw: bytes) -> Program:
    """What `compile_bundle` made, dumped by `machine.dump_program` in another process; for this thread alone.

    Raises:
        PolicyUnavailable: if it is anything else.
    """
    try:
        return read_program(raw)
    except RuntimeError as error:
        raise PolicyUnavailable(f"the compiled policy can't be read: {first_line(error)}", kind="broken") from error


def first_line(error: BaseException) -> str:
    """Say a Rust error without its backtrace, on one line."""
    cause = str(error).split("Stack backtrace")[0]
    return " ".join(cause.split())[:500]
