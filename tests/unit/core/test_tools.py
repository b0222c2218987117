"""One table of tools: what an agent is offered is what it can ask for, and nothing else."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from safebox.firewall.core.action import canonical
from safebox.firewall.core.money import Amount
from safebox.firewall.core.tools import TOOLS, Caller, Tool, find_tool, parameters_schema
from safebox.firewall.errors import CallerError
from tests.unit.core.asked import ASKED

ALL = {tool.connector for tool in TOOLS.values()}
KEPT_WHOLE = sorted(set(TOOLS) - {"email.send", "inference.chat", "run.start"})
LISTED = sorted(name for name, tool in TOOLS.items() if tool.listed)


@pytest.mark.parametrize("name", LISTED)
def test_the_schema_of_a_tool_is_valid_and_stands_alone(name: str) -> None:
    schema = parameters_schema(TOOLS[name])
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert '"$' not in json.dumps(schema), "no $ref, no $defs"


@pytest.mark.parametrize("name", LISTED)
def test_what_a_schema_admits_is_what_the_tool_reads(name: str) -> None:
    validator: Any = Draft202012Validator(parameters_schema(TOOLS[name]))
    for arguments in ASKED[name]:
        assert validator.is_valid(arguments)
        TOOLS[name].parse(arguments)
    for field in ASKED[name][-1]:
        wrong = ASKED[name][-1] | {field: {"not": "this"}}
        assert not validator.is_valid(wrong)
        with pytest.raises(CallerError):
            TOOLS[name].parse(wrong)


@pytest.mark.parametrize("name", sorted(set(TOOLS) - {"inference.chat"}))
@pytest.mark.parametrize("raw", [None, True, 1, "x", [], [{}], {"unknown": 1}])
def test_arguments_of_another_shape_are_refused(name: str, raw: Any) -> None:
    with pytest.raises(CallerError):
        TOOLS[name].parse(raw)


@pytest.mark.parametrize("raw", [None, True, 1, "x", [], {}, {"unknown": 1}])
def test_a_chat_of_another_shape_is_refused(raw: Any) -> None:
    with pytest.raises(CallerError):
        TOOLS["inference.chat"].parse(raw)


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_an_agent_finds_its_tools_and_not_the_owners(name: str) -> None:
    assert find_tool(name, caller=Caller.OWNER, connectors=ALL) is TOOLS[name]
    if TOOLS[name].caller is Caller.OWNER:
        with pytest.raises(CallerError) as caught:
            find_tool(name, caller=Caller.AGENT, connectors=ALL)
        with pytest.raises(CallerError) as unknown:
            find_tool("no.such", caller=Caller.AGENT, connectors=ALL)
        assert caught.value.code == unknown.value.code == "request.unknown_tool"
        assert caught.value.cause.replace(name, "no.such") == unknown.value.cause, "it is told the same"
    else:
        assert find_tool(name, caller=Caller.AGENT, connectors=ALL) is TOOLS[name]


def test_only_the_owner_starts_a_run_and_moves_money_between_itself_and_it() -> None:
    assert {name for name, tool in TOOLS.items() if tool.caller is Caller.OWNER} == {
        "wallet.fund",
        "wallet.sweep",
        "run.start",
    }
    assert not any(tool.listed for tool in TOOLS.values() if tool.caller is Caller.OWNER)


@pytest.mark.parametrize(
    "name", ["", " ", "email", "EMAIL.SEND", "email.send ", "email.send\0", "\u0435mail.send", "x" * 999]
)
def test_a_name_that_is_not_exact_finds_nothing(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        find_tool(name, caller=Caller.OWNER, connectors=ALL)
    assert len(caught.value.cause) < 200


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_tool_without_its_connector_is_no_tool(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        find_tool(name, caller=Caller.OWNER, connectors=ALL - {TOOLS[name].connector})
    assert caught.value.code == "request.unknown_tool"


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_each_tool_says_what_it_does_to_the_world(tool: Tool) -> None:
    assert tool.effects
    assert set(tool.effects) <= {"read", "value", "outward", "release"}
    assert tool.reads_only == (tool.effects == ("read",))
    assert tool.description or not tool.listed
    if tool.queue == "chain" and "value" in tool.effects:
        assert tool.moves_wallet, "a frozen wallet keeps it back"
    if tool.connector == "chain" and "value" in tool.effects:
        assert tool.ordered, "a wallet's nonces are used one after the other"


@pytest.mark.parametrize("name", KEPT_WHOLE)
def test_arguments_are_read_back_from_what_the_ledger_kept(name: str) -> None:
    for asked in ASKED[name]:
        args = TOOLS[name].parse(asked)
        assert TOOLS[name].recall(json.loads(canonical(TOOLS[name].view(args)))) == args


def test_a_view_that_leaves_something_out_is_given_as_it_is() -> None:
    view = json.loads(canonical(TOOLS["email.send"].view(TOOLS["email.send"].parse(ASKED["email.send"][-1]))))
    assert TOOLS["email.send"].recall(view) == view


def test_the_owners_amounts_are_values_already() -> None:
    amount = Amount(5, "ETH")
    assert TOOLS["wallet.fund"].parse({"to": "0x" + "11" * 20, "amount": amount}).amount is amount
