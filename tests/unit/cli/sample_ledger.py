"""A small ledger, written by the real store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from safebox.firewall.core.decision import Answer, Reason, Verdict
from safebox.firewall.core.mandate import Mandate, WalletGrant, encode_mandate, mandate_digest
from safebox.firewall.core.money import Amount, encode_amount
from safebox.firewall.core.record import (
    Charge,
    Decided,
    LedgerEvent,
    RunEnded,
    RunStarted,
    Settled,
    encode_event,
)
from safebox.firewall.core.tools import Caller
from safebox.firewall.store.sqlite import SqliteStore

RUN = "run_01m823p04f95wbzs0nvbxahaax"
ACME = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"
TENTH = Amount(10**17, "ETH")
AT = 1_795_000_000_000_000_000


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value, enc_hook=encode_amount))


def started() -> RunStarted:
    wallet = WalletGrant(
        chain="dev",
        chain_id=31337,
        budget=Amount(10**18, "ETH"),
        per_transfer=TENTH,
        ceiling=None,
        max_fee_per_gas=None,
        payees={"acme": ACME},
    )
    mandate = Mandate(agent="treasurer", purpose="p", task_digest="t", expires="2030-01-01T00:00:00Z", wallet=wallet)
    view = {"id": RUN, "agent": "treasurer", "address": ACME}
    return RunStarted(
        at_ns=AT,
        run=RUN,
        run_view=raw(view),
        mandate=msgspec.Raw(encode_mandate(mandate)),
        mandate_digest=mandate_digest(mandate),
        folder=None,
        task="t",
        inbox=None,
    )


def decided(
    number: int, tool: str, args: dict[str, Any], answer: Answer, facts: dict[str, Any] | None = None
) -> Decided:
    allowed = answer.verdict is Verdict.ALLOW
    return Decided(
        at_ns=AT + number * 10**9,
        decision=f"dec_{number}",
        action_id=f"act_{number}",
        run=RUN,
        tool=tool,
        kind=tool.partition(".")[0],
        caller=Caller.AGENT,
        key=None,
        digest="sha256:0",
        bundle="sha256:0",
        answer=answer,
        charges=(Charge("wallet", TENTH),) if allowed and tool == "wallet.transfer" else (),
        plan={},
        action=raw({"tool": tool, "args": args}),
        facts=raw(facts or {}),
    )


ALLOW = Answer(Verdict.ALLOW, (), {})
TRANSFER = decided(
    1, "wallet.transfer", {"to": ACME, "amount": TENTH}, ALLOW, {"payee": {"address": ACME, "name": "acme"}}
)
MAIL = decided(
    2,
    "email.send",
    {"to": ["mallory@evil.example"], "subject": "hi\x1b]0;owned\x07\nthere", "body": "", "attachments": []},
    Answer(Verdict.DENY, (Reason("email.recipient_not_listed", "the recipient is not in the mandate"),), {}),
)
HOLD = decided(3, "compute.stop", {"instance": "i1"}, Answer(Verdict.HOLD, (Reason("main.hold", "wait"),), {}))
SETTLED = Settled(
    at_ns=AT + 4 * 10**9,
    decision="dec_1",
    action_id="act_1",
    run=RUN,
    tool="wallet.transfer",
    status="done",
    charges=(Charge("wallet", TENTH),),
    refunds=(),
    result={"transaction_hash": "0x" + "ab" * 32, "block_number": 4, "status": "success"},
    detail="",
)
ENDED = RunEnded(at_ns=AT + 5 * 10**9, run=RUN, reason="exited", exit_code=0)


def write(path: Path, *events: LedgerEvent) -> None:
    async def append() -> None:
        store = SqliteStore(path)
        await store.append([encode_event(event) for event in events])
        store.close()

    asyncio.run(append())


def write_all(path: Path) -> None:
    write(path, started(), TRANSFER, MAIL, HOLD, SETTLED, ENDED)
