"""Law 4 for approvals and permits: what a signature lets others take comes out of the budget when it is given.

The pack decides here, over the real pipeline and ledger. The connector stands in for the wallet gateway to come: it
charges what is decoded, as every connector must, and its chain says which addresses have code.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from safebox.firewall.core.action import Action, Call
from safebox.firewall.core.decision import Answer
from safebox.firewall.core.money import Amount, token_asset
from safebox.firewall.core.outcome import Quote
from safebox.firewall.core.record import Charge
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.core.signing import Approve, SignTypedData
from safebox.firewall.core.typed_data import read_handed
from safebox.firewall.drill.clock import NOW_NS
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.ports import RunView
from tests.twins import ADDRESS, MANDATE, MemoryConnector, Rig, ScriptedEngine

TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ROUTER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
STRANGER = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"
ASSET = token_asset(TOKEN)
GRANTED = (
    MANDATE
    + f"""
[tokens.USDC]
address = "{TOKEN}"
decimals = 6
budget = "100 USDC"
per_approval = "30 USDC"
[tokens.USDC.spenders]
router = "{ROUTER}"
"""
)
NFT = "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D"
COLLECTION = f"""
[tokens.PUNK]
standard = "erc721"
address = "{NFT}"
decimals = 0
budget = "0 PUNK"
per_approval = "0 PUNK"
"""
FEE = Charge("wallet", Amount(10**12, "ETH"))
DOES_AS_IT_SAYS: dict[str, Any] = {"by": "simulate_v1", "reverts": False, "reason": None, "more": []}


class ThePack(ScriptedEngine):
    """The pack itself, on the engine that decides."""

    def __init__(self) -> None:
        super().__init__()
        self._pack = EmbeddedEngine(load_bundle([pack_folder()]))

    async def decide(self, document: bytes) -> Answer:
        return self._pack.answer(document)


class Wallet(MemoryConnector):
    """Charges what is handed over, and knows the chain."""

    async def quote(self, action: Action, run: RunView) -> Quote:
        facts = {"contracts": {ROUTER: True}, "wallet": {"chain_id": 31337}, "simulation": DOES_AS_IT_SAYS}
        return Quote(charges=self._charges(action), facts=facts)

    def _charges(self, action: Action) -> tuple[Charge, ...]:
        fee = (FEE,) if isinstance(action.args, Approve) else ()
        return (*fee, *(Charge("wallet", Amount(units, ASSET)) for units in handed(action) if units))


def handed(action: Action) -> list[int]:
    match action.args:
        case Approve(amount=Amount() as amount, method="approve" | "increase_allowance"):
            return [amount.units]
        case SignTypedData():
            data = action.args.parsed()
            return [
                sum(
                    each.units for each in read_handed(data.types, data.primary_type, data.domain, data.message).takings
                )
            ]
        case _:
            return []


@pytest.fixture
def rig() -> Rig:
    return Rig(
        mandate=GRANTED + COLLECTION,
        engine=ThePack(),
        connectors={"chain": MemoryConnector("chain"), "signing": Wallet("signing")},
    )


def left(rig: Rig) -> int:
    return rig.run.book.lines["wallet", ASSET].remaining


async def approve(rig: Rig, usdc: int, *, method: str = "approve", spender: str = ROUTER) -> Reply:
    asked = {"token": TOKEN, "spender": spender, "standard": "erc20", "method": method, "amount": str(usdc * 10**6)}
    return await rig.pipeline.handle(Call(run="run_1", tool="wallet.approve", arguments=asked))


def permit(usdc: int, **message: Any) -> dict[str, Any]:
    members = ("address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline")
    typed = [{"type": each.split()[0], "name": each.split()[1]} for each in members]
    said = {"owner": ADDRESS, "spender": ROUTER, "value": usdc * 10**6, "nonce": 0, "deadline": NOW_NS // 10**9 + 600}
    return {
        "types": {"Permit": typed},
        "primaryType": "Permit",
        "domain": {"name": "USD Coin", "chainId": 31337, "verifyingContract": TOKEN},
        "message": said | message,
    }


async def sign(rig: Rig, asked: dict[str, Any]) -> Reply:
    return await rig.pipeline.handle(Call(run="run_1", tool="wallet.sign_typed_data", arguments=asked))


def codes(reply: Reply) -> set[str]:
    return {reason.code for reason in reply.reasons}


async def test_approvals_and_permits_share_one_budget(rig: Rig) -> None:
    assert (await approve(rig, 30)).status is Status.DONE
    assert (await approve(rig, 30, method="increase_allowance")).status is Status.DONE
    assert (await sign(rig, permit(30))).status is Status.DONE
    assert left(rig) == 10 * 10**6
    assert "approval.over_budget" in codes(await approve(rig, 11))
    assert "approval.over_budget" in codes(await sign(rig, permit(11)))
    assert (await approve(rig, 10)).status is Status.DONE
    assert left(rig) == 0


async def test_asked_at_once_just_as_many_are_given_as_fit(rig: Rig) -> None:
    asked = [approve(rig, 9) if number % 2 else sign(rig, permit(9)) for number in range(40)]
    replies = await asyncio.gather(*asked)
    assert sum(reply.status is Status.DONE for reply in replies) == len(rig.connectors["signing"].done) == 11
    assert left(rig) == 1 * 10**6


async def test_what_takes_back_is_given_whatever_is_left(rig: Rig) -> None:
    for _ in range(3):
        await approve(rig, 30)
    await approve(rig, 10)
    assert (await approve(rig, 0, spender=STRANGER)).status is Status.DONE
    assert (await approve(rig, 5, method="decrease_allowance")).status is Status.DONE
    assert left(rig) == 0, "and nothing comes back: what was allowed may have been taken"


async def test_a_frozen_wallet_signs_nothing(rig: Rig) -> None:
    rig.run.freezing = object()
    assert "approval.frozen" in codes(await sign(rig, permit(1)))
    assert rig.effects == 0


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (permit(31), "approval.over_per_approval"),
        (permit(1, deadline=2**256 - 1), "approval.valid_too_long"),
        (permit(1, deadline=0), "approval.valid_too_long"),
        (permit(1, owner=ROUTER), "approval.wrong_signer"),
        (permit(1, spender=ADDRESS), "approval.spender_not_listed"),
        (permit(1) | {"domain": {"chainId": 1, "verifyingContract": TOKEN}}, "approval.wrong_chain"),
        (permit(1) | {"domain": {"verifyingContract": TOKEN}}, "approval.wrong_chain"),
        (permit(1) | {"domain": {"chainId": 31337, "verifyingContract": ROUTER}}, "approval.token_not_listed"),
        (permit(1) | {"domain": {"chainId": 31337}}, "approval.standard_not_allowed"),
    ],
)
async def test_a_permit_that_is_not_what_was_granted_is_not_signed(rig: Rig, asked: dict[str, Any], code: str) -> None:
    assert code in codes(await sign(rig, asked))
    assert rig.effects == 0


async def test_no_token_is_taken_through_another_call(rig: Rig) -> None:
    everything = {"token": NFT, "spender": ROUTER, "standard": "erc721", "method": "set_approval_for_all"}
    for approved, status in ((True, Status.DENIED), (False, Status.DONE)):
        call = Call(run="run_1", tool="wallet.approve", arguments=everything | {"approved": approved})
        assert (await rig.pipeline.handle(call)).status is status
    nothing = {"token": NFT, "spender": STRANGER, "standard": "erc20", "method": "approve", "amount": "0"}
    reply = await rig.pipeline.handle(Call(run="run_1", tool="wallet.approve", arguments=nothing))
    assert "approval.token_not_listed" in codes(reply), (
        "approve(stranger, 0) of a collection gives its first piece away"
    )


async def test_a_tool_that_nothing_here_performs_is_unknown_and_costs_nothing(rig: Rig) -> None:
    for tool, arguments in (("web.request", {"method": "GET", "url": "https://a.example"}), ("agent.spawn", {})):
        reply = await rig.pipeline.handle(Call(run="run_1", tool=tool, arguments=arguments))
        assert (reply.status, reply.code) == (Status.INVALID, "request.unknown_tool")
    assert rig.run.book.denied_count == 0
