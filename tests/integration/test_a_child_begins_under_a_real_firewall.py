"""A whole firewall starts a child with a wallet: funded over signer and chain, handed over, stopped with its parent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from safebox.firewall.core.action import Call
from safebox.firewall.daemon import Firewall
from safebox.firewall.engines.bundle import pack_folder
from safebox.firewall.settings import STAND_IN_CHAIN_ID, Settings
from tests.twins import PAYEE, TwinHost

COMMON = f"""
image = "base"
purpose = "Pay in parts."
[wallet]
chain = "dev"
budget = "BUDGET ETH"
per_transfer = "0.1 ETH"
max_fee_per_gas = "100 gwei"
[wallet.payees]
acme = "{PAYEE}"
"""
PARENT = (
    """[agent]
name = "parent"
task = "Share it out."
command = ["python", "main.py"]
expires = "2h"
"""
    + COMMON.replace("BUDGET", "1")
    + """
[lineage]
children = 2
depth = 1
images = ["base"]
commands = [["python", "child.py"]]
"""
)
CHILD = """[agent]
name = "child"
task = "Pay a part."
command = ["python", "child.py"]
expires = "1h"
""" + COMMON.replace("BUDGET", "0.4")


class NoCompute:
    """A provider that nothing is rented from."""


async def test_a_child_is_funded_handed_over_and_ended_with_what_it_had(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", policies=(pack_folder(),))
    host = TwinHost()
    firewall = Firewall(settings, cast("Any", NoCompute()), STAND_IN_CHAIN_ID, children=host)
    await firewall.start()
    try:
        asked = {"mandate": PARENT, "source": "safebox.toml", "folder": None, "engine": "none"}
        parent = str((await firewall.operate("start", asked, []))["run"])
        spawn = {"image": "base", "command": ["python", "child.py"], "mandate": CHILD}
        reply = await firewall.pipeline.handle(Call(run=parent, tool="agent.spawn", arguments=spawn))
        assert reply.status == "done", (reply.code, reply.message)
        (child,) = host.launched
        told = await firewall.operate("adopt", {"run": child, "engine": "none"}, [])
        assert told["run"] == child
        assert told["environment"]["WALLET_ADDRESS"] == told["address"]
        pay = {"to": PAYEE, "amount": "0.1 ETH"}
        paid = await firewall.pipeline.handle(Call(run=child, tool="wallet.transfer", arguments=pay))
        assert paid.status == "done", (paid.code, paid.message)
        left = firewall.ledger.book(parent).lines["wallet", "ETH"]
        assert (left.reserved, left.lent) == (0, 4 * 10**17)
        over = await firewall.pipeline.handle(
            Call(run=parent, tool="agent.spawn", arguments={**spawn, "mandate": CHILD.replace("0.4 ETH", "0.7 ETH")})
        )
        assert over.status == "denied"
        await firewall.operate("end", {"run": parent, "reason": "exited", "exit_code": 0}, [])
        again = await firewall.pipeline.handle(Call(run=child, tool="wallet.transfer", arguments=pay))
        assert again.code == "firewall.run_not_live"
        ended = await firewall.operate("end", {"run": child, "reason": "stopped", "exit_code": 0}, [])
        assert ended["swept"] == "done"
    finally:
        await firewall.close()
