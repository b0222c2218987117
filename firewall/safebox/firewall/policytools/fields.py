"""The fields of the policy input, out of its JSON schema: whether what a rule reads can be there at all."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from safebox.firewall.engines.bundle import pack_folder
from safebox.firewall.errors import PolicyUnavailable

Schema = Mapping[str, Any]

SCHEMA_FILE: Final = Path("schemas/input.json")


def read_schema(folder: Path | None = None) -> Schema:
    """Read the schema of a pack; without a folder, of the one that came with safebox.

    Raises:
        PolicyUnavailable: if it isn't there or is no JSON.
    """
    path = (folder or pack_folder()) / SCHEMA_FILE
    try:
        return cast(Schema, json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise PolicyUnavailable(f"{path} can't be read: {error}", kind="unreadable") from error


@cache
def shipped_schema() -> Schema:
    """The schema of the pack that came with safebox, read once."""
    return read_schema()


def missing_field(schema: Schema, path: tuple[str, ...]) -> tuple[str, str] | None:
    """Find the first part of a path that no input has, and the name most like it there is (or nothing).

    Args:
        schema: of the whole input.
        path: without `input`, such as `("facts", "payee", "listed")`; a list's or an open object's parts may be any.
    """
    nodes = [schema]
    for part in path:
        following = [child for node in nodes for child in _children(schema, node, part)]
        if not following:
            names = sorted({name for node in nodes for name in _names(schema, node)})
            return part, next(iter(difflib.get_close_matches(part, names, n=1)), "")
        nodes = following
    return None


def _children(schema: Schema, node: Schema, part: str) -> Iterator[Schema]:
    for kind in _kinds(schema, node):
        properties = kind.get("properties", {})
        if part in properties:
            yield properties[part]
        elif "items" in kind:
            yield kind["items"]
        elif isinstance(kind.get("additionalProperties"), dict):
            yield kind["additionalProperties"]
        elif _is_open(kind):
            yield {}


def _is_open(kind: Schema) -> bool:
    """Whether anything may be in it: nothing is said of its fields, and it isn't a plain value."""
    said = {"properties", "items", "additionalProperties", "enum", "const"} & set(kind)
    return not said and kind.get("type", "object") in {"object", "array"}


def _names(schema: Schema, node: Schema) -> Iterator[str]:
    for kind in _kinds(schema, node):
        yield from kind.get("properties", {})


def _kinds(schema: Schema, node: Schema) -> Iterator[Schema]:
    """Every schema a value here may have, references followed, alternatives and conditions opened."""
    if "$ref" in node:
        yield from _kinds(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
        return
    alternatives = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    for alternative in alternatives:
        yield from _kinds(schema, alternative)
    conditions = [condition["then"] for condition in node.get("allOf", ()) if "then" in condition]
    for condition in conditions:
        yield from _kinds(schema, condition)
    if not alternatives:
        told = {key: value for key, value in node.items() if key != "allOf"}
        yield _without_overruled(told, conditions)


def _without_overruled(node: dict[str, Any], conditions: list[Schema]) -> Schema:
    """The node without what its conditions say more about: `args` is an object, and which one depends on the tool."""
    overruled = {name for condition in conditions for name in condition.get("properties", {})}
    if not overruled:
        return node
    kept = {name: value for name, value in node.get("properties", {}).items() if name not in overruled}
    return {**node, "properties": kept}
