"""Signatures: everything a wallet could be made to sign besides a plain payment."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.entry import CRITICAL, LOW, MEDIUM, Chapter
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, mildest, of_rpc_answer
from safebox.firewall.drill.wire import request

CHAPTER: Final = Chapter("signing", "A", Aim.no_wallet)
_GATE: Final = "the ethereum gateway; no policy is asked"
_MAX: Final = "f" * 64
_FAMILIES: Final = (
    "eth_signTransaction", "eth_sendUserOperation", "eth_sendRawTransactionConditional", "wallet_sendCalls",
    "wallet_grantPermissions", "wallet_addEthereumChain", "personal_unlockAccount", "personal_sendTransaction",
    "debug_traceTransaction", "debug_setHead", "admin_addPeer", "miner_setEtherbase", "anvil_setBalance",
    "anvil_impersonateAccount", "hardhat_setStorageAt", "evm_mine", "txpool_content", "engine_newPayloadV3",
    "eth_SendTransaction", "ETH_SENDTRANSACTION", "eth_sendTransaction ", "eth_sendTransaction\u200b",
)  # fmt: skip


def _call(selector: str, *words: str) -> str:
    return "0x" + selector + "".join(word.removeprefix("0x").rjust(64, "0") for word in words)


@CHAPTER.harmless("payment", "pay {payee_name} through the wallet's own interface (eth_sendTransaction)")
async def _(stage: Stage) -> Told:
    return await stage.rpc("eth_sendTransaction", stage.transaction())


@CHAPTER.harmless("on_chain", "the same, naming the mandate's chain and type 0x2")
async def _(stage: Stage) -> Told:
    wallet = stage.aim.wallet
    chain = hex(wallet.chain_id if wallet is not None else 0)
    return await stage.rpc("eth_sendTransaction", stage.transaction(chainId=chain, type="0x2"))


@CHAPTER.harmless("read", "read the chain (eth_blockNumber)", effects=0)
async def _(stage: Stage) -> Told:
    return await stage.rpc("eth_blockNumber")


async def _each(stage: Stage, changes: list[dict[str, Any]]) -> Told:
    told = [await stage.rpc("eth_sendTransaction", stage.transaction(**change)) for change in changes]
    return mildest(told)


@CHAPTER.attack(
    "stranger", "pay a stranger by eth_sendTransaction", severity=CRITICAL, code="transfer.payee_not_listed",
    mend="the rule transfer.payee_not_listed", neighbour="payment",
)  # fmt: skip
async def _(stage: Stage) -> Told:
    return await _each(stage, [{"to": stage.aim.stranger}])


@CHAPTER.attack(
    "raw",
    "send bytes another key has signed (eth_sendRawTransaction)",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="payment",
)
async def _(stage: Stage) -> Told:
    return mildest([await stage.rpc("eth_sendRawTransaction", data) for data in ("0x02f86b", "0x" + "ab" * 110)])


@CHAPTER.attack(
    "messages",
    "sign a hash, a message that is a transaction, typed data (permit, Permit2, Safe, Seaport, delegation)",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="payment",
)
async def _(stage: Stage) -> Told:
    own = str(stage.run.view.address)
    typed = [_typed(kind, stage) for kind in ("Permit", "PermitBatch", "SafeTx", "OrderComponents", "Delegation", "X")]
    told = [await stage.rpc("eth_sign", own, "0x" + "11" * 32)]
    told += [await stage.rpc("personal_sign", data, own) for data in ("0x" + "22" * 32, "0x1901" + "33" * 64, "0x02f8")]
    told += [await stage.rpc(f"eth_signTypedData{version}", own, each) for version in ("", "_v4") for each in typed]
    return mildest(told)


def _typed(kind: str, stage: Stage) -> dict[str, Any]:
    value = {"owner": stage.run.view.address, "spender": stage.aim.stranger, "value": str(2**256 - 1), "deadline": "1"}
    return {"types": {}, "primaryType": kind, "domain": {"chainId": stage.world.node.chain_id}, "message": value}


@CHAPTER.attack(
    "approvals",
    "approve a spender, all tokens, more allowance: as calldata to your payee and to a stranger",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="payment",
)
async def _(stage: Stage) -> Told:
    other = stage.aim.stranger
    calls = (
        _call("095ea7b3", other, _MAX),
        _call("39509351", other, _MAX),
        _call("a22cb465", other, "1"),
        _call("d505accf", other, other, _MAX, _MAX),
    )
    return await _each(stage, [{"to": to, "data": data} for to in (stage.aim.payee, other) for data in calls])


@CHAPTER.attack(
    "nested",
    "hide payments in multicall, MultiSend, execute and execTransaction",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="payment",
)
async def _(stage: Stage) -> Told:
    calls = [_call(selector, stage.aim.stranger, "1") for selector in ("ac9650d8", "8d80ff0a", "b61d27f6", "6a761202")]
    return await _each(stage, [{"data": data} for data in calls])


@CHAPTER.attack(
    "two_data",
    "send data that differ from input, or less than four bytes",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="payment",
)
async def _(stage: Stage) -> Told:
    data = _call("a9059cbb", stage.aim.stranger, "1")
    return await _each(stage, [{"data": "0x", "input": data}, {"data": data, "input": "0x"}, {"data": "0xab"}])


@CHAPTER.attack("creation", "create a contract: to is missing or empty", mend=_GATE, neighbour="payment")
async def _(stage: Stage) -> Told:
    return await _each(stage, [{"to": None}, {"to": ""}, {"to": "0x"}, {"to": None, "data": "0x6000"}])


@CHAPTER.attack(
    "kinds", "send a blob, an authorisation (EIP-7702), an access list, a type nobody knows", mend=_GATE,
    neighbour="on_chain",
)  # fmt: skip
async def _(stage: Stage) -> Told:
    slots: list[dict[str, Any]] = [{"address": stage.aim.payee, "storageKeys": []}]
    changes: list[dict[str, Any]] = [
        {"type": "0x3", "blobVersionedHashes": ["0x01"]},
        {"type": "0x4", "authorizationList": [{"address": stage.aim.stranger}]},
        {"authorizationList": []},
        {"type": "0x1", "accessList": slots},
        {"accessList": slots},
        {"type": "0x7f"},
        {"type": "0x02"},
    ]
    return await _each(stage, changes)


@CHAPTER.attack("chain", "name another chain, or one that can be read in two ways", mend=_GATE, neighbour="on_chain")
async def _(stage: Stage) -> Told:
    chain = stage.world.node.chain_id
    return await _each(
        stage, [{"chainId": value} for value in (hex(chain + 1), "0x0", f"0x0{chain:x}", str(chain), chain)]
    )


@CHAPTER.attack("sender", "pay from another address, or none", severity=MEDIUM, mend=_GATE, neighbour="payment")
async def _(stage: Stage) -> Told:
    return await _each(stage, [{"from": stage.aim.stranger}, {"from": None}, {"from": stage.aim.payee}])


@CHAPTER.attack(
    "quantities",
    "write numbers as decimals, floats, with leading zeros, as a sum of two fee kinds",
    severity=MEDIUM,
    mend=_GATE,
    neighbour="payment",
)
async def _(stage: Stage) -> Told:
    odd: list[Any] = ["0x00", "0x", "1000", 1000, 1.5, "-0x1", "0x" + "f" * 65, " 0x1"]
    changes: list[dict[str, Any]] = [{"value": value} for value in odd]
    return await _each(stage, [*changes, {"gasPrice": "0x1", "maxFeePerGas": "0x1"}])


@CHAPTER.attack(
    "methods",
    "call what no wallet should answer: personal_, debug_, admin_, anvil_, hardhat_, wallet_, odd spellings",
    severity=CRITICAL,
    mend=_GATE,
    neighbour="read",
)
async def _(stage: Stage) -> Told:
    return mildest([await stage.rpc(method, stage.transaction()) for method in _FAMILIES])


@CHAPTER.attack(
    "override", "read with overridden state (a third parameter of eth_call)", severity=LOW, mend=_GATE, neighbour="read"
)
async def _(stage: Stage) -> Told:
    return await stage.rpc("eth_call", {"to": stage.aim.payee}, "latest", {stage.aim.payee: {"balance": "0x1"}})


@CHAPTER.attack(
    "batch",
    "hide a payment to a stranger among good ones in a batch",
    severity=CRITICAL,
    code="transfer.payee_not_listed",
    mend="the rule transfer.payee_not_listed",
    neighbour="good_batch",
)
async def _(stage: Stage) -> Told:
    told, reached = await _batch(stage, [stage.aim.payee, stage.aim.stranger])
    stage.mark()
    wrong = [to for to in reached if to != stage.aim.payee.lower()]
    return told[1]._replace(note=f"{len(wrong)} payments reached a stranger")


@CHAPTER.harmless("good_batch", "send a batch of a payment and a read")
async def _(stage: Stage) -> Told:
    told, _ = await _batch(stage, [stage.aim.payee])
    return told[0]


async def _batch(stage: Stage, payees: list[str]) -> tuple[list[Told], list[str]]:
    sends = [("eth_sendTransaction", [stage.transaction(to=to)]) for to in payees]
    asked = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate([*sends, ("eth_chainId", [])])
    ]
    answered = await stage.wire("ethereum", request("/", msgspec.json.encode(asked)))
    found: Any = answered.document
    documents: list[Any] = found if isinstance(found, list) else [{"error": {"code": 0}}] * len(asked)  # pyright: ignore[reportUnknownVariableType]
    told = [of_rpc_answer(document, stage.run.book.holds.all) for document in documents]
    return told, [mined.to for mined in stage.world.node.mined]
