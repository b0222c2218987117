"""`wallet.quote` as agents meet it: by HTTP, the client, LangChain and OpenAI, down to a chain and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from langchain_core.messages import ToolMessage
from openai.types.chat.chat_completion_message_function_tool_call import (
    ChatCompletionMessageFunctionToolCall,
    Function,
)

from safebox.agents import BadRequest, Client, Denied, EffectFailed, Toolbox
from safebox.agents.langchain import SafeboxToolkit
from safebox.agents.openai import FunctionTools
from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Status
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.keystore import Keystore
from tests.integration.chain_nodes import funded
from tests.integration.money import ETHER, PAYEE, Money
from tests.twin_desk import Served, TwinDesk, serving

KEY: Final = b"\x65" * 32
STRANGER: Final = "0x52908400098527886E0F7030069857D2E4169EE7"
FIELDS: Final = {"to", "amount", "gas", "max_fee_per_gas", "max_priority_fee_per_gas", "nonce"}
ASKED: Final[dict[str, object]] = {"to": PAYEE, "amount": "0.1 ETH"}


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), Keystore(KEY).owner_address) as url:
        yield url


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def money(url: str, engine: EmbeddedEngine) -> AsyncIterator[Money]:
    money = Money(url, KEY, engine=engine, receipt_seconds=10)
    await money.open()
    yield money
    await money.close()


@pytest.fixture
async def served(money: Money) -> AsyncIterator[Served]:
    desk = TwinDesk(views={money.name: money.run.view}, answer=money.pipeline.handle)
    async with serving(desk) as served:
        yield served


@pytest.fixture
def client(money: Money, served: Served) -> Client:
    return Client(served.url("tools", money.name), attempts=1)


async def test_a_program_asks_first_and_pays_no_more_than_it_was_told(money: Money, client: Client) -> None:
    box = Toolbox(client)
    cost = await asyncio.to_thread(box.quote, PAYEE, "0.1 ETH")
    assert (cost.amount, cost.enough, cost.reverts, cost.revert_reason) == (ETHER // 10, True, False, None)
    assert cost.balance == await money.balance(money.address)
    assert cost.fee is not None
    assert cost.total is not None
    assert cost.total == cost.amount + cost.fee
    await asyncio.to_thread(box.transfer, PAYEE, "0.1 ETH")
    assert cost.balance - await money.balance(money.address) <= cost.total


async def test_a_quote_is_no_promise_and_no_verdict(client: Client) -> None:
    box = Toolbox(client)
    assert (await asyncio.to_thread(box.quote, STRANGER, "0.1 ETH")).enough
    with pytest.raises(Denied, match=r"transfer\.payee_not_listed"):
        await asyncio.to_thread(box.transfer, STRANGER, "0.1 ETH")


async def test_langchain_offers_it_and_answers_with_its_sums(client: Client) -> None:
    def use() -> tuple[set[str], ToolMessage]:
        tools = {tool.name: tool for tool in SafeboxToolkit(client=client).get_tools()}
        quote = tools["wallet__quote"]
        message = quote.invoke({"type": "tool_call", "id": "call-1", "name": quote.name, "args": ASKED})
        assert isinstance(message, ToolMessage)
        return set(quote.args), message

    fields, message = await asyncio.to_thread(use)
    assert fields == FIELDS
    assert (message.status, json.loads(str(message.content))["amount_text"]) == ("success", "0.1 ETH")


async def test_openai_functions_offer_it_and_tell_a_mistake_as_text(client: Client) -> None:
    def use(arguments: dict[str, object]) -> tuple[bool, dict[str, object]]:
        tools = FunctionTools(client)
        call = Function(name="wallet__quote", arguments=json.dumps(arguments))
        answer = tools.dispatch(ChatCompletionMessageFunctionToolCall(id="a", type="function", function=call))
        offered = {each["function"]["name"] for each in tools.definitions if each["type"] == "function"}
        return "wallet__quote" in offered, json.loads(str(answer["content"]))

    offered, answer = await asyncio.to_thread(use, ASKED)
    assert offered
    assert answer["enough"] is True
    for wrong in ({"to": "acme"}, {"amount": "-1 wei"}, {"amount": "1 USDC"}, {"amount": f"{2**256} wei"}):
        _, answer = await asyncio.to_thread(use, ASKED | wrong)
        assert answer["code"] == "request.invalid"


async def test_a_client_is_told_what_is_wrong_by_the_kind_of_error(client: Client) -> None:
    with pytest.raises(BadRequest):
        await asyncio.to_thread(client.call, "wallet.quote", ASKED | {"token": STRANGER})
    with pytest.raises(EffectFailed, match="nonce 9"):
        await asyncio.to_thread(client.call, "wallet.quote", ASKED | {"nonce": 9})


async def test_a_site_that_limits_looking_limits_asking_with_it(url: str, tmp_path: Path) -> None:
    limits = tmp_path / "data/limits/data.json"
    limits.parent.mkdir(parents=True)
    limits.write_text('{"rate": {"kinds": {"wallet_read": {"minute": 3}}}}')
    money = Money(url, KEY, engine=EmbeddedEngine(load_bundle([pack_folder(), tmp_path])))
    await money.open()
    looks: list[tuple[str, dict[str, Any]]] = [
        ("wallet.quote", ASKED),
        ("wallet.balance", {}),
        ("wallet.quote", ASKED),
        ("wallet.quote", ASKED),
    ]
    calls = [Call(run=money.name, tool=tool, arguments=arguments) for tool, arguments in looks]
    *done, over = [await money.pipeline.handle(call) for call in calls]
    assert [reply.status for reply in done] == [Status.DONE] * 3
    assert (over.status, over.code, over.result) == (Status.LIMITED, "rate.per_minute", None)
    await money.close()
