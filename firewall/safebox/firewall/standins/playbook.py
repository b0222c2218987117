"""What the scripted model says next: a pure function of a playbook and of the conversation so far.

The file format is documented in `safebox.firewall.standins.model`. Nothing here is stateful: which steps
are used up and what they captured is found by replaying the conversation from its first assistant message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import msgspec

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Source = Literal["result", "user", "task", "system", "last"]

EXHAUSTED_TEXT = "(the playbook has no step for this)"
_TEMPLATE = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")


class PlaybookError(Exception):
    """A playbook that can't be played: unknown key, wrong type, a template that finds nothing."""


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """When a step may be played; every key that is given must hold."""

    turn: int | None = None
    tool: str | None = None
    role: str | None = None
    contains: str | None = None
    lacks: str | None = None
    regex: str | None = None
    source: Source = "last"


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """A value a step keeps for later: by path from the last tool result's JSON, or by regex from a text."""

    path: str | None = None
    regex: str | None = None
    source: Source = "last"


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tool call of a step; `arguments_text` is sent byte for byte in place of `arguments`."""

    tool: str
    arguments: dict[str, Any] = {}
    arguments_text: str | None = None


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An HTTP error a step answers with."""

    status: int
    message: str = "the playbook says so"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of the scripted model."""

    name: str = ""
    when: Condition = Condition()
    capture: dict[str, Capture] = {}
    say: str = ""
    call: list[Call] = []
    repeat: bool = False
    finish: str | None = None
    delay_ms: int = 0
    error: Failure | None = None
    break_after: int | None = None


class Playbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The steps of one scripted conversation."""

    step: list[Step]
    title: str = ""


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _ToolCall(msgspec.Struct, frozen=True):
    id: str = ""
    function: _Function = _Function()


class Message(msgspec.Struct, frozen=True):
    """One message of a chat completions request, as far as playbooks look at it."""

    role: str
    content: Any = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The message's text; of content in parts, the text parts one after another."""
        if isinstance(self.content, str):
            return self.content
        content: object = self.content
        parts = cast("list[object]", content) if isinstance(content, list) else []
        return "".join(_part_text(part) for part in parts)


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A tool call with its final arguments."""

    id: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the scripted model says this time."""

    step: Step
    text: str
    calls: tuple[PlannedCall, ...]
    exhausted: bool = False


def parse(document: object) -> Playbook:
    """Build a playbook from a decoded TOML or JSON document.

    Raises:
        PlaybookError: The document has an unknown key or a wrong type.
    """
    try:
        return msgspec.convert(document, Playbook)
    except msgspec.ValidationError as error:
        raise PlaybookError(str(error)) from error


def play(playbook: Playbook, messages: Sequence[Message]) -> Answer:
    """Find what comes next in this conversation.

    Raises:
        PlaybookError: A template or a regular expression of the step can't be used.
    """
    used: set[int] = set()
    captured: dict[str, Json] = {}
    for index, message in enumerate(messages):
        if message.role == "assistant":
            _choose(playbook, _Scene(messages[:index]), used, captured)
    scene = _Scene(messages)
    step = _choose(playbook, scene, used, captured)
    if step is None:
        return Answer(step=Step(), text=EXHAUSTED_TEXT, calls=(), exhausted=True)
    calls = tuple(
        PlannedCall(f"call_{scene.turn}_{number}", call.tool, _arguments(call, scene, captured))
        for number, call in enumerate(step.call)
    )
    return Answer(step=step, text=_as_text(_fill(step.say, scene, captured)), calls=calls)


class _Scene:
    """The conversation up to one moment, as conditions, captures and templates see it."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self.turn = sum(1 for message in messages if message.role == "assistant")

    @property
    def last(self) -> Message:
        return self._messages[-1] if self._messages else Message(role="")

    @property
    def results(self) -> list[Message]:
        """The tool results that came after the last assistant message, in order."""
        found: list[Message] = []
        for message in reversed(self._messages):
            if message.role == "assistant":
                break
            if message.role == "tool":
                found.insert(0, message)
        return found

    def tool_of(self, message: Message) -> str:
        """The name under which the tool that gave this result was called."""
        for earlier in self._messages:
            for call in earlier.tool_calls or []:
                if call.id == message.tool_call_id:
                    return call.function.name
        return ""

    def text(self, source: Source) -> str:
        roles = {"result": ("tool",), "user": ("user",), "system": ("system", "developer")}
        if source == "last":
            return self.last.text
        if source == "task":
            return next((one.text for one in self._messages if one.role == "user"), "")
        texts = [one.text for one in self._messages if one.role in roles[source]]
        return "\n".join(texts) if source == "system" else (texts[-1] if texts else "")


def _choose(playbook: Playbook, scene: _Scene, used: set[int], captured: dict[str, Json]) -> Step | None:
    for index, step in enumerate(playbook.step):
        if index in used and not step.repeat:
            continue
        found = _holds(step, scene)
        if found is not None:
            used.add(index)
            captured.update(found)
            return step
    return None


def _holds(step: Step, scene: _Scene) -> dict[str, Json] | None:
    """Return what the step captures, or None if it may not be played now."""
    when = step.when
    text = scene.text(when.source)
    refused = (
        (when.turn is not None and when.turn != scene.turn)
        or (when.tool is not None and (scene.last.role != "tool" or scene.tool_of(scene.last) != when.tool))
        or (when.role is not None and when.role != scene.last.role)
        or (when.contains is not None and when.contains not in text)
        or (when.lacks is not None and when.lacks in text)
    )
    match = None if refused or when.regex is None else _search(when.regex, text)
    if refused or (when.regex is not None and match is None):
        return None
    found: dict[str, Json] = dict(match.groupdict()) if match else {}
    for name, capture in step.capture.items():
        try:
            found[name] = _capture(capture, scene)
        except LookupError:
            return None
    return found


def _capture(capture: Capture, scene: _Scene) -> Json:
    if capture.path is not None:
        return _walk(_json_of(scene.text("result")), capture.path.split("."))
    match = _search(capture.regex or "", scene.text(capture.source))
    if match is None:
        raise LookupError
    return match.group(1) if match.re.groups else match.group(0)


def _search(pattern: str, text: str) -> re.Match[str] | None:
    try:
        return re.search(pattern, text, re.DOTALL)
    except re.error as error:
        raise PlaybookError(f"regex {pattern!r}: {error}") from error


def _arguments(call: Call, scene: _Scene, captured: dict[str, Json]) -> str:
    if call.arguments_text is not None:
        return call.arguments_text
    return msgspec.json.encode(_fill_all(call.arguments, scene, captured)).decode()


def _fill_all(value: Json, scene: _Scene, captured: dict[str, Json]) -> Json:
    if isinstance(value, str):
        return _fill(value, scene, captured)
    if isinstance(value, list):
        return [_fill_all(one, scene, captured) for one in value]
    if isinstance(value, dict):
        return {key: _fill_all(one, scene, captured) for key, one in value.items()}
    return value


def _fill(text: str, scene: _Scene, captured: dict[str, Json]) -> Json:
    whole = _TEMPLATE.fullmatch(text)
    if whole:
        return _value(whole.group(1), scene, captured)
    return _TEMPLATE.sub(lambda match: _as_text(_value(match.group(1), scene, captured)), text)


def _value(name: str, scene: _Scene, captured: dict[str, Json]) -> Json:
    head, *path = name.split(".")
    try:
        return _lookup(head, path, scene, captured)
    except LookupError as error:
        raise PlaybookError(f"template {{{{{name}}}}} finds nothing at turn {scene.turn}") from error


def _lookup(head: str, path: list[str], scene: _Scene, captured: dict[str, Json]) -> Json:
    if head == "turn" and not path:
        return scene.turn
    if head == "capture":
        return _walk(cast("Json", captured), path)
    if head == "result":
        return _of_text(scene.text("result"), path)
    if head == "results":
        return _of_text(scene.results[int(path[0])].text, path[1:])
    if head in ("user", "task", "system"):
        return _of_text(scene.text(cast("Source", head)), path)
    raise LookupError(head)


def _of_text(text: str, path: list[str]) -> Json:
    if path == ["text"]:
        return text
    if path[:1] == ["json"]:
        return _walk(_json_of(text), path[1:])
    raise LookupError


def _walk(value: Json, path: Sequence[str]) -> Json:
    for key in path:
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, list) and key.isdigit():
            value = value[int(key)]
        else:
            raise LookupError(key)
    return value


def _json_of(text: str) -> Json:
    try:
        return cast("Json", msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        raise LookupError("no JSON") from error


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _part_text(part: object) -> str:
    text: object = cast("dict[str, object]", part).get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def pieces(text: str, size: int) -> Iterator[str]:
    """Cut a text into the pieces in which it is streamed."""
    for start in range(0, len(text), size):
        yield text[start : start + size]
