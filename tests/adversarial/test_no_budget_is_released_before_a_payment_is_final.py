"""A payment that was signed may be mined as long as no final block has used its nonce; until then its budget stays.

Blocks come when the test says so, on a real node that can be made to reorganise, forget and refuse.
"""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

from safebox.firewall.accounts import SignedTransaction
from safebox.firewall.connectors.care import Care
from safebox.firewall.connectors.transaction import Payment, from_plan
from safebox.firewall.core.record import RunKilled
from safebox.firewall.core.reply import Status
from safebox.firewall.keystore import Keystore
from tests.integration.chain_nodes import anvil_process
from tests.integration.money import CENT, ETHER, GWEI, MANDATE, Money, plan_of

REPLACE, CANCEL, WAIT = Care("replace", 60), Care("cancel", 60), Care("wait")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with anvil_process("--no-mining") as url:
        yield url


class Runs:
    """Makes runs, each with an owner of its own, on the module's one chain."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self.made: list[Money] = []

    async def __call__(self, **options: Any) -> Money:
        key = hashlib.sha256(f"{self._name} {len(self.made)}".encode()).digest()
        money = Money(self._url, key, **options)
        self.made.append(money)
        await money.open()
        await money.mine(options.get("confirmations", 1))
        await money.look()
        assert await money.balance(money.address) == ETHER
        return money


@pytest.fixture
async def a_run(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Runs]:
    runs = Runs(url, request.node.name)
    yield runs
    for money in runs.made:
        await money.node.call("anvil_dropAllTransactions")
        await money.close()


async def test_a_block_that_is_not_final_settles_nothing(a_run: Runs) -> None:
    money = await a_run(confirmations=3)
    assert (await money.pay()).status is Status.UNKNOWN
    reserved = money.wallet["reserved"]
    assert reserved > 10 * CENT
    for _ in range(2):
        await money.mine()
        await money.look()
        assert await money.paid() == 10 * CENT
        assert money.wallet == {"spent": 0, "reserved": reserved, "granted": ETHER}
    await money.mine()
    (settled,) = await money.look()
    assert settled.status == "done"
    await money.check()


async def test_a_block_that_is_reorganised_away_takes_nothing_back_and_the_payment_is_made_once(a_run: Runs) -> None:
    money = await a_run(confirmations=3)
    await money.pay()
    await money.mine(2)
    assert await money.paid() == 10 * CENT
    assert await money.look() == []
    await money.node.call("anvil_reorg", 2, [])
    await money.node.call("anvil_dropAllTransactions")
    assert await money.paid() == 0
    assert await money.look() == []
    assert money.wallet["reserved"] > 10 * CENT
    assert len(await money.waiting()) == 1, "the very same payment was given to the node again"
    await money.mine(3)
    (settled,) = await money.look()
    assert settled.status == "done"
    assert await money.paid() == 10 * CENT
    await money.check()


async def test_another_payment_of_its_nonce_must_be_final_before_the_first_one_counts_as_never_made(
    a_run: Runs,
) -> None:
    money = await a_run(confirmations=3, care=WAIT)
    await money.pay()
    await money.node.call("anvil_dropAllTransactions")
    other = _variant(money, value=CENT)
    await money.node.call("eth_sendRawTransaction", other)
    await money.mine(2)
    assert await money.look() == [], "its nonce is used, and that can be undone"
    reserved = money.wallet["reserved"]
    await money.node.call("anvil_reorg", 2, [])
    await money.node.call("anvil_dropAllTransactions")
    assert await money.look() == []
    assert money.wallet["reserved"] == reserved
    await money.node.call("eth_sendRawTransaction", other)
    await money.mine(3)
    (settled,) = await money.look()
    assert (settled.status, settled.charges) == ("failed", ())
    assert await money.paid() == CENT


def _variant(money: Money, **changes: Any) -> str:
    """What the run's key could sign in place of its last payment, if somebody else had the key."""
    keystore = Keystore(money.key)
    keystore.create_for_run(money.name)
    fields = from_plan(plan_of(money.decided[-1])).fields() | changes
    return "0x" + keystore.sign_transaction(money.name, fields).raw_transaction.hex()


async def test_a_final_payment_that_vanishes_is_told_and_stays_spent(a_run: Runs) -> None:
    money = await a_run(confirmations=2)
    await money.pay()
    await money.mine(2)
    await money.look()
    spent = money.wallet["spent"]
    assert spent > 10 * CENT
    assert await money.chain.vanished() == []
    await money.node.call("anvil_reorg", 3, [])
    await money.node.call("anvil_dropAllTransactions")
    assert await money.chain.vanished() == [_hash(money)]
    assert await money.chain.vanished() == [], "it is told once"
    assert await money.paid() == 0
    await money.treasury.check()
    assert money.wallet["spent"] == spent, "the money is there again and is nobody's to spend"
    assert money.run.book.quarantined("ETH") == spent


async def test_a_payment_that_only_moved_to_another_block_has_not_vanished(a_run: Runs) -> None:
    money = await a_run(confirmations=2)
    await money.pay()
    raw = _variant(money)
    await money.mine(2)
    await money.look()
    await money.node.call("anvil_reorg", 3, [[raw, 1]])
    assert await money.paid() == 10 * CENT
    assert await money.chain.vanished() == []
    assert await money.chain.vanished() == []


def _signed(money: Money, payment: Payment) -> SignedTransaction:
    keystore = Keystore(money.key)
    keystore.create_for_run(money.name)
    return keystore.sign_transaction(money.name, payment.fields())


def _hash(money: Money) -> str:
    return "0x" + _signed(money, from_plan(plan_of(money.decided[-1]))).hash.hex()


async def test_a_stuck_payment_is_offered_again_for_more_within_what_was_reserved(a_run: Runs) -> None:
    money = await a_run(care=REPLACE)
    await money.pay()
    (first,) = (now,) = await money.waiting()
    worst = money.wallet["reserved"]
    assert await money.look(59) == []
    assert [each["hash"] for each in await money.waiting()] == [first["hash"]]
    for step in range(1, 4):
        await money.look(60)
        (now,) = await money.waiting()
        assert (now["nonce"], now["to"], now["value"]) == (first["nonce"], first["to"], first["value"])
        assert int(now["maxFeePerGas"], 16) > int(first["maxFeePerGas"], 16) * (1 + step / 5)
        assert worst >= 10 * CENT + int(now["gas"], 16) * int(now["maxFeePerGas"], 16)
    assert int(now["maxFeePerGas"], 16) <= 100 * GWEI
    await money.die()
    await money.look(600)
    assert [each["hash"] for each in await money.waiting()] == [now["hash"]], "no more is offered than was decided"
    await money.mine()
    (settled,) = await money.look()
    assert (settled.status, settled.result["transaction_hash"]) == ("done", now["hash"])
    assert await money.paid() == 10 * CENT
    await money.check()


async def test_a_replaced_payment_that_is_mined_all_the_same_is_found(a_run: Runs) -> None:
    money = await a_run(care=REPLACE)
    await money.pay()
    (first,) = await money.waiting()
    await money.look(60)
    await money.node.call("anvil_dropAllTransactions")
    await money.node.call("eth_sendRawTransaction", _variant(money))
    await money.mine()
    (settled,) = await money.look()
    assert (settled.status, settled.result["transaction_hash"]) == ("done", first["hash"])
    await money.check()


async def test_without_a_cap_nothing_more_is_offered(a_run: Runs) -> None:
    money = await a_run(care=REPLACE, mandate=MANDATE.replace('max_fee_per_gas = "100 gwei"', ""))
    await money.pay()
    (first,) = await money.waiting()
    await money.look(600)
    assert [each["hash"] for each in await money.waiting()] == [first["hash"]]


async def test_a_stuck_payment_is_taken_back_by_one_to_itself_and_only_that_gas_is_spent(a_run: Runs) -> None:
    money = await a_run(care=CANCEL)
    await money.pay()
    await money.look(60)
    (now,) = await money.waiting()
    assert (now["to"].lower(), int(now["value"], 16)) == (money.address.lower(), 0)
    assert money.wallet["reserved"] > 10 * CENT, "the payment itself may still be mined"
    await money.mine()
    (settled,) = await money.look()
    assert settled.status == "failed"
    assert settled.result["status"] == "cancelled"
    assert await money.paid() == 0
    assert 0 < money.wallet["spent"] < CENT
    await money.check()


async def test_several_payments_are_on_their_way_at_once_and_a_gap_is_refused(a_run: Runs) -> None:
    money = await a_run()
    for _ in range(3):
        assert (await money.pay("0.1 ETH")).status is Status.UNKNOWN
    assert [each.plan["nonce"] for each in money.decided] == [0, 1, 2]
    gap = await money.pay("0.1 ETH", nonce=4)
    taken = await money.pay("0.1 ETH", nonce=1)
    assert (gap.status, taken.status) == (Status.INVALID, Status.INVALID)
    assert money.wallet["reserved"] > 30 * CENT
    await money.mine()
    assert [each.status for each in await money.look()] == ["done"] * 3
    assert await money.paid() == 30 * CENT
    await money.check()


async def test_payments_on_their_way_count_against_the_budget(a_run: Runs) -> None:
    money = await a_run()
    for _ in range(2):
        await money.pay("0.45 ETH")
    assert (await money.pay("0.2 ETH")).status is Status.DENIED
    await money.mine()
    await money.look()
    await money.check()


async def test_a_firewall_that_dies_between_the_signature_and_the_broadcast_sends_the_same_bytes(a_run: Runs) -> None:
    money = await a_run()
    with _unsent(money):
        await money.pay()
    assert await money.waiting() == []
    await money.die()
    assert money.wallet["reserved"] > 10 * CENT
    await money.look()
    (sent,) = await money.waiting()
    assert sent["hash"] == _hash(money)
    await money.die()
    await money.look()
    assert [each["hash"] for each in await money.waiting()] == [sent["hash"]]
    await money.mine()
    (settled,) = await money.look()
    assert settled.status == "done"
    assert await money.paid() == 10 * CENT
    await money.check()


@contextlib.contextmanager
def _unsent(money: Money) -> Generator[None]:
    """The node is gone just when a payment is sent, and back afterwards."""
    node: Any = money.chain._node  # pyright: ignore[reportPrivateUsage]
    ask = node.call

    async def call(method: str, *params: Any) -> Any:
        if method == "eth_sendRawTransaction":
            params = ()
        return await ask(method, *params)

    node.call = call
    yield
    node.call = ask


async def test_a_lost_payment_stays_reserved_where_the_owner_wants_nothing_sent_twice(a_run: Runs) -> None:
    money = await a_run(care=WAIT)
    with _unsent(money):
        await money.pay()
    for _ in range(3):
        assert await money.look(3000) == []
    assert await money.waiting() == []
    assert money.wallet["reserved"] > 10 * CENT
    assert (await money.pay("0.2 ETH")).status is Status.UNKNOWN
    await money.mine()
    assert sorted(each.status for each in await money.look()) == ["done", "failed"]
    assert await money.paid() == 20 * CENT
    await money.check()


@pytest.mark.parametrize("why", ["killed", "paused", "frozen", "over", "expired"])
async def test_a_run_that_may_not_act_has_nothing_sent_again(why: str, a_run: Runs) -> None:
    money = await a_run()
    with _unsent(money):
        await money.pay()
    if why == "killed":
        await money.ledger.note(RunKilled(at_ns=money.clock.now_ns(), run=money.name, by="owner"))
    elif why == "paused":
        money.run.pausing = object()
    elif why == "frozen":
        money.run.freezing = object()
    elif why == "over":
        money.run.stopped = "over"
    await money.look(3600 if why == "expired" else 0)
    assert await money.waiting() == []
    assert money.wallet["reserved"] > 10 * CENT


async def test_what_is_left_comes_home_although_a_payment_is_on_its_way(a_run: Runs) -> None:
    money = await a_run()
    await money.pay()
    owner = await money.balance(Keystore(money.key).owner_address)
    await money.end()
    await money.mine()
    await money.look()
    assert await money.paid() == 10 * CENT
    assert await money.balance(Keystore(money.key).owner_address) > owner + 89 * CENT
    assert await money.balance(money.address) < CENT // 10
    await money.check()


async def test_a_lost_sweep_of_a_run_that_is_over_is_sent_again(a_run: Runs) -> None:
    money = await a_run()
    with _unsent(money):
        await money.end()
    await money.die()
    money.runs.remove(money.name)
    await money.look()
    await money.mine()
    (settled,) = await money.look()
    assert (settled.tool, settled.status) == ("wallet.sweep", "done")
    assert await money.balance(money.address) < CENT // 10


async def test_no_signed_byte_is_written_down_or_told(a_run: Runs) -> None:
    money = await a_run(care=REPLACE)
    reply = await money.pay()
    await money.look(60)
    payment = from_plan(plan_of(money.decided[0]))
    for variant in payment.variants():
        signature = _signed(money, variant).raw_transaction.hex()[-64:]
        assert signature.encode() not in money.told()
        assert signature not in repr(reply)
