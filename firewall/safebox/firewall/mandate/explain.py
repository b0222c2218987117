"""A mandate in plain words: what it lets an agent do, and what not."""

from __future__ import annotations

from typing import Final

import msgspec

from safebox.firewall.core.mandate import (
    ApprovalsGrant,
    ComputeGrant,
    InferenceGrant,
    LineageGrant,
    MailGrant,
    WalletGrant,
    mandate_digest,
)
from safebox.firewall.core.money import Amount
from safebox.firewall.mandate.file import RunFile
from safebox.firewall.mandate.rails import (
    Rail,
    command_line,
    contracts_rail,
    count,
    mcp_rail,
    rail,
    signing_rail,
    tokens_rail,
    web_rail,
)

__all__ = ["Explanation", "Rail", "command_line", "explain"]

GWEI: Final = 10**9


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A whole mandate, explained. `digest` names the mandate the ledger will record."""

    agent: str
    purpose: str
    expires: str
    command: tuple[str, ...]
    image: str
    digest: str
    rails: tuple[Rail, ...]


def explain(run_file: RunFile) -> Explanation:
    """Say in plain words what a mandate grants and what it doesn't."""
    mandate = run_file.mandate
    return Explanation(
        agent=mandate.agent,
        purpose=mandate.purpose,
        expires=mandate.expires,
        command=run_file.command,
        image=run_file.image,
        digest=mandate_digest(mandate),
        rails=(
            *_total(mandate.total),
            _wallet(mandate.wallet, mandate.approvals),
            tokens_rail(mandate.tokens),
            contracts_rail(mandate.contracts),
            signing_rail(mandate.signing),
            _mail(mandate.mail, run_file.inbox),
            _compute(mandate.compute),
            _inference(mandate.inference),
            web_rail(mandate.web),
            mcp_rail(mandate.mcp),
            _lineage(mandate.lineage),
        ),
    )


def _total(total: Amount | None) -> tuple[Rail, ...]:
    """Said only where there is one: without it, each rail is bounded by itself."""
    if total is None:
        return ()
    may_not = ["spend on anything without a fresh price"]
    return (rail("budget", [f"spend up to {total} in all, over everything below"], may_not),)


def _wallet(wallet: WalletGrant | None, approvals: ApprovalsGrant | None) -> Rail:
    if wallet is None:
        return rail("wallet", [], ["hold or move any money"])
    if not wallet.payees or not wallet.per_transfer.units or not wallet.budget.units:
        return rail("wallet", [], ["pay anybody: no payee is listed, or the sum is zero"])
    may = [
        f"spend up to {wallet.budget} in all, fees included, on chain {wallet.chain} (id {wallet.chain_id})",
        f"pay up to {wallet.per_transfer} at once",
        *(f"pay {name}, {address}" for name, address in wallet.payees.items()),
    ]
    may_not = ["pay anybody else", "spend what others send it: that goes back to the owner"]
    if wallet.max_fee_per_gas is not None:
        may_not.append(f"offer a fee above {_gwei(wallet.max_fee_per_gas)} per unit of gas")
    for cap, time in ((wallet.per_hour, "hour"), (wallet.per_day, "day")):
        if cap is not None:
            may_not.append(f"spend more than {cap} in any {time}, fees included")
    if wallet.ceiling is not None:
        may_not.append(f"hold more than {wallet.ceiling}: the rest goes back to the owner")
    return rail("wallet", may, may_not + _held(wallet, approvals))


def _held(wallet: WalletGrant, approvals: ApprovalsGrant | None) -> list[str]:
    """What waits for people; a payment counts with the most its fee could be."""
    if approvals is None:
        return []
    held: list[str] = []
    if wallet.approve_above is not None:
        who = f"{approvals.needed} of the group {approvals.group}"
        held.append(f"pay more than {wallet.approve_above} with the fee before {who} approve")
    if wallet.challenge_above is not None and approvals.window_s is not None:
        wait = f"{_time(approvals.window_s)} in which nobody of {approvals.group} says no"
        held.append(f"pay more than {wallet.challenge_above} with the fee before {wait}")
    return held


def _time(seconds: int) -> str:
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            number = seconds // size
            return f"{number} {word}{'' if number == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def _gwei(fee: Amount) -> str:
    whole, rest = divmod(fee.units, GWEI)
    return f"{fee.units} wei" if rest else f"{whole} gwei"


def _mail(mail: MailGrant | None, inbox: str | None) -> Rail:
    if mail is None:
        return rail("mail", [], ["send or read any mail"])
    may: list[str] = []
    may_not: list[str] = []
    if mail.recipients and mail.per_hour:
        may += [f"send {count(mail.per_hour, 'message')} an hour", *(f"write to {to}" for to in mail.recipients)]
        may_not.append("write to anybody else")
    else:
        may_not.append("send any mail: no recipient is listed, or the number is zero")
    if inbox is None:
        may_not.append("read any mail")
    else:
        may.append(f"read the mail in the folder {inbox}")
    return rail("mail", may, may_not)


def _compute(compute: ComputeGrant | None) -> Rail:
    if compute is None:
        return rail("compute", [], ["rent any container"])
    allowed = compute.images and compute.commands and compute.instances and compute.max_minutes
    if not allowed or not compute.budget.units:
        return rail("compute", [], ["rent any container: an image, a command, a number or the budget is missing"])
    may = [
        f"rent {count(compute.instances, 'container')} at a time from provider {compute.provider}",
        f"keep each for {count(compute.max_minutes, 'minute')}",
        f"spend up to {compute.budget} in all",
        *(f"start the image {image}" for image in compute.images),
        *(f"run exactly: {command_line(command)}" for command in compute.commands),
    ]
    return rail("compute", may, ["start another image or command"])


def _inference(inference: InferenceGrant | None) -> Rail:
    if inference is None:
        return rail("inference", [], ["ask any model"])
    if not inference.models or not inference.tokens.units or not inference.budget.units:
        return rail("inference", [], ["ask any model: no model is listed, or the tokens or the budget are zero"])
    may = [
        *(f"ask the model {model}" for model in inference.models),
        f"use up to {inference.tokens}, question and answer together",
        f"spend up to {inference.budget} in all",
    ]
    return rail("inference", may, ["ask another model"])


def _lineage(lineage: LineageGrant | None) -> Rail:
    if lineage is None or not all((lineage.children, lineage.depth, lineage.images, lineage.commands)):
        return rail("lineage", [], ["start any child run"])
    depth = "" if lineage.depth == 1 else f", down to {lineage.depth} generations"
    may = [
        f"start {count(lineage.children, 'child run')}{depth}, each on a part of this budget",
        *([] if lineage.per_hour is None else [f"start {lineage.per_hour} an hour at most, with those of children"]),
        *(f"start the image {image}" for image in lineage.images),
        *(f"run exactly: {command_line(command)}" for command in lineage.commands),
    ]
    return rail("lineage", may, ["start a copy in any other way"])
