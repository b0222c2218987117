"""Why a rule held, or did not: which line of which helper, and with what values, down to where it was decided."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.engines.syntax import Node, Path, Source, Tree, nodes, references, static_path, text_of
from safebox.firewall.policytools.anatomy import UNDEFINED, Anatomy, Statement, Written, statements, text_at
from safebox.firewall.policytools.clipping import clip_at, private_texts
from safebox.firewall.policytools.documents import is_list, is_object, lookup

DEPTH_MAX: Final = 8
"""Helpers within helpers; the pack's deepest way is four."""
_NAMELESS: Final = ("", "_")


class Value(msgspec.Struct, frozen=True):
    """A value that a line refers to, clipped. `absent` where there is none."""

    path: str
    value: Any
    absent: bool = False


class Line(msgspec.Struct, frozen=True):
    """One line of policy, as it went: its text and values, and the lines of helpers it went so because of."""

    file: str
    line: int
    text: str
    holds: bool
    values: tuple[Value, ...]
    because: tuple[Line, ...] = ()
    note: str = ""


class Tracer:
    """Follows rules to the lines that decided.

    Args:
        anatomy: the bundle and the input.
    """

    def __init__(self, anatomy: Anatomy) -> None:
        self._anatomy = anatomy
        self._open: list[tuple[Path, str]] = []
        self._private = frozenset(private_texts(anatomy.input))

    def fired(self, written: Written) -> tuple[Line, ...] | None:
        """The lines of a rule without arguments that holds; None if it doesn't."""
        for body in written.rule.bodies:
            lines = statements(written.source, body)
            if self._held(written.source, lines, {}) == len(lines):
                return tuple(self._line(written, each, {}, holds=True) for each in lines)
        return None if written.rule.bodies else ()

    def _held(self, source: Source, lines: Sequence[Statement], bound: Mapping[str, Any]) -> int:
        """How many statements of a body hold, from the first on."""
        bodies = ["\n".join(f"\t{each.text}" for each in lines[:count]) for count in range(1, len(lines) + 1)]
        held = self._anatomy.holds(source, bodies, bound)
        return held.index(False) if False in held else len(held)

    def _line(
        self, written: Written, statement: Statement, bound: Mapping[str, Any], *, holds: bool, note: str = ""
    ) -> Line:
        because: list[Line] = []
        if (statement.kind == "NotExpr") == holds:
            because = list(self._failures(written.source, statement.tree, bound))
        if statement.kind == "Every" and not holds:
            because = [*self._failing_member(written, statement, bound)]
        return Line(
            file=written.file,
            line=statement.line,
            text=" ".join(statement.text.split()),
            holds=holds,
            values=tuple(self._values(written.source, statement.tree, bound)),
            because=tuple(because),
            note=note,
        )

    def _failures(self, source: Source, tree: Tree, bound: Mapping[str, Any]) -> Iterator[Line]:
        """Of each rule an expression refers to: the line of each of its definitions that did not hold."""
        for path, arguments in self._referred(source, tree):
            given = self._anatomy.values(source, arguments, bound) if arguments else []
            if UNDEFINED in given:  # nothing was called; what is absent shows among the values
                continue
            mark = path, json.dumps(given)
            if mark in self._open or len(self._open) >= DEPTH_MAX:
                continue
            self._open.append(mark)
            for written in self._anatomy.at(path):
                yield from self._failure(written, given)
            self._open.pop()

    def _referred(self, source: Source, tree: Tree) -> Iterator[tuple[Path, list[str]]]:
        """Full path and arguments' texts of each rule an expression refers to."""
        called: set[Path] = set()
        for node in nodes(tree):
            if (call := node.get("Call")) is not None:
                path = source.resolve(static_path(call["fcn"]))
                called.add(path)
                yield path, [_text(source, argument) for argument in call["params"]]
        for reference in references(tree):
            path = source.resolve(reference.path)
            if path[0] == "data" and path not in called and not reference.called:
                called.add(path)
                yield path, []

    def _failure(self, written: Written, given: Sequence[Any]) -> Iterator[Line]:
        bound = _bind(written, given)
        if bound is None or written.rule.kind == "default":
            return
        for body in written.rule.bodies:
            lines = statements(written.source, body)
            held = self._held(written.source, lines, bound)
            if held < len(lines):
                yield self._line(written, lines[held], bound, holds=False)

    def _failing_member(self, written: Written, statement: Statement, bound: Mapping[str, Any]) -> Iterator[Line]:
        """Of `every … in … { … }`: the first member for which a line doesn't hold, and that line."""
        tree: Node = statement.tree
        name, key = (text_at(written.source, tree[part]) if tree[part] else "" for part in ("value", "key"))
        domain = _text(written.source, tree["domain"])
        (members,) = self._anatomy.values(written.source, [domain], bound)
        lines = statements(written.source, tree["query"])
        for index, member in _members(members):
            inner = {
                **bound,
                **{each: value for each, value in ((name, member), (key, index)) if each not in _NAMELESS},
            }
            held = self._held(written.source, lines, inner)
            if held < len(lines):
                note = f"for {domain}[{json.dumps(index)}]"
                yield self._line(written, lines[held], inner, holds=False, note=note)
                return

    def _values(self, source: Source, tree: Tree, bound: Mapping[str, Any]) -> Iterator[Value]:
        """The values of what a statement refers to: input, data, and variables that are set."""
        seen: set[Path] = set()
        for reference in references(tree):
            path = reference.path if reference.path[0] in bound else source.resolve(reference.path)
            if path in seen:
                continue
            seen.add(path)
            if (root := self._root(path, bound)) is not None:
                there, value = lookup(root, path[1:])
                yield Value(".".join(path), self._shown(path, value) if there else None, not there)

    def _shown(self, path: Path, value: Any) -> Any:
        """A value, clipped. A private text stays one when it is handed to a function."""
        handed = isinstance(value, str) and value in self._private
        return clip_at(("body",), value) if handed else clip_at(path, value)

    def _root(self, path: Path, bound: Mapping[str, Any]) -> Any:
        if path[0] in bound:
            return bound[path[0]]
        if path[0] == "input":
            return self._anatomy.input
        return self._anatomy.data if path[:2] == ("data", "data") else None


def _bind(written: Written, given: Sequence[Any]) -> dict[str, Any] | None:
    """The arguments of a function by name; None if this definition isn't about such arguments."""
    head: Node = written.rule.tree.get("head", {}).get("Func", {})
    arguments: list[Node] = head.get("args", [])
    if len(arguments) != len(given):
        return None
    bound: dict[str, Any] = {}
    for argument, value in zip(arguments, given, strict=True):
        literal, path = text_of(argument), static_path(argument)
        if literal is not None and literal != value:
            return None
        bound |= {path[0]: value} if len(path) == 1 and path[0] not in _NAMELESS else {}
    return bound


def _members(value: Any) -> list[tuple[Any, Any]]:
    if is_object(value):
        return list(value.items())
    return list(enumerate(value)) if is_list(value) else []


def _text(source: Source, tree: Node) -> str:
    """The text of an expression. The parser doesn't say where an object begins, so that is put together again."""
    ((kind, inner),) = tree.items()
    if kind == "Object":
        fields = (f"{_text(source, key)}: {_text(source, value)}" for _, key, value in inner["fields"])
        return f"{{{', '.join(fields)}}}"
    return text_at(source, inner["span"])
