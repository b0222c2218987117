"""The scripted model: an OpenAI-compatible server that is no LLM and plays a playbook.

Run as `python -m safebox.firewall.standins.model --playbooks DIR [--playbooks DIR ...]`. It keeps no state:
everything it says is a function of the request's `messages` and of the playbook, so a conversation can be
repeated exactly.

Which playbook: model `scripted:NAME` in the request, else a marker `[playbook: NAME]` in the first system
or developer message that has one, else `default`. NAME is `[a-z0-9][a-z0-9_-]*`. In each folder, in order,
these are tried: `NAME.toml`, `NAME.json`, `NAME/playbook.toml`, `NAME/playbook.json`. An unknown one is
HTTP 404 with the names tried. Files are read for every request: edit and go on. Unknown keys are HTTP 400
`playbook_error`, never ignored.

The file (TOML, or JSON with the same keys)::

    title = "Pays the invoice that is listed"     # optional

    [[step]]                                      # one answer of the model
    say = "I will look at the inbox."             # text (optional)
    call = [ { tool = "email_list", arguments = {} } ]

    [[step]]
    when = { tool = "email_list", contains = "Invoice" }
    capture = { mail = { path = "messages.0.id" } }
    call = [ { tool = "email_read", arguments = { id = "{{capture.mail}}" } } ]

    [[step]]
    when = { tool = "email_read", regex = "pay (?P<sum>[0-9.]+ ETH) to (?P<payee>0x[0-9a-fA-F]{40})" }
    call = [{ tool = "wallet_transfer", arguments = { to = "{{capture.payee}}", amount = "{{capture.sum}}"} }]

    [[step]]
    when = { tool = "wallet_transfer", contains = "denied" }
    say = "The firewall said no: {{result.json.reasons.0.code}}."

Which step: the turn number is the number of assistant messages already in `messages`. Steps are tried in
file order; the first one that is unused in this conversation and whose conditions all hold is played. A
step is used at most once in a conversation unless it says `repeat = true`, so a plain list of steps is a
linear script. What is used up and captured is found by replaying the conversation from its first assistant
message. When no step is left the text is "(the playbook has no step for this)" and the header
`X-Safebox-Playbook` ends in "exhausted".

`when`: all given keys must hold, all are optional.
    - `turn`: the turn number equals it (0: no assistant message yet).
    - `tool`: the last message is a result of this tool (the name as called).
    - `role`: the last message's role.
    - `contains`, `lacks`: the text does, does not contain it (case-sensitive).
    - `regex`: the text has a match (`re.search`, DOTALL); named groups become captures.
    - `from`: the text those three look at: "result" (last tool result), "user" (last user message), "task"
      (first user message), "system" (all system and developer messages), "last" (last message; the
      default).

Further keys of a step: `capture`, `say`, `call`, `repeat`; `finish` (another finish_reason); `delay_ms`
(wait before the answer); `error = { status = 429, message = "..." }` (answer this HTTP error; it repeats,
as nothing is kept); `break_after = N` (with stream: cut the connection after N chunks); `name` (for the
reader). `capture = { NAME = { path = "a.0.b" } }` takes a value out of the last tool result's JSON, `{
regex = "...", from = "user" }` takes group 1 or the whole match of a text. A capture that finds nothing
makes the step not hold.
`call`: one or several parallel tool calls; `arguments_text = "{broken"` in place of `arguments` is sent
byte for byte. Tool names are sent as written, offered or not (models make things up, too).

Templates, in `say` and in every string inside `arguments`: `{{capture.NAME}}`, `{{result.text}}`,
`{{result.json.a.0.b}}` (last tool result), `{{results.0.json.a}}`, `{{results.0.text}}` (results to the
last assistant message, in order), `{{user.text}}`, `{{task.text}}`, `{{system.text}}`, `{{turn}}`. A string
that is one template keeps the value's JSON type, else values that are no strings go in as compact JSON. A
template that finds nothing is HTTP 400 `playbook_error`.

Every answer says what it is: `"model": "scripted (playbook, not an LLM)"`, `"system_fingerprint":
"not-an-llm"`, header `X-Safebox-Standin`. Tool call ids are `call_TURN_INDEX`. usage is ceil(bytes / 4) of
the compact JSON of messages and tools, and of text and arguments, at least 1 each. A text longer than
max_tokens is cut there with finish_reason "length".
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from safebox.firewall.standins import playbook
from safebox.firewall.standins.lifeline import Lifeline, announce, banner

MODEL_LABEL = "scripted (playbook, not an LLM)"
FINGERPRINT = "not-an-llm"
STANDIN_HEADER = {"X-Safebox-Standin": "model (scripted playbook, not an LLM)"}
MAX_BODY_BYTES = 8 * 1024 * 1024
"""More than any conversation an example holds; a larger request is refused."""
BYTES_PER_TOKEN = 4
STREAM_PIECE_CHARACTERS = 16
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_MARKER = re.compile(r"\[playbook:\s*([a-z0-9][a-z0-9_-]*)\s*\]")


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class ChatRequest(msgspec.Struct, frozen=True):
    """The part of a chat completions request that the scripted model looks at."""

    model: str
    messages: list[Any]
    tools: list[Any] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class _UnknownPlaybookError(Exception):
    """No such playbook."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """One complete answer, before it is written as JSON or as a stream."""

    identity: str
    text: str
    calls: tuple[playbook.PlannedCall, ...]
    finish: str
    usage: dict[str, int]


class Shelf:
    """The folders with playbooks."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def names(self) -> list[str]:
        """All playbooks there are, sorted."""
        found: set[str] = set()
        for folder in self._folders:
            found |= {path.stem for suffix in ("toml", "json") for path in folder.glob(f"*.{suffix}")}
            found |= {path.parent.name for suffix in ("toml", "json") for path in folder.glob(f"*/playbook.{suffix}")}
        return sorted(name for name in found if _NAME.fullmatch(name))

    def read(self, name: str) -> playbook.Playbook:
        """Read one playbook.

        Raises:
            PlaybookError: The file can't be used.
        """
        paths = [folder / tail for folder in self._folders for tail in _spellings(name)]
        path = next((one for one in paths if one.is_file()), None)
        if path is None:
            raise _UnknownPlaybookError(f"no playbook {name!r}; there are: {', '.join(self.names()) or 'none'}")
        content = path.read_bytes()
        try:
            document = msgspec.json.decode(content) if path.suffix == ".json" else tomllib.loads(content.decode())
        except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise playbook.PlaybookError(f"{path}: {error}") from error
        return playbook.parse(document)


class ModelServer:
    """Answers chat completions requests out of playbooks."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def app(self) -> web.Application:
        """The web application with its routes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _models(self, _: web.Request) -> web.Response:
        names = ["scripted", *(f"scripted:{name}" for name in self._shelf.names())]
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "safebox-standin"} for name in names]
        return _json(200, {"object": "list", "data": listed})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = msgspec.json.decode(await request.read(), type=ChatRequest)
            messages = msgspec.convert(body.messages, list[playbook.Message])
            name = _playbook_name(body.model, messages)
            answer = playbook.play(self._shelf.read(name), messages)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _error(400, "invalid_request_error", str(error))
        except playbook.PlaybookError as error:
            return _error(400, "playbook_error", str(error))
        except _UnknownPlaybookError as error:
            return _error(404, "playbook_error", str(error))
        await asyncio.sleep(answer.step.delay_ms / 1000)
        if answer.step.error is not None:
            return _error(answer.step.error.status, "playbook_step", answer.step.error.message)
        headers = {**STANDIN_HEADER, "X-Safebox-Playbook": f"{name} exhausted" if answer.exhausted else name}
        reply = _reply(body, answer)
        if body.stream:
            return await _stream(request, body, reply, answer.step.break_after, headers)
        return _json(200, _completion(reply), headers)


def _spellings(name: str) -> list[str]:
    return [f"{name}.toml", f"{name}.json", f"{name}/playbook.toml", f"{name}/playbook.json"]


def _playbook_name(model: str, messages: list[playbook.Message]) -> str:
    family, _, name = model.partition(":")
    if family != "scripted":
        raise _UnknownPlaybookError(f"no model {model!r}: this server is no LLM and only plays `scripted` playbooks")
    if name:
        if not _NAME.fullmatch(name):
            raise _UnknownPlaybookError(f"{name!r} is no playbook name")
        return name
    texts = (message.text for message in messages if message.role in ("system", "developer"))
    markers = (_MARKER.search(text) for text in texts)
    return next((marker.group(1) for marker in markers if marker), "default")


def _tokens(size: int) -> int:
    return max(1, -(-size // BYTES_PER_TOKEN))


def _reply(body: ChatRequest, answer: playbook.Answer) -> _Reply:
    finish = answer.step.finish or ("tool_calls" if answer.calls else "stop")
    limit = body.max_completion_tokens or body.max_tokens
    text = answer.text
    if limit is not None and len(text.encode()) > limit * BYTES_PER_TOKEN:
        text = text.encode()[: limit * BYTES_PER_TOKEN].decode(errors="ignore")
        finish = "length"
    written = len(text.encode()) + sum(len(call.arguments.encode()) for call in answer.calls)
    prompt = _tokens(len(msgspec.json.encode([body.messages, body.tools or []])))
    completion = _tokens(written)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    turn = sum(1 for one in body.messages if isinstance(one, dict) and one.get("role") == "assistant")  # pyright: ignore[reportUnknownMemberType]
    return _Reply(f"chatcmpl-scripted-{turn}", text, answer.calls, finish, usage)


def _envelope(reply: _Reply, kind: str) -> dict[str, object]:
    return {
        "id": reply.identity,
        "object": kind,
        "created": int(time.time()),
        "model": MODEL_LABEL,
        "system_fingerprint": FINGERPRINT,
    }


def _completion(reply: _Reply) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}
            for call in reply.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish}
    return {**_envelope(reply, "chat.completion"), "choices": [choice], "usage": reply.usage}


def _deltas(reply: _Reply) -> Iterator[tuple[dict[str, object], str | None]]:
    yield {"role": "assistant", "content": ""}, None
    for piece in playbook.pieces(reply.text, STREAM_PIECE_CHARACTERS):
        yield {"content": piece}, None
    for index, call in enumerate(reply.calls):
        function: dict[str, str] = {"name": call.tool, "arguments": ""}
        yield (
            {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]},
            None,
        )
        for piece in playbook.pieces(call.arguments, STREAM_PIECE_CHARACTERS):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, reply.finish


def _chunks(body: ChatRequest, reply: _Reply) -> Iterator[dict[str, object]]:
    envelope = _envelope(reply, "chat.completion.chunk")
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    if with_usage:
        envelope["usage"] = None
    for delta, finish in _deltas(reply):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield {**envelope, "choices": [choice]}
    if with_usage:
        yield {**envelope, "choices": [], "usage": reply.usage}


async def _stream(
    request: web.Request, body: ChatRequest, reply: _Reply, break_after: int | None, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for number, chunk in enumerate(_chunks(body, reply)):
        if number == break_after:
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _json(status: int, document: object, headers: dict[str, str] = STANDIN_HEADER) -> web.Response:
    content = msgspec.json.encode(document)
    return web.Response(status=status, body=content, content_type="application/json", headers=headers)


def _error(status: int, kind: str, message: str) -> web.Response:
    return _json(status, {"error": {"message": message, "type": kind, "param": None, "code": None}})


async def _serve(folders: list[Path], port: int) -> None:
    lifeline = Lifeline()
    runner = web.AppRunner(ModelServer(Shelf(folders)).app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=1)
    await site.start()
    banner("safebox scripted model: a stand-in that plays playbooks, not an LLM")
    announce(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    await lifeline.ended()
    await runner.cleanup()


def main() -> None:
    """Run the scripted model until standard input closes."""
    parser = argparse.ArgumentParser(prog="safebox.firewall.standins.model", description="Scripted model (no LLM).")
    parser.add_argument("--state", type=Path, help="accepted like the other stand-ins do; nothing is kept there")
    parser.add_argument("--playbooks", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(_serve(options.playbooks, options.port))


if __name__ == "__main__":
    main()
