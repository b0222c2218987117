"""The LangChain toolkit: tools as the gateway lists them, refusals as text."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from safebox.agents import Client, ToolError
from safebox.agents.langchain import SafeboxToolkit
from tests.unit.agents.gateway_double import TOOLS, GatewayDouble, Reply, error, gateway, ok


def tools_of(server: GatewayDouble) -> dict[str, BaseTool]:
    toolkit = SafeboxToolkit(client=Client(server.url, attempts=1))
    return {tool.name: tool for tool in toolkit.get_tools()}


def invoke(tool: BaseTool, arguments: dict[str, object]) -> ToolMessage:
    message = tool.invoke({"type": "tool_call", "id": "call-1", "name": tool.name, "args": arguments})
    assert isinstance(message, ToolMessage)
    return message


def test_every_listed_tool_is_offered_with_exactly_its_schema() -> None:
    with gateway() as server:
        tools = tools_of(server)
    assert len(tools) == len(TOOLS)
    for entry in TOOLS:
        function = convert_to_openai_tool(tools[str(entry["name"]).replace(".", "__")])["function"]
        assert function["description"] == entry["description"]
        parameters = entry["parameters"]
        assert isinstance(parameters, dict)
        assert function["parameters"]["properties"] == parameters["properties"]


def test_only_some_tools_can_be_offered() -> None:
    with gateway() as server:
        toolkit = SafeboxToolkit(client=Client(server.url), only=frozenset({"email.read"}))
        assert [tool.name for tool in toolkit.get_tools()] == ["email__read"]


def test_the_arguments_arrive_as_the_model_wrote_them() -> None:
    arguments: dict[str, object] = {
        "image": "i",
        "command": ["a", "b"],
        "minutes": 5,
        "name": "n",
        "tool": "t",
    }
    with gateway([ok({"instance": "i-1"})]) as server:
        message = invoke(tools_of(server)["compute__start"], arguments)
    assert server.calls[-1].tool == "compute.start"
    assert server.calls[-1].arguments == arguments
    assert message.status == "success"
    assert json.loads(str(message.content)) == {"instance": "i-1"}


@pytest.mark.parametrize("status", [202, 400, 403, 404, 409, 413, 429, 502, 503, 504])
def test_a_refusal_is_text_with_its_code_and_never_an_exception(status: int) -> None:
    with gateway([error(status, "transfer.payee_not_listed")]) as server:
        message = invoke(tools_of(server)["wallet__transfer"], {"to": "0x", "amount": "1 wei"})
    assert message.status == "error"
    assert json.loads(str(message.content))["code"] == "transfer.payee_not_listed"


async def test_it_works_for_async_agents_too() -> None:
    with gateway([ok({"messages": []})]) as server:
        assert await tools_of(server)["email__list"].ainvoke({}) == '{"messages":[]}'


def test_a_gateway_that_lists_nothing_stops_the_agent_at_its_start() -> None:
    with gateway(listing=Reply(503, {})) as server, pytest.raises(ToolError):
        tools_of(server)
