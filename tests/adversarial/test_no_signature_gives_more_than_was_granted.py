"""Approvals, permits and messages that give too much get their codes and no signature; what they imitate passes.

Everything is asked as a client with an unlocked account asks it, over the pack, the ledger and a real chain, where
what was signed is mined or accepted by the token itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from safebox.firewall.core.action import Call
from safebox.firewall.core.reply import Reply, Status
from safebox.firewall.engines.bundle import load_bundle, pack_folder
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import CallerError
from safebox.firewall.gateways.ethereum_sign import SIGNS
from safebox.firewall.gateways.transaction import transaction_action
from tests.calls import call
from tests.chain_contracts.contracts import send
from tests.integration.chain_nodes import CHAIN_ID, funded
from tests.integration.money import PAYEE
from tests.integration.signing_money import FRIEND, GRANTED, MAKER, OWNER, Signing, signing_run

STRANGER: Final = "0x024FD72454c4a3840b7D9Ac04fA8fDB3E650AfeA"
PERMIT2: Final = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
DETAILS: Final = [{"type": kind, "name": name} for kind, name in (
    ("address", "token"), ("uint160", "amount"), ("uint48", "expiration"), ("uint48", "nonce"),
)]  # fmt: skip
PERMISSIONS: Final = [{"type": "address", "name": "token"}, {"type": "uint256", "name": "amount"}]
_3009: Final = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
Asked = tuple[str, list[Any]]


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


async def ask(money: Signing, method: str, params: list[Any]) -> Reply | str:
    """What the pipeline replies, or the code with which the request can't even be read."""
    view = money.run.view
    try:
        tool, arguments = (
            transaction_action(params[0], view) if method == "eth_sendTransaction" else SIGNS[method](params, view)
        )
    except CallerError as error:
        return error.code
    return await money.pipeline.handle(Call(run=money.name, tool=tool, arguments=arguments))


def sending(money: Signing, to: str, data: bytes) -> Asked:
    return "eth_sendTransaction", [{"from": money.address, "to": to, "data": "0x" + data.hex()}]


def typed(money: Signing, data: dict[str, Any]) -> Asked:
    return "eth_signTypedData_v4", [money.address, data]


def message(money: Signing, content: bytes) -> Asked:
    return "personal_sign", ["0x" + content.hex(), money.address]


def authorization(money: Signing, to: str, units: int, until: int) -> dict[str, Any]:
    said = {"from": money.address, "to": to, "value": units, "validAfter": 0, "validBefore": until}
    return money.typed(f"TransferWithAuthorization({_3009})", said | {"nonce": "0x" + "07" * 32})


def permit2(money: Signing, kind: str, amounts: list[int], until: int) -> dict[str, Any]:
    """One of Permit2's: single, batch, transfer, batch transfer, or a transfer with a witness."""
    token, nonces = money.token.address, {"nonce": 0}
    details = [{"token": token, "amount": units, "expiration": until, "nonce": 0} for units in amounts]
    permitted = [{"token": token, "amount": units} for units in amounts]
    spender = {"spender": money.router.address}
    message: dict[str, Any]
    match kind:
        case "PermitSingle" | "PermitBatch":
            many = kind == "PermitBatch"
            message = {"details": details if many else details[0], **spender, "sigDeadline": until}
            members, struct = [("PermitDetails" + "[]" * many, "details"), ("address", "spender")], "PermitDetails"
            members.append(("uint256", "sigDeadline"))
        case _:
            many = "Batch" in kind
            message = {"permitted": permitted if many else permitted[0], **spender, **nonces, "deadline": until}
            members, struct = (
                [("TokenPermissions" + "[]" * many, "permitted"), ("address", "spender")],
                "TokenPermissions",
            )
            members += [("uint256", "nonce"), ("uint256", "deadline")]
    types = {struct: DETAILS if struct == "PermitDetails" else PERMISSIONS}
    types[kind] = [{"type": type_, "name": name} for type_, name in members]
    if kind == "PermitWitnessTransferFrom":
        types["Order"] = [{"type": "uint256", "name": "id"}]
        types[kind].append({"type": "Order", "name": "witness"})
        message["witness"] = {"id": 1}
    domain = {"name": "Permit2", "chainId": CHAIN_ID, "verifyingContract": PERMIT2}
    return {"types": types, "primaryType": kind, "domain": domain, "message": message}


PERMIT2_KINDS: Final = (
    "PermitSingle", "PermitBatch", "PermitTransferFrom", "PermitBatchTransferFrom", "PermitWitnessTransferFrom",
)  # fmt: skip


def sign_in(money: Signing, domain: str) -> bytes:
    """A message of EIP-4361."""
    return (
        f"{domain} wants you to sign in with your Ethereum account:\n{money.address}\n\n\nURI: https://{domain}/in\n"
        f"Version: 1\nChain ID: {CHAIN_ID}\nNonce: abcdefgh\nIssued At: 2026-01-01T00:00:00Z"
    ).encode()


def attacks(money: Signing) -> dict[str, tuple[str, Asked]]:
    """By name: the code it gets, and what is asked."""
    usd, club, router, soon = money.token.address, money.club.address, money.router.address, money.soon
    approve, more, for_all = (
        "approve(address,uint256)",
        "increaseAllowance(address,uint256)",
        "setApprovalForAll(address,bool)",
    )
    raw = Account.from_key(MAKER).sign_transaction(
        {"to": PAYEE, "value": 1, "gas": 21_000, "nonce": 0, "chainId": CHAIN_ID, "gasPrice": 10**9}
    ).raw_transaction  # fmt: skip
    found: dict[str, tuple[str, Asked]] = {
        "an approval over the budget": (
            "approval.over_budget", sending(money, usd, call(approve, router, GRANTED + 1)),
        ),
        "an approval without end": ("approval.unlimited", sending(money, usd, call(approve, router, 2**256 - 1))),
        "an approval over the cap": ("approval.over_per_approval", sending(money, usd, call(approve, router, 61))),
        "more than the budget on top": ("approval.over_budget", sending(money, usd, call(more, router, GRANTED + 1))),
        "an approval for somebody with a key": (
            "approval.spender_no_contract", sending(money, usd, call(approve, FRIEND, 1)),
        ),
        "an approval for a stranger": ("approval.spender_not_listed", sending(money, usd, call(approve, STRANGER, 1))),
        "an approval for all": ("approval.for_all", sending(money, club, call(for_all, router, True))),
        "an approval of another token": ("approval.token_not_listed", sending(money, router, call(approve, router, 1))),
        "a permit over the cap": ("approval.over_per_approval", typed(money, money.permit(61, deadline=soon))),
        "a permit over the budget": ("approval.over_budget", typed(money, money.permit(GRANTED + 1, deadline=soon))),
        "a permit without end": ("approval.unlimited", typed(money, money.permit(2**256 - 1, deadline=soon))),
        "a permit for ever": ("approval.valid_too_long", typed(money, money.permit(1, deadline=2**256 - 1))),
        "a permit on no chain": ("approval.wrong_chain", typed(money, money.permit(1, deadline=soon, chainId=None))),
        "a permit elsewhere": ("approval.wrong_chain", typed(money, money.permit(1, deadline=soon, chainId=1))),
        "a permit of no contract": (
            "approval.token_not_listed", typed(money, money.permit(1, deadline=soon, verifyingContract=None)),
        ),
        "a permit of another contract": (
            "approval.token_not_listed", typed(money, money.permit(1, deadline=soon, verifyingContract=router)),
        ),
        "an authorization for a stranger": (
            "approval.spender_not_listed", typed(money, authorization(money, STRANGER, 1, soon)),
        ),
        "an authorization over the cap": (
            "approval.over_per_approval", typed(money, authorization(money, PAYEE, 61, soon)),
        ),
        "a digest, bare": ("approval.eth_sign", ("eth_sign", [money.address, "0x" + "11" * 32])),
        "a digest as a message": ("approval.message_not_text", message(money, b"\x22" * 32)),
        "a digest spelled out": ("approval.message_not_text", message(money, b"22" * 32)),
        "what starts like typed data": ("approval.message_not_text", message(money, b"\x19\x01" + b"\x33" * 64)),
        "a transaction as a message": ("approval.message_not_text", message(money, bytes(raw))),
        "a text nobody listed": ("approval.message_not_listed", message(money, b"I give all I have.")),
        "a text too many": ("approval.message_not_listed", message(money, b"I agree to all and more.")),
        "signing in elsewhere": (
            "approval.sign_in_not_listed", message(money, sign_in(money, "shop.example.evil.example")),
        ),
    }  # fmt: skip
    for kind in PERMIT2_KINDS:
        several = [31, 30] if "Batch" in kind else [61]
        found[f"{kind} over the cap"] = "approval.over_per_approval", typed(money, permit2(money, kind, several, soon))
        found[f"{kind} for ever"] = "approval.valid_too_long", typed(money, permit2(money, kind, [1], 2**48 - 1))
    for kind, members in UNREADABLE.items():
        said = {
            each.split()[1]: 1 if each.startswith("uint") else each.startswith("bool") or STRANGER for each in members
        }
        unknown = typed(money, money.typed(f"{kind}({','.join(members)})", said))
        found[f"{kind} of {len(members)}"] = "approval.standard_not_allowed", unknown
    return found


OF_KIND: Final[dict[str, Any]] = {"address": STRANGER, "uint256": 1, "bool": True}
UNREADABLE: Final = {
    "Permit": ["address holder", "address spender", "uint256 nonce", "uint256 expiry", "bool allowed"],
    "SafeTx": ["address to", "uint256 value"],
    "OrderComponents": ["address offerer"],
    "ForwardRequest": ["address from", "address to"],
    "UserOperation": ["address sender"],
    "Delegation": ["address delegate"],
    "NobodyKnows": ["address whom"],
}
"""DAI's permit, a Safe's transaction, Seaport's order, a meta transaction, a user operation, a delegation, anything."""


async def test_every_attack_gets_its_code_and_nothing_is_signed(money: Signing) -> None:
    told: dict[str, str] = {}
    for name, (code, asked) in attacks(money).items():
        reply = await ask(money, *asked)
        said = {reply} if isinstance(reply, str) else {reply.code, *(reason.code for reason in reply.reasons)}
        signed = isinstance(reply, Reply) and (reply.status is Status.DONE or reply.result is not None)
        told[name] = "" if code in said and not signed else f"{code} expected, {sorted(said)} given"
    assert {name: wrong for name, wrong in told.items() if wrong} == {}
    assert await money.node.quantity("eth_getTransactionCount", money.address, "pending") == 0
    assert (money.exposed, await money.allowed()) == (0, 0)


async def given(money: Signing, asked: Asked) -> str:
    """Ask for what must be given, and return the signature or the transaction's hash."""
    reply = await ask(money, *asked)
    assert isinstance(reply, Reply), reply
    assert reply.status is Status.DONE, reply
    assert reply.result is not None
    return str(reply.result.get("signature"))


async def test_approvals_within_the_grant_are_mined_and_taken_back(money: Signing) -> None:
    usd, club, router = money.token.address, money.club.address, money.router.address
    await given(money, sending(money, usd, call("approve(address,uint256)", router, 40)))
    await given(money, sending(money, usd, call("increaseAllowance(address,uint256)", router, 20)))
    assert (await money.allowed(), money.exposed) == (60, 60)
    again = await ask(money, *sending(money, usd, call("increaseAllowance(address,uint256)", router, 41)))
    assert isinstance(again, Reply)
    assert "approval.over_budget" in {reason.code for reason in again.reasons}
    await given(money, sending(money, usd, call("approve(address,uint256)", STRANGER, 0)))
    await given(money, sending(money, usd, call("approve(address,uint256)", router, 0)))
    await given(money, sending(money, club, call("setApprovalForAll(address,bool)", router, False)))
    assert (await money.allowed(), money.exposed) == (0, 60)
    assert await money.node.quantity("eth_getTransactionCount", money.address, "latest") == 5


async def test_permits_within_the_grant_are_accepted_by_the_token_and_count(money: Signing) -> None:
    soon = money.soon
    permit = await given(money, typed(money, money.permit(20, deadline=soon)))
    await send(money.node, MAKER, money.token.address, money.token.call(
        "permit", money.address, money.router.address, 20, soon, *split(permit)
    ))  # fmt: skip
    assert (await money.allowed(), money.exposed) == (20, 20)
    for kind in PERMIT2_KINDS:
        await given(money, typed(money, permit2(money, kind, [2, 3] if "Batch" in kind else [5], soon)))
    assert money.exposed == 45


async def test_an_authorization_to_pay_a_listed_payee_is_carried_out_by_whoever_has_it(money: Signing) -> None:
    await send(money.node, MAKER, money.token.address, money.token.call("transfer", money.address, 50))
    soon = money.soon
    signature = await given(money, typed(money, authorization(money, PAYEE, 50, soon)))
    await send(money.node, MAKER, money.token.address, money.token.call(
        "transferWithAuthorization", money.address, PAYEE, 50, 0, soon, b"\7" * 32, *split(signature)
    ))  # fmt: skip
    assert (await money.token.read(money.node, "balanceOf", PAYEE), money.exposed) == (50, 50)


async def test_listed_texts_and_sign_ins_are_signed_by_the_runs_own_key(money: Signing) -> None:
    for content in (b"I agree to terms.", sign_in(money, "shop.example")):
        signature = await given(money, message(money, content))
        assert Account.recover_message(encode_defunct(content), signature=signature) == money.address
    assert money.exposed == 0


def split(signature: str) -> tuple[int, bytes, bytes]:
    """v, r and s."""
    content = bytes.fromhex(signature[2:])
    return content[64], content[:32], content[32:64]
