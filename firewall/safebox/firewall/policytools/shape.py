"""The shape of each tool's arguments as Rego, out of the schema: what `safebox/shape/shape.rego` has between its marks.

A check costs a decision least when it is written out for its tool, so it is generated, and a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Node = Mapping[str, Any]

BEGIN: Final = "# Generated from schemas/input.json: begin\n"
END: Final = "# Generated: end\n"
_LEAVES: Final = {"string": "is_string", "integer": "is_number", "boolean": "is_boolean", "null": "is_null"}


def arguments_rego(schema: Node) -> str:
    """Write one clause of `_arguments` for each tool: it holds for exactly the arguments of the schema's shape.

    Types and names are looked at, what a text or number is is not; rules judge that.

    Raises:
        ValueError: if the schema uses a form that is not known here.
    """
    writer = _Writer(schema)
    tools = schema["properties"]["action"]["allOf"]
    return "\n".join(
        writer.clause(tool["if"]["properties"]["tool"]["const"], tool["then"]["properties"]["args"]) for tool in tools
    )


def with_arguments(module: str, schema: Node) -> str:
    """The text of the module with what is generated in it written anew.

    Raises:
        ValueError: if it has no marks.
    """
    before, begin, rest = module.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("there are no marks to write between")
    return f"{before}{begin}{arguments_rego(schema)}\n{end}{after}"


class _Writer:
    def __init__(self, schema: Node) -> None:
        self._schema = schema
        self._amount = schema["$defs"]["amount"]

    def clause(self, tool: str, node: Node) -> str:
        if not node["properties"]:
            return f"_arguments({json.dumps(tool)}, args) if args == {{}}\n"
        lines = self._object("args", node, 1)
        return "\n".join([f"_arguments({json.dumps(tool)}, args) if {{", *lines, "}\n"])

    def _object(self, path: str, node: Node, depth: int) -> Iterator[str]:
        tabs = "\t" * depth
        fields: Node = node["properties"]
        if set(node["required"]) != set(fields):
            raise ValueError(f"{path} may lack a field; every field is always present")
        yield f"{tabs}is_object({path})"
        yield f"{tabs}count({path}) == {len(fields)}"
        for name, field in fields.items():
            yield from self._value(f"{path}.{name}", self._resolve(field), depth)

    def _value(self, path: str, node: Node, depth: int) -> Iterator[str]:
        tabs = "\t" * depth
        if (test := self._test(node)) is not None:
            yield f"{tabs}{test}({path})"
        elif "anyOf" in node:
            yield from self._or_null(path, node, depth)
        elif node.get("type") == "array":
            yield f"{tabs}is_array({path})"
            yield from self._every(path, node["items"], depth)
        elif "properties" in node:
            yield from self._object(path, node, depth)
        elif isinstance(node.get("additionalProperties"), dict):
            yield f"{tabs}is_object({path})"
            yield from self._every(path, node["additionalProperties"], depth)
        else:
            raise ValueError(f"{path} has a form that is not known here")

    def _or_null(self, path: str, node: Node, depth: int) -> Iterator[str]:
        known = [self._resolve(each) for each in node["anyOf"]]
        others = [each for each in known if each.get("type") != "null"]
        if len(others) != 1 or len(known) != 2:  # noqa: PLR2004
            raise ValueError(f"{path} is of more than one type")
        test = self._test(others[0])
        if test in ("is_string", "is_number", "is_boolean", "_amount"):
            yield "\t" * depth + f"_null_or{test.removeprefix('is')}({path})"
        else:
            yield from self._every(f"({{{path}}} - {{null}})", others[0], depth)

    def _every(self, path: str, node: Node, depth: int) -> Iterator[str]:
        each, tabs = f"each{depth}", "\t" * depth
        yield f"{tabs}every {each} in {path} {{"
        yield from self._value(each, self._resolve(node), depth + 1)
        yield f"{tabs}}}"

    def _test(self, node: Node) -> str | None:
        """The function that says all there is to say of a value's shape, if there is one."""
        if node is self._amount:
            return "_amount"
        if "enum" in node or "const" in node:
            values = node.get("enum", [node.get("const")])
            return "is_string" if all(isinstance(value, str) for value in values) else None
        if node.get("type") == "array" and node.get("minItems") == 1 and self._is_text(node["items"]):
            return "_texts"
        return _LEAVES.get(node.get("type", ""))

    def _is_text(self, node: Node) -> bool:
        return self._test(self._resolve(node)) == "is_string"

    def _resolve(self, node: Node) -> Node:
        name: str | None = node.get("$ref")
        return node if name is None else self._schema["$defs"][name.removeprefix("#/$defs/")]
