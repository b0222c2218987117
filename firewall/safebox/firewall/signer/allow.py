"""Whether a recorded allow is an allow for exactly this. Values in, values out.

1. the record is about a tool that signs this kind of thing, and the key asked for is the one it names
2. the run is on the mandate's chain, not stopped, and if it is a child, one that its parent's allow names; its owner
   may still bring the money home
3. what is to be signed is read from its bytes again, and writing it again gives the same bytes
4. it is, field by field, the recorded plan or what that plan names in its place, and takes no more than was reserved
5. the plan does what the recorded action asked for, and an owner's movement goes where an owner's may
6. the allow is new
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from safebox.firewall.accounts import decode_unsigned, unsigned_transaction
from safebox.firewall.connectors.transaction import Payment
from safebox.firewall.core.addresses import checksummed, keccak256
from safebox.firewall.core.approving import approval_data
from safebox.firewall.core.arguments import MoveFunds, Transfer
from safebox.firewall.core.calls import CallContract, read_again
from safebox.firewall.core.digests import message_digest, typed_data_digest
from safebox.firewall.core.messages import classify
from safebox.firewall.core.money import Amount, decode_amount, token_of
from safebox.firewall.core.movements import GAS_MONEY_MAX, sent
from safebox.firewall.core.record import Decided
from safebox.firewall.core.signing import Approve, AskTypedData, SignMessage, SignTypedData, normalise_typed_data
from safebox.firewall.core.tools import TOOLS, Caller
from safebox.firewall.core.x402 import Authorization, PayRequest, authorised
from safebox.firewall.errors import CallerError
from safebox.firewall.keystore import OWNER
from safebox.firewall.signer.record import Standing
from safebox.firewall.signer.refusal import Refused
from safebox.firewall.signer.watermark import Replacing
from safebox.firewall.signer.wire import Kind

FRESH_SECONDS: Final = 900
"""As long as an effect may take (`effects.EFFECT_SECONDS`): what was not signed by then was given up."""
KINDS: Final[dict[str, Kind]] = {
    "wallet.transfer": "transaction",
    "wallet.fund": "transaction",
    "wallet.sweep": "transaction",
    "wallet.approve": "transaction",
    "wallet.call": "transaction",
    "wallet.sign_typed_data": "typed_data",
    "wallet.sign_message": "message",
    "wallet.pay_request": "typed_data",
}
_ASSET: Final = "ETH"
_RAIL: Final = "wallet"
_OWNERS: Final = ("wallet.fund", "wallet.sweep")


class Approved(NamedTuple):
    """What may be signed: its hash, and for a transaction its fields and what it is to the plan."""

    digest: bytes
    fields: dict[str, Any] | None = None
    replacing: Replacing = ""


class Addresses(NamedTuple):
    """The address of the key asked for, of the run's and of the owner's."""

    signer: str
    run: str
    owner: str


def signer_for(decided: Decided) -> str:
    """Whose key this decision is about."""
    return OWNER if decided.tool == "wallet.fund" else decided.run


def check_standing(decided: Decided, run: Standing, *, cancelling: bool) -> None:
    """See that the run may still sign (2).

    Raises:
        Refused: if it ended, or was stopped and this is the agent's; a cancel takes nothing and is always allowed.
            What an ended run left behind still comes home, with gas that the owner pays for it. Nothing at all is
            signed for or to a child that no allow names.
    """
    if run.ended and decided.tool not in _OWNERS:
        raise Refused("stopped", "the run has ended")
    stopped = run.stopped()
    if stopped and decided.caller is Caller.AGENT and not cancelling:
        raise Refused("stopped", f"the run is {stopped}")
    if run.unallowed:
        raise Refused("no_birth", "it says that it is a child, and no allow of its parent names it")


def check_fresh(decided: Decided, run: Standing, now_ns: int) -> None:
    """See that the allow is new, and an agent's mandate not over (6).

    Raises:
        Refused: if it is not.
    """
    if now_ns - decided.at_ns > FRESH_SECONDS * 1_000_000_000:
        raise Refused("expired", "the allow is too old")
    if decided.caller is Caller.AGENT and datetime.fromisoformat(run.expires).timestamp() <= now_ns / 1e9:
        raise Refused("expired", "the run's mandate is over")


def read_transaction(decided: Decided, content: bytes, run: Standing, known: Addresses) -> Approved:
    """Read an unsigned transaction, and hold it against the plan and the action (3, 4, 5).

    Raises:
        Refused: if it is anything but what was decided.
    """
    try:
        fields = decode_unsigned(content)
        again = unsigned_transaction(fields)
        plan = msgspec.convert(decided.plan, Payment, dec_hook=decode_amount)
        wanted = plan.written()
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise Refused("not_the_plan", f"it can't be compared with the plan: {error}") from error
    if again != content:
        raise Refused("not_the_plan", "written again it is something else")
    signer = signer_for(decided)
    if (plan.signer, plan.sender) != (signer, known.signer):
        raise Refused("another_key", "the plan is for another key")
    if plan.chain_id != run.chain_id:
        raise Refused("wrong_chain", "the plan is for another chain than the run's mandate")
    _check_meant(decided, wanted, known, run)
    replacing = _replacing(plan, fields)
    _check_reserved(decided, fields)
    if decided.tool == "wallet.sweep" and not replacing:
        replacing = "home"
    return Approved(keccak256(content), fields, replacing)


def _replacing(plan: Payment, fields: dict[str, Any]) -> Replacing:
    """What the transaction is to the plan: itself, or what the plan names in its place."""
    itself, *instead = (each.written() for each in plan.variants())
    if fields == itself:
        return ""
    if fields in instead:
        return "cancel" if plan.give_up else "dearer"
    raise Refused("not_the_plan", "it is not the transaction that was decided")


def _check_reserved(decided: Decided, fields: dict[str, Any]) -> None:
    """See that it takes no more than was reserved; nothing is reserved for the owner's own movements.

    Raises:
        Refused: if it takes more.
    """
    worst = fields["value"] + fields["gas"] * fields["maxFeePerGas"]
    mine = (charge for charge in decided.charges if (charge.rail, charge.amount.asset) == (_RAIL, _ASSET))
    if decided.caller is Caller.AGENT and worst > sum(charge.amount.units for charge in mine):
        raise Refused("not_reserved", "it can take more than was reserved for it")


def _check_meant(decided: Decided, fields: dict[str, Any], known: Addresses, run: Standing) -> None:
    """See that the plan does what the recorded action says (5).

    Raises:
        Refused: if it doesn't.
    """
    to, value, data = checksummed(bytes.fromhex(fields["to"][2:])), fields["value"], fields["data"]
    match _args(decided):
        case Transfer() as args:
            meant = (to, value, data) == (args.to, args.amount.units, b"")
        case MoveFunds() as args:
            home = known.run if decided.tool == "wallet.fund" else known.owner
            amount = args.amount or Amount(value, _ASSET)  # all there is, which only native money can be
            meant = args.to == home and (to, value, data) == sent(home, amount)
            meant = meant and _may_move(decided, amount, fields["maxFeePerGas"], run)
        case Approve() as args:
            meant = (to, value, data) == (args.token, 0, approval_data(args))
        case CallContract() as args:
            meant = (to, value, data) == (args.to, args.value.units, args.content()) and _reads_as_judged(args)
        case _:
            meant = False
    if not meant or (decided.caller is Caller.OWNER) is not (decided.tool in _OWNERS):
        raise Refused("not_the_action", "the plan is not what the action asked for")


def _reads_as_judged(args: CallContract) -> bool:
    """Whether the data, read here once more, are the leaves that policy judged."""
    try:
        return read_again(args) == args.leaves
    except CallerError:
        return False


def _may_move(decided: Decided, amount: Amount, fee: int, run: Standing) -> bool:
    """Whether the owner may move this: native money, or a listed token. An ended run gets money for gas only."""
    token = token_of(amount.asset)
    if decided.tool == "wallet.fund" and run.ended:
        return token is None and amount.units <= GAS_MONEY_MAX * fee
    return amount.asset == _ASSET if token is None else token in run.tokens


def read_typed_data(decided: Decided, content: bytes, run: Standing, signer: str) -> Approved:
    """Read typed data, and hold it against the action (3, 5); `signer` is the address of the key asked for.

    Raises:
        Refused: if it is anything but what was decided.
    """
    args = _args(decided)
    if isinstance(args, PayRequest):
        args = _authorisation(decided, args, run, signer)
    try:
        text = content.decode()
        again = normalise_typed_data(msgspec.json.decode(content, type=AskTypedData))
    except (ValueError, CallerError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Refused("unreadable", f"it is no typed data: {error}") from error
    if not isinstance(args, SignTypedData) or again != args or again.typed_data != text:
        raise Refused("not_the_action", "it is not the typed data that was decided")
    data = again.parsed()
    if run.chain_id is None or data.domain.get("chainId") != str(run.chain_id):
        raise Refused("wrong_chain", "the typed data is for another chain than the run's mandate")
    return Approved(typed_data_digest(data))


def _authorisation(decided: Decided, args: PayRequest, run: Standing, signer: str) -> SignTypedData:
    """The one authorisation that pays what was asked, made again from action and plan (4, 5).

    Raises:
        Refused: if the plan is none, for another key or chain, lives longer than was asked, or more than was reserved.
    """
    try:
        plan = msgspec.convert(decided.plan, Authorization)
        wanted = authorised(args, plan, args.chain_id)
    except (ValueError, CallerError) as error:  # msgspec's errors are ValueErrors
        raise Refused("not_the_plan", f"the plan is no authorisation: {error}") from error
    if plan.payer != signer:
        raise Refused("another_key", "the plan is for another key")
    if args.chain_id != run.chain_id:
        raise Refused("wrong_chain", "the payment is for another chain than the run's mandate")
    if plan.valid_before > decided.at_ns // 1_000_000_000 + args.timeout_s:
        raise Refused("not_the_plan", "it would live longer than was asked")
    line = _RAIL, args.amount.asset
    mine = (each.amount.units for each in decided.charges if (each.rail, each.amount.asset) == line)
    if args.amount.units > sum(mine):
        raise Refused("not_reserved", "it can take more than was reserved for it")
    return wanted


def read_message(decided: Decided, content: bytes) -> Approved:
    """Hold a message against the action; what could act is not signed, whoever allowed it (3, 5).

    Raises:
        Refused: if it is anything but the text that was decided.
    """
    args = _args(decided)
    if not isinstance(args, SignMessage) or args.method != "personal_sign" or args.content() != content:
        raise Refused("not_the_action", "it is not the message that was decided")
    if classify(content) not in ("text", "sign_in"):
        raise Refused("no_text", "it is no text that people can read")
    return Approved(message_digest(content))


def _args(decided: Decided) -> Any:
    """The recorded arguments, in their own type."""
    return TOOLS[decided.tool].recall(json.loads(bytes(decided.action))["args"])
