"""Tools as function definitions for models, and their answers as text; shared by the framework adapters.

Model APIs allow letters, digits, `_` and `-` in a function's name, so `email.send`
is offered as `email__send`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from safebox.agents.client import Client, Tool
from safebox.agents.errors import BAD_ARGUMENTS, UNKNOWN_TOOL, BadRequest, ToolError
from safebox.agents.jsontext import parse

Arguments = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """A function of the agent's own process that its model may call; the firewall has no part in it."""

    name: str
    description: str
    parameters: dict[str, object]
    run: Callable[[Arguments], object]


@dataclass(frozen=True, slots=True)
class ToolText:
    """What a tool answers its model; `ok` is False for every kind of refusal and failure."""

    text: str
    ok: bool


def function_name(tool: str) -> str:
    """Return the name under which models see a tool."""
    return tool.replace(".", "__")


def tools_by_function(tools: Sequence[Tool]) -> dict[str, Tool]:
    """Index tools by the name models see.

    Raises:
        ValueError: Two tools would have the same name there.
    """
    index: dict[str, Tool] = {}
    for tool in tools:
        name = function_name(tool.name)
        if name in index:
            raise ValueError(f"{index[name].name!r} and {tool.name!r} would both be offered as {name!r}")
        index[name] = tool
    return index


def answer_call(client: Client, tool: str, arguments: Arguments) -> ToolText:
    """Call a tool and put whatever came of it into text for the model."""
    try:
        return ToolText(_json(client.call(tool, arguments).result), ok=True)
    except ToolError as error:
        return refusal(error)


def refusal(error: ToolError) -> ToolText:
    """Return what a model is told instead of a result."""
    return ToolText(_json(error.document()), ok=False)


def answer_function(
    client: Client,
    tools: Mapping[str, Tool],
    local: Mapping[str, LocalFunction],
    name: str,
    arguments_text: str,
) -> ToolText:
    """Run the function a model named, with the arguments as it wrote them; mistakes come back as text."""
    try:
        arguments = _parse(arguments_text)
    except ValueError as error:
        return refusal(BadRequest(BAD_ARGUMENTS, f"the arguments of {name} are not a JSON object: {error}"))
    if name in local:
        return ToolText(_json(local[name].run(arguments)), ok=True)
    if name in tools:
        return answer_call(client, tools[name].name, arguments)
    known = ", ".join(sorted([*tools, *local]))
    return refusal(BadRequest(UNKNOWN_TOOL, f"there is no tool {name!r}; there are: {known}"))


def _parse(text: str) -> dict[str, object]:
    value = parse(text or "{}")
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}")  # noqa: TRY004 - a mistake of the model, not of a caller
    return cast("dict[str, object]", value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
