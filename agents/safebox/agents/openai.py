"""The firewall's tools as OpenAI functions, and a small loop that lets a model use them.

    tools = FunctionTools()
    talk = run_conversation(OpenAI(), model, messages, tools)

The OpenAI SDK is imported for its types alone, so the caller's version of it is the one used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from safebox.agents.client import Client, Tool
from safebox.agents.errors import BAD_ARGUMENTS, BadRequest
from safebox.agents.functions import (
    LocalFunction,
    ToolText,
    answer_function,
    function_name,
    refusal,
    tools_by_function,
)

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import (
        ChatCompletionMessageParam,
        ChatCompletionMessageToolCallUnion,
        ChatCompletionToolMessageParam,
        ChatCompletionToolUnionParam,
    )

MAX_TURNS = 40  # a longer conversation has lost its thread, and every turn pays for all before it
MAX_COMPLETION_TOKENS = 2048  # the firewall reserves this much of the budget before each answer


@dataclass(frozen=True, slots=True)
class Conversation:
    """All messages; `text` is the model's last word, `finished` is False when something else ended it."""

    messages: list[ChatCompletionMessageParam]
    text: str
    finished: bool


class FunctionTools:
    """The gateway's tools, and optionally functions of the agent's own, for `chat.completions`.

    Args:
        client: The gateway's client; without it, one for the sandbox's own address.
        local: Functions that run in the agent's own process.

    Raises:
        ToolError: The gateway's list could not be read.
        ValueError: Two functions would have the same name.
    """

    def __init__(self, client: Client | None = None, *, local: Sequence[LocalFunction] = ()) -> None:
        self._client = client or Client()
        self._tools = tools_by_function(self._client.tools())
        self._local = {function_name(function.name): function for function in local}
        both = self._tools.keys() & self._local.keys()
        if both or len(self._local) != len(local):
            raise ValueError(f"functions with the same name: {sorted(both) or [item.name for item in local]}")

    @property
    def definitions(self) -> list[ChatCompletionToolUnionParam]:
        """The value for `tools=` of a chat completion."""
        offered: dict[str, Tool | LocalFunction] = {**self._tools, **self._local}
        return [
            {
                "type": "function",
                "function": {"name": name, "description": item.description, "parameters": item.parameters},
            }
            for name, item in offered.items()
        ]

    def dispatch(self, tool_call: ChatCompletionMessageToolCallUnion) -> ChatCompletionToolMessageParam:
        """Run what the model asked for and return the message that answers it; refusals are text, too."""
        if tool_call.type == "function":
            name, arguments = tool_call.function.name, tool_call.function.arguments
            answer = answer_function(self._client, self._tools, self._local, name, arguments)
        else:
            answer = _not_a_function(tool_call.type)
        return {"role": "tool", "tool_call_id": tool_call.id, "content": answer.text}


def run_conversation(
    openai: OpenAI,
    model: str,
    messages: Sequence[ChatCompletionMessageParam],
    tools: FunctionTools,
    *,
    max_turns: int = MAX_TURNS,
    max_completion_tokens: int = MAX_COMPLETION_TOKENS,
    watch: Callable[[ChatCompletionMessageParam], object] = lambda _message: None,
) -> Conversation:
    """Let the model call tools until it only talks, or until the turn limit; `watch` sees each new message.

    Raises:
        openai.OpenAIError: The inference gateway refused or was not reached.
    """
    talk = list(messages)
    text = ""
    for _ in range(max_turns):
        answer = openai.chat.completions.create(
            model=model,
            messages=talk,
            tools=tools.definitions,
            max_completion_tokens=max_completion_tokens,
        )
        if not answer.choices:  # an upstream that answers nothing; there is no turn to add
            break
        message = answer.choices[0].message
        text = message.content or ""
        talk.append(cast("ChatCompletionMessageParam", message.model_dump(exclude_none=True)))
        watch(talk[-1])
        if not message.tool_calls:
            return Conversation(talk, text, finished=True)
        for call in message.tool_calls:
            talk.append(tools.dispatch(call))
            watch(talk[-1])
    return Conversation(talk, text, finished=False)


def _not_a_function(kind: str) -> ToolText:
    return refusal(BadRequest(BAD_ARGUMENTS, f"only functions can be called here, not {kind!r} tools"))
