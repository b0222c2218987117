"""What a transaction does is tried on the chain before it is signed, and held against what it was read to do."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web
from eth_account import Account

from safebox.firewall.connectors.jsonrpc import Node, NodeUnavailable
from safebox.firewall.connectors.simulation import Transaction, simulate
from safebox.firewall.core.decision import Verdict
from safebox.firewall.core.record import Decided
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.simulated import Move, Simulated, unexplained
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.keystore import Keystore
from tests.chain_contracts.contracts import Contract, deploy, send, signed
from tests.integration.chain_nodes import funded
from tests.integration.money import CENT, ETHER, MANDATE, Money

KEY, MAKER = b"\x31" * 32, b"\x32" * 32
OWNER = Keystore(KEY).owner_address
FRIEND, THIEF = "0x" + "22" * 20, str(Account.from_key(MAKER).address)


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), OWNER) as url:
        yield url


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def node(url: str) -> AsyncIterator[Node]:
    node = Node(url)
    if await node.quantity("eth_getBalance", THIEF, "latest") < ETHER:
        await send(node, KEY, THIEF, value=10 * ETHER)
    yield node
    await node.close()


async def _token(node: Node, name: str) -> Contract:
    """A token of somebody else's, of which the owner has 100."""
    arguments = ("US Dollar", "USD", 6, 1000) if name == "Token" else (1000,)
    token = await deploy(node, MAKER, name, *arguments)
    await send(node, MAKER, token.address, token.call("transfer", OWNER, 100))
    return token


def _more(tried: Simulated, *said: Move) -> list[tuple[str, str | None, int]]:
    assert tried.found is not None
    return [(each.kind, each.other, each.units) for each in unexplained(tried.found, said, tried.drops)]


def _pays(token: Contract, units: int) -> Move:
    return Move(kind="token", contract=token.address, other=FRIEND, units=units)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("Token", []),
        ("Greedy", [("token", THIEF, 10)]),
        ("Silent", [("token", None, 90)]),
        ("Grasping", [("allowance", THIEF, 2**256 - 1)]),
    ],
)
async def test_a_token_that_moves_more_than_it_is_told_is_found_out(name: str, more: list[Any], node: Node) -> None:
    token = await _token(node, name)
    asked = Transaction(sender=OWNER, to=token.address, value=0, data=token.call("transfer", FRIEND, 10))
    tried = await simulate(node, asked, [token.address])
    assert (tried.by, tried.reverts) == ("simulate_v1", False)
    assert _more(tried, _pays(token, 10)) == more
    assert ("token", FRIEND, 1) in _more(tried, _pays(token, 9)), "one more than was read is more"
    assert await token.read(node, "balanceOf", OWNER) == 100, "nothing happened"


async def test_calls_in_calls_and_what_they_approve_are_seen(node: Node) -> None:
    token, multicall = await _token(node, "Token"), await deploy(node, MAKER, "Multicall")
    await send(node, KEY, token.address, token.call("approve", multicall.address, 60))
    take = bytes.fromhex(token.call("transferFrom", OWNER, THIEF, 60)[2:])
    asked = Transaction(
        sender=OWNER, to=multicall.address, value=0, data=multicall.call("aggregate3", [(token.address, False, take)])
    )
    assert _more(await simulate(node, asked)) == [("token", THIEF, 60)]


async def test_native_money_that_moves_inside_is_seen_and_what_fails_inside_moves_nothing(node: Node) -> None:
    multicall, refuser = await deploy(node, MAKER, "Multicall"), await deploy(node, MAKER, "Refuser")
    calls = [(FRIEND, False, 3, b""), (refuser.address, True, 4, b"")]
    asked = Transaction(sender=OWNER, to=multicall.address, value=7, data=multicall.call("aggregate3Value", calls))
    tried = await simulate(node, asked)
    assert tried.found == (Move(kind="native", contract=None, other=multicall.address, units=7),)


async def test_what_would_fail_says_why_where_the_node_does(node: Node) -> None:
    token, refuser = await _token(node, "Token"), await deploy(node, MAKER, "Refuser")
    too_much = Transaction(sender=OWNER, to=token.address, value=0, data=token.call("transfer", FRIEND, 101))
    assert (await simulate(node, too_much)).reverts is True
    assert (await simulate(node, Transaction(sender=OWNER, to=refuser.address, value=1))).reverts is True
    poor = Transaction(sender="0x" + "77" * 20, to=FRIEND, value=1)
    assert (await simulate(node, poor)).reverts is True


async def test_a_call_for_too_little_gas_fails_when_it_is_tried(node: Node) -> None:
    token = await _token(node, "Token")
    asked = Transaction(sender=OWNER, to=token.address, value=0, data=token.call("transfer", FRIEND, 1), gas=25_000)
    assert (await simulate(node, asked)).reverts is True


@contextlib.asynccontextmanager
async def _without(behind: str, *missing: str, **lies: Any) -> AsyncGenerator[str]:
    """A node in between that has no such methods, or answers others with something of its own."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        asked = msgspec.json.decode(body)
        method, reply = asked["method"], {"jsonrpc": "2.0", "id": asked["id"]}
        if method in missing:
            return web.json_response(reply | {"error": {"code": -32601, "message": "no such method"}})
        if method in lies:
            return web.json_response(reply | {"result": lies[method]})
        headers = {"Content-Type": "application/json"}
        async with ClientSession(headers=headers) as session, session.post(behind, data=body) as real:
            return web.Response(body=await real.read(), content_type="application/json")

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


V1, TRACE, CALL = "eth_simulateV1", "debug_traceCall", "eth_call"


async def test_a_node_that_can_only_trace_tells_what_was_logged_and_one_that_can_only_call_whether_it_fails(
    node: Node, url: str
) -> None:
    if "anvil" not in str(await node.call("web3_clientVersion")):
        return  # the stand-in chain has no tracer
    greedy, refuser = await _token(node, "Greedy"), await deploy(node, MAKER, "Refuser")
    pays = Transaction(sender=OWNER, to=greedy.address, value=0, data=greedy.call("transfer", FRIEND, 10))
    fails = Transaction(sender=OWNER, to=refuser.address, value=1)
    for missing, by, known in [((V1,), "trace", True), ((V1, TRACE), "call", False)]:
        tried, failed = await _tried(url, missing, pays, fails)
        assert (tried.by, tried.reverts, failed.reverts) == (by, False, True)
        assert (tried.found is not None) is known
        if known:
            assert _more(tried, _pays(greedy, 10)) == [("token", THIEF, 10)]
    assert await _tried(url, (V1, TRACE, CALL), pays) == [Simulated(by=None)]


async def _tried(url: str, missing: tuple[str, ...], *asked: Transaction) -> list[Simulated]:
    async with _without(url, *missing) as less:
        node = Node(less)
        found = [await simulate(node, each) for each in asked]
        await node.close()
    return found


LIES: list[Any] = [None, [], [{}], [{"calls": []}], [{"calls": [{"status": "0x1", "logs": [{}]}]}], "x"]


@pytest.mark.parametrize("lie", LIES)
async def test_a_simulation_nobody_can_read_is_no_answer(lie: Any) -> None:
    async with _without("http://127.0.0.1:9", **{V1: lie}) as url:
        node = Node(url)
        with pytest.raises(NodeUnavailable):
            await simulate(node, Transaction(sender=OWNER, to=FRIEND, value=1))
        await node.close()


# --- under the pack's policy, on the way of every payment ----------------------------------------------------


PAYS = (
    MANDATE.replace("acme = ", 'refuser = "{refuser}"\nsafe = "{safe}"\ntaker = "{taker}"\nacme = ')
    + """
[tokens.USDX]
address = "{token}"
decimals = 6
budget = "1000 USDX"
per_approval = "100 USDX"
[tokens.USDX.spenders]
taker = "{taker}"
"""
)


@pytest.fixture
async def money(node: Node, url: str, engine: EmbeddedEngine) -> AsyncIterator[Money]:
    token = await _token(node, "Token")
    made = {
        "refuser": (await deploy(node, MAKER, "Refuser")).address,
        "safe": (await deploy(node, MAKER, "Safe", OWNER)).address,
        "taker": (await deploy(node, MAKER, "Taker", token.address)).address,
        "token": token.address,
    }
    mandate = PAYS
    for name, address in made.items():
        mandate = mandate.replace(f"{{{name}}}", address)
    money = Money(url, KEY, mandate=mandate, engine=engine, receipt_seconds=10)
    await money.open()
    money.made = made
    yield money
    await money.close()


async def _nothing_signed(money: Money, reply: Reply, code: str) -> None:
    assert (reply.status, reply.code) == (Status.DENIED, code)
    assert await money.node.quantity("eth_getTransactionCount", money.address, "pending") == 0
    (decided,) = [each for each in money.store.events if isinstance(each, Decided) and each.caller == "agent"]
    assert decided.answer.verdict is Verdict.DENY


async def test_a_payment_that_would_fail_is_denied_before_anything_is_signed(money: Money) -> None:
    await _nothing_signed(money, await money.pay(to=money.made["refuser"]), "simulation.reverts")


async def test_it_is_denied_although_the_agent_says_how_much_gas_it_needs(money: Money) -> None:
    await _nothing_signed(money, await money.pay(to=money.made["refuser"], gas=60_000), "simulation.reverts")


async def test_a_payment_that_would_take_what_was_approved_is_denied(money: Money) -> None:
    token = Contract("Token", money.made["token"])
    await send(money.node, KEY, token.address, token.call("transfer", money.address, 50))
    keystore = Keystore(KEY)
    keystore.create_for_run(money.name)
    assert (await money.pay("1 wei", to=money.made["taker"])).status is Status.DONE, "there is nothing to take yet"
    await _approve(money, token, 40)
    reply = await money.pay("1 wei", to=money.made["taker"])
    assert (reply.status, reply.code) == (Status.DENIED, "simulation.moves_more")
    assert await token.read(money.node, "balanceOf", money.address) == 50


async def _approve(money: Money, token: Contract, units: int) -> None:
    """An approval that the wallet gave, before anybody held one against what it was read to do."""
    key = Keystore(KEY)._derive(money.name)  # pyright: ignore[reportPrivateUsage]
    raw = await signed(money.node, key, token.address, token.call("approve", money.made["taker"], units), gas=100_000)
    await money.node.call("eth_sendRawTransaction", raw)


async def test_a_payment_to_a_contract_that_does_nothing_else_is_made(money: Money) -> None:
    assert (await money.pay(to=money.made["safe"])).status is Status.DONE
    assert await money.balance(money.made["safe"]) == 10 * CENT
    (decided,) = money.decided
    facts = msgspec.json.decode(decided.facts)["simulation"]
    assert facts == {"by": "simulate_v1", "reverts": False, "reason": None, "more": []}


async def test_where_nobody_can_try_it_a_contract_is_not_paid_and_a_person_is(money: Money) -> None:
    async with _without(money.url, V1, TRACE) as less:
        money.url = less
        await money.die()
        reply = await money.pay(to=money.made["safe"])
        assert (reply.status, reply.code) == (Status.DENIED, "simulation.unknown")
        assert (await money.pay()).status is Status.DONE
        await money.chain.close()
