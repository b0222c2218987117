"""Actions and runs as the pipeline hands them to connectors, and the round trip their plans make through the ledger."""

from typing import Any

import msgspec

from safebox.firewall.core.action import Action, canonical, digest_of
from safebox.firewall.core.mandate import ComputeGrant, InferenceGrant, Mandate, WalletGrant
from safebox.firewall.core.money import Amount
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.ports import Charge, Connector, Deliver, Outcome, RunView

NOON = 1_790_000_000 * 10**9
PAYEE = "0x" + "22" * 20


def action(tool: str, raw: Any, *, identity: str = "act_01") -> Action:
    known = TOOLS[tool]
    args = known.parse(raw)
    return Action(
        id=identity,
        run="run_01",
        tool=tool,
        kind=known.kind,
        effects=known.effects,
        caller=known.caller,
        args=args,
        digest=digest_of(args),
        key=None,
        received_ns=NOON,
    )


def mandate(*, cap: int | None = None, ceiling: int | None = None) -> Mandate:
    wallet = WalletGrant(
        chain="dev",
        chain_id=31337,
        budget=Amount(10**18, "ETH"),
        per_transfer=Amount(10**17, "ETH"),
        ceiling=None if ceiling is None else Amount(ceiling, "ETH"),
        max_fee_per_gas=None if cap is None else Amount(cap, "ETH"),
        payees={"supplier": PAYEE},
    )
    compute = ComputeGrant(
        provider="local",
        images=("base",),
        commands=(("true",),),
        budget=Amount(10**6, "USD"),
        instances=1,
        max_minutes=60,
    )
    inference = InferenceGrant(models=("scripted",), tokens=Amount(10**5, "TOKEN"), budget=Amount(10**6, "USD"))
    return Mandate(
        agent="tester",
        purpose="to be tested",
        task_digest="sha256:0",
        expires="2099-01-01T00:00:00Z",
        wallet=wallet,
        compute=compute,
        inference=inference,
    )


def view(*, address: str | None = None, run: str = "run_01", grants: Mandate | None = None) -> RunView:
    return RunView(id=run, agent="tester", mandate=grants or mandate(), address=address, folder=None)


async def run_it(
    connector: Connector, asked: Action, run: RunView, deliver: Deliver | None = None
) -> tuple[dict[str, Any], Outcome]:
    """Quote and perform, with the plan going through JSON in between as it does through the ledger."""
    quote = await connector.quote(asked, run)
    canonical(quote.facts)
    plan: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(quote.plan))
    return plan, await connector.perform(asked, run, plan, deliver)


def units(charges: tuple[Charge, ...], asset: str) -> int:
    return sum(charge.amount.units for charge in charges if charge.amount.asset == asset)
