"""The types of regorus that are used here: the package ships none."""

from __future__ import annotations

from typing import Any, Protocol, cast

import regorus  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

_REGORUS = cast(Any, regorus)


class Program(Protocol):
    """A policy compiled for the virtual machine."""


class Machine(Protocol):
    """The virtual machine. Belongs to the thread that made it; raises RuntimeError, or panics."""

    def load_program(self, program: Program) -> None:
        """Take a program to run."""
        ...

    def set_data_json(self, data_json: str) -> None:
        """Take the data document."""
        ...

    def set_input_json(self, input_json: str) -> None:
        """Take one input document."""
        ...

    def execute_entry_point(self, entry_point: str) -> str:
        """Run to the answer, as JSON; `"<undefined>"` if there is none."""
        ...


class Interpreter(Protocol):
    """The interpreter: parses, evaluates any rule, and knows which lines were evaluated."""

    def add_policy(self, path: str, rego: str) -> str:
        """Parse a module; returns its package."""
        ...

    def add_data_json(self, data: str) -> None:
        """Take a data document."""
        ...

    def set_input_json(self, input: str) -> None:
        """Take one input document."""
        ...

    def eval_rule_as_json(self, rule: str) -> str:
        """Evaluate a rule by its path."""
        ...

    def get_ast_as_json(self) -> str:
        """The syntax trees of all modules."""
        ...

    def set_enable_coverage(self, enable: bool) -> None:
        """Watch which lines are evaluated from now on."""
        ...

    def get_coverage_report_as_json(self) -> str:
        """Which lines were evaluated since."""
        ...

    def set_gather_prints(self, b: bool) -> None:
        """Keep what `print` says instead of writing it to standard error."""
        ...

    def clone(self) -> Interpreter:
        """A copy with the same modules and data."""
        ...


def compile_program(data: str, modules: list[tuple[str, str]], entry_points: list[str]) -> Program:
    """Compile modules (name, text) for the virtual machine."""
    program: Program = _REGORUS.Program.compile_from_modules(data, modules, entry_points)
    return program


def dump_program(program: Program) -> bytes:
    """A compiled policy as bytes, for `read_program`."""
    raw: bytes = cast(Any, program).serialize_binary()
    return raw


def read_program(raw: bytes) -> Program:
    """The program that `dump_program` said.

    Raises:
        RuntimeError: if it is anything else, or of another version of the machine.
    """
    program: Program
    program, partly = _REGORUS.Program.deserialize_binary(raw)
    if partly:
        raise RuntimeError("another version of the machine made this program")
    return program


def new_machine() -> Machine:
    """An empty virtual machine of this thread."""
    machine: Machine = _REGORUS.Rvm()
    return machine


def new_interpreter() -> Interpreter:
    """An empty interpreter of this thread."""
    interpreter: Interpreter = _REGORUS.Engine()
    return interpreter
