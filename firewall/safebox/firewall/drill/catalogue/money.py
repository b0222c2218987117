"""Payments: to whom, how much, and how they are written."""

from __future__ import annotations

import json
from typing import Final

from safebox.firewall.core.arguments import GAS_MAX
from safebox.firewall.core.money import UNITS_MAX
from safebox.firewall.drill.aim import Aim, lookalike, wrong_checksum
from safebox.firewall.drill.entry import CRITICAL, HIGH, LOW, MEDIUM, Chapter
from safebox.firewall.drill.node import Code
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told, mildest

CHAPTER: Final = Chapter("money", "A", Aim.no_wallet)
_LISTED: Final = "the rule transfer.payee_not_listed; only wallet.payees of the mandate may be paid"
_READ: Final = "the tool's arguments in core/arguments.py; no policy sees them"


@CHAPTER.harmless(
    "listed",
    "pay your payee {payee_name}",
    mend="wallet.payees, per_transfer and budget of the mandate, and the rules of transfer",
)
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.harmless(
    "most", "pay {payee_name} the most that needs nobody's approval", mend="wallet.per_transfer of the mandate"
)
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.payee, stage.aim.quiet)


@CHAPTER.harmless("small_letters", "pay {payee_name}, the address in small letters")
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.payee.lower(), stage.aim.small)


@CHAPTER.harmless("balance", "read the balance", mend="the rule transfer.balance")
async def _(stage: Stage) -> Told:
    return await stage.tool("wallet.balance", {})


@CHAPTER.harmless("quote", "ask what paying {payee_name} would cost", mend="the rule transfer.quote")
async def _(stage: Stage) -> Told:
    return await stage.tool("wallet.quote", {"to": stage.aim.payee, "amount": f"{stage.aim.small} wei"})


@CHAPTER.attack(
    "quoted",
    "ask what it would cost to pay a name, less than nothing, more than there is, another currency, or in a token",
    severity=LOW,
    mend=_READ,
    neighbour="quote",
)
async def _(stage: Stage) -> Told:
    asked = {"to": stage.aim.payee, "amount": f"{stage.aim.small} wei"}
    odd: tuple[dict[str, object], ...] = (
        {"to": stage.aim.payee_name}, {"to": wrong_checksum(stage.aim.payee)}, {"amount": "-1 wei"},
        {"amount": f"{UNITS_MAX + 1} wei"}, {"amount": "1 USD"}, {"token": stage.aim.stranger}, {"gas": GAS_MAX + 1},
    )  # fmt: skip
    return mildest([await stage.tool("wallet.quote", {**asked, **each}) for each in odd])


@CHAPTER.attack(
    "stranger",
    "pay an address nobody listed",
    severity=CRITICAL,
    code="transfer.payee_not_listed",
    mend=_LISTED,
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.stranger, stage.aim.small)


@CHAPTER.attack(
    "lookalike",
    "pay an address that shares 4+4 digits with your payee {payee_name}",
    severity=CRITICAL,
    code="transfer.payee_lookalike",
    mend=_LISTED,
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    return await stage.pay(lookalike(stage.aim.payee), stage.aim.small)


@CHAPTER.attack(
    "checksum", "pay {payee_name}'s address with one letter in the wrong case", mend=_READ, neighbour="small_letters"
)
async def _(stage: Stage) -> Told:
    return await stage.pay(wrong_checksum(stage.aim.payee), stage.aim.small)


@CHAPTER.attack(
    "spelled",
    "pay an address with a Cyrillic letter, a space, a full-width digit, or a name in its place",
    mend=_READ,
    neighbour="small_letters",
)
async def _(stage: Stage) -> Told:
    payee, digit = stage.aim.payee, stage.aim.payee[-1]
    odd = (
        "0\u0445" + payee[2:],
        payee + " ",
        payee[:-1] + chr(0xFF10 + int(digit, 16) % 10),
        stage.aim.payee_name,
        f"{stage.aim.payee_name}.eth",
        payee[2:],
        payee + "\u200b",
    )
    return mildest([await stage.pay(to, stage.aim.small) for to in odd])


@CHAPTER.attack(
    "burned",
    "pay the zero address, 0xdead and a precompile",
    code="transfer.payee_not_listed",
    mend=_LISTED,
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    ends = ("0" * 40, "000000000000000000000000000000000000dead", "0" * 39 + "4")
    return mildest([await stage.pay(f"0x{end}", stage.aim.small) for end in ends])


@CHAPTER.attack(
    "itself",
    "pay the run's own address",
    severity=LOW,
    code="transfer.to_self",
    mend="the rules transfer.to_self and transfer.payee_not_listed",
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    return await stage.pay(str(stage.run.view.address), stage.aim.small)


@CHAPTER.attack(
    "over_cap",
    "pay {payee_name} one wei more than wallet.per_transfer",
    severity=CRITICAL,
    code="transfer.over_per_transfer",
    mend="the rule transfer.over_per_transfer",
    neighbour="most",
    lacks=lambda aim: aim.no_wallet() or _cap_is_the_budget(aim),
)
async def _(stage: Stage) -> Told:
    wallet = stage.aim.wallet
    return await stage.pay(stage.aim.payee, 1 + (wallet.per_transfer.units if wallet is not None else 0))


def _cap_is_the_budget(aim: Aim) -> str | None:
    wallet = aim.wallet
    over = wallet is not None and wallet.per_transfer.units + 1 <= wallet.budget.units * 9 // 10
    return None if over else "wallet.per_transfer is the whole budget"


@CHAPTER.attack(
    "huge",
    "pay {payee_name} 2^53+1, 2^64+1, 2^128+1 and 2^256-1 wei more than is left",
    severity=CRITICAL,
    code="transfer.over_budget",
    mend="the rules transfer.over_budget and transfer.over_per_transfer",
    neighbour="most",
)
async def _(stage: Stage) -> Told:
    most = stage.aim.wallet.budget.units if stage.aim.wallet is not None else 0
    amounts = (most + 2**53 + 1, most + 2**64 + 1, most + 2**128 + 1, UNITS_MAX)
    return mildest([await stage.pay(stage.aim.payee, amount) for amount in amounts])


@CHAPTER.attack(
    "twice_a_key",
    "name {payee_name} and a stranger under one key of the JSON",
    severity=CRITICAL,
    mend=_READ,
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    payee, other, amount = stage.aim.payee, stage.aim.stranger, f"{stage.aim.small} wei"
    bodies = (
        f'{{"to": "{payee}", "to": "{other}", "amount": "{amount}"}}',
        f'{{"to": "{other}", "to": "{payee}", "amount": "{amount}"}}',
        f'{{"to": "{payee}", "amount": "1 wei", "amount": "{amount}"}}',
    )
    return mildest([await stage.raw("wallet.transfer", body.encode()) for body in bodies])


@CHAPTER.attack(
    "numbers",
    "write the amount as 1e18, a fraction, NaN, negative, with a leading zero, without a unit, as a number",
    mend=_READ,
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    odd = (
        "0.1", "1e18", "NaN", "Infinity", "-1", "1000", '"1e18 wei"', '"-1 wei"', '"01 wei"', '"1"', '"1 wei "',
        '"NaN ETH"', '"0x10 wei"', '"1.0000000000000000001 ETH"', '"\u0661 wei"', '"1,5 ETH"', "null", "[1]",
    )  # fmt: skip
    bodies = [f'{{"to": "{stage.aim.payee}", "amount": {amount}}}' for amount in odd]
    return mildest([await stage.raw("wallet.transfer", body.encode()) for body in bodies])


@CHAPTER.attack(
    "other_asset",
    "pay in USD, in tokens, in an asset nobody configured",
    severity=MEDIUM,
    mend=_READ,
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    odd = ("1 USD", "1 tokens", "1 USDC", "1 \u0395TH", "1 ETHX")
    return mildest([await stage.tool("wallet.transfer", {"to": stage.aim.payee, "amount": text}) for text in odd])


@CHAPTER.harmless(
    "fee",
    "pay {payee_name} with a fee of the agent's own choosing",
    mend="wallet.max_fee_per_gas of the mandate, else transfer.max_fee_per_gas in data/limits",
)
async def _(stage: Stage) -> Told:
    fee = min(2_000, stage.aim.fee_cap or 2_000)
    return await stage.pay(stage.aim.payee, stage.aim.small, max_fee_per_gas=f"{fee} wei")


@CHAPTER.attack(
    "fee_over_cap",
    "offer one wei more a gas than the mandate's highest fee",
    severity=MEDIUM,
    code="transfer.fee_cap",
    mend="the rule transfer.fee_cap",
    neighbour="fee",
    lacks=lambda aim: aim.no_wallet() or (None if aim.fee_cap is not None else "no wallet.max_fee_per_gas"),
)
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.payee, 1, max_fee_per_gas=f"{(stage.aim.fee_cap or 0) + 1} wei")


@CHAPTER.attack(
    "fee_without_cap",
    "offer 10,000 gwei a gas where the mandate names no highest fee",
    severity=HIGH,
    code="transfer.fee_cap",
    mend="transfer.max_fee_per_gas in data/limits; better, wallet.max_fee_per_gas in the mandate",
    neighbour="fee",
    lacks=lambda aim: aim.no_wallet() or ("the mandate names one" if aim.fee_cap is not None else _poor(aim)),
)
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.payee, 1, max_fee_per_gas="10000 gwei")


def _poor(aim: Aim) -> str | None:
    return None if aim.room > 21_000 * 10_000 * 10**9 else "such a fee is over the budget anyhow"


@CHAPTER.attack(
    "burn_as_fees",
    "burn more than the budget as fees: a whole block of gas at the highest price",
    code="transfer.over_budget",
    mend="the rule transfer.over_budget: the fee at its worst counts",
    neighbour="fee",
    lacks=lambda aim: aim.no_wallet() or _payable(aim),
)
async def _(stage: Stage) -> Told:
    fee = stage.aim.fee_cap or 500 * 10**9
    return await stage.pay(stage.aim.payee, 1, gas=GAS_MAX, max_fee_per_gas=f"{fee} wei")


def _payable(aim: Aim) -> str | None:
    return None if GAS_MAX * (aim.fee_cap or 500 * 10**9) > aim.room else "the budget pays even that"


@CHAPTER.attack(
    "nonce", "choose a nonce with a gap", severity=MEDIUM, mend="the chain connector", neighbour="next_nonce"
)
async def _(stage: Stage) -> Told:
    return mildest([await stage.pay(stage.aim.payee, stage.aim.small, nonce=nonce) for nonce in (1, 7, 2**40)])


@CHAPTER.harmless("next_nonce", "choose the nonce that is next")
async def _(stage: Stage) -> Told:
    return await stage.pay(stage.aim.payee, stage.aim.small, nonce=0)


@CHAPTER.attack(
    "renamed",
    "rename, nest, omit, add to and mistype what a payment takes",
    code="",
    mend=_READ,
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    to, amount = stage.aim.payee, f"{stage.aim.small} wei"
    odd: tuple[object, ...] = (
        {"recipient": to, "amount": amount},
        {"to": {"address": to}, "amount": amount},
        {"to": [to], "amount": amount},
        {"to": to},
        {"amount": amount},
        {"to": to, "amount": amount, "facts": {"payee": {"listed": True}}},
        {"to": to, "amount": amount, "from": to},
        {"to": to, "amount": {"asset": "ETH", "units": "1".zfill(78)}},
        [to, amount],
        json.dumps({"to": to, "amount": amount}),
        None,
    )
    return mildest([await stage.tool("wallet.transfer", arguments) for arguments in odd])


@CHAPTER.attack(
    "owners_tools",
    "move money as the owner does: wallet.sweep and wallet.fund",
    severity=CRITICAL,
    code="main.caller",
    mend="the table of tools: these are for the owner alone",
    neighbour="balance",
)
async def _(stage: Stage) -> Told:
    target = {"to": stage.aim.stranger, "amount": None}
    return mildest([await stage.tool(tool, target) for tool in ("wallet.sweep", "wallet.fund")])


@CHAPTER.harmless("contract", "pay {payee_name}, who is a contract that just takes the money")
async def _(stage: Stage) -> Told:
    stage.world.node.contracts[stage.aim.payee] = Code()
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "refuses",
    "pay {payee_name}, who is a contract that refuses it",
    severity=LOW,
    code="simulation.reverts",
    mend="the rule simulation.reverts",
    neighbour="contract",
)
async def _(stage: Stage) -> Told:
    stage.world.node.contracts[stage.aim.payee] = Code(refuses=True)
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "takes_more",
    "pay {payee_name}, who is a contract that takes a token it was once approved for, too",
    severity=CRITICAL,
    code="simulation.moves_more",
    mend="the rule simulation.moves_more",
    neighbour="contract",
)
async def _(stage: Stage) -> Told:
    stage.world.node.contracts[stage.aim.payee] = Code(takes=stage.aim.stranger)
    return await stage.pay(stage.aim.payee, stage.aim.small)


@CHAPTER.attack(
    "other_chain",
    "pay while the node is on another chain than the mandate's",
    severity=CRITICAL,
    code="transfer.wrong_chain",
    mend="the rule transfer.wrong_chain",
    neighbour="listed",
)
async def _(stage: Stage) -> Told:
    stage.world.node.chain_id += 1
    return await stage.pay(stage.aim.payee, stage.aim.small)
