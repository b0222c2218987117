"""Approvals and permits on a chain: what is allowed is mined or accepted by the token, and counted as exposed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from safebox.firewall.core.reply import Status
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from tests.chain_contracts.contracts import send
from tests.integration.chain_nodes import funded
from tests.integration.signing_money import MAKER, OWNER, Signing, signing_run

LATER = NOW_NS // 10**9 + 3_000_000_000
"""A deadline that no policy admits."""


@pytest.fixture(scope="module", params=["standin", "anvil"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with funded(request.param, tmp_path_factory.mktemp("chain"), OWNER) as url:
        yield url


@pytest.fixture(scope="module")
def pack() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle([pack_folder()]))


@pytest.fixture
async def money(url: str, pack: EmbeddedEngine) -> AsyncIterator[Signing]:
    async with signing_run(url, pack) as rig:
        yield rig


async def test_an_approval_within_the_budget_is_mined_and_exposed_and_no_more_is_given(money: Signing) -> None:
    done = await money.approve(60)
    assert (done.status, await money.allowed(), money.exposed) == (Status.DONE, 60, 60), done
    assert (await money.approve(30, "increase_allowance")).status is Status.DONE
    assert (await money.allowed(), money.exposed) == (90, 90)
    over = await money.approve(20, "increase_allowance")
    assert (over.status, await money.allowed(), money.exposed) == (Status.DENIED, 90, 90)
    assert (await money.approve(10)).status is Status.DONE, "what replaces an approval is charged, too"
    assert (await money.approve(0)).status is Status.DONE
    assert (await money.allowed(), money.exposed) == (0, 100), "what was allowed may have been taken"
    await money.check()


async def test_a_stranger_is_not_let_take_anything(money: Signing) -> None:
    denied = await money.approve(1, spender=money.token.address)
    assert "approval.spender_not_listed" in {reason.code for reason in denied.reasons}
    assert (await money.approve(61)).status is Status.DENIED
    assert money.exposed == 0
    assert (await money.approve(1)).status is Status.DONE


async def test_a_permit_is_one_that_the_token_accepts(money: Signing) -> None:
    forever = await money.ask("wallet.sign_typed_data", **money.permit(5, deadline=LATER))
    assert "approval.valid_too_long" in {reason.code for reason in forever.reasons}
    deadline = money.clock.now_ns() // 10**9 + 600
    given = await money.ask("wallet.sign_typed_data", **money.permit(5, deadline=deadline))
    assert (given.status, money.exposed) == (Status.DONE, 5), given
    assert given.result is not None
    signature = bytes.fromhex(given.result["signature"][2:])
    r, s, v = signature[:32], signature[32:64], signature[64]
    call = money.token.call("permit", money.address, money.router.address, 5, deadline, v, r, s)
    await send(money.node, MAKER, money.token.address, call)
    assert await money.allowed() == 5


async def test_a_listed_text_is_signed_and_another_is_not(money: Signing) -> None:
    given = await money.ask("wallet.sign_message", message="0x" + b"I agree to terms.".hex())
    assert given.status is Status.DONE
    assert given.result is not None
    signature = given.result["signature"]
    assert Account.recover_message(encode_defunct(b"I agree to terms."), signature=signature) == money.address
    for message in (b"I agree to everything else.", b"\x01" * 32):
        assert (await money.ask("wallet.sign_message", message="0x" + message.hex())).status is Status.DENIED


async def test_an_approval_whose_firewall_died_is_followed_to_its_end(money: Signing) -> None:
    await money.approve(7)
    decided = money.decided[-1]
    kept = [
        record
        for record in money.store.records
        if b'"settled"' not in record or decided.decision.encode() not in record
    ]
    money.store.records[:] = kept
    await money.die()
    assert money.exposed == 0
    (found,) = await money.look()
    assert (found.status, money.exposed) == ("done", 7)
