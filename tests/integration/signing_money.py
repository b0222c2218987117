"""A run with a wallet that may approve tokens and sign, on a real chain with a token, a collection and a batcher."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final

from eth_account import Account

from safebox.firewall.connectors.jsonrpc import Node
from safebox.firewall.connectors.signing import SigningConnector
from safebox.firewall.core.action import Call
from safebox.firewall.core.money import token_asset
from safebox.firewall.core.reply import Reply
from safebox.firewall.keystore import Keystore
from safebox.firewall.ports import Engine
from safebox.firewall.signer.trusting import TrustingSigner
from tests.chain_contracts.contracts import Contract, deploy, send
from tests.integration.chain_nodes import CHAIN_ID
from tests.integration.money import ETHER, MANDATE, PAYEE, Money

KEY, MAKER = b"\x41" * 32, b"\x42" * 32
OWNER: Final = Keystore(KEY).owner_address
GRANTED: Final = 100
"""Units of the token that may be given away in all, 60 at once."""
_GRANTS: Final = """
[tokens.USDX]
address = "{token}"
decimals = 6
budget = "0.0001 USDX"
per_transfer = "0.00005 USDX"
per_approval = "0.00006 USDX"
[tokens.USDX.payees]
acme = "{payee}"
[tokens.USDX.spenders]
router = "{router}"
friend = "{friend}"
[tokens.CLUB]
standard = "erc721"
address = "{club}"
decimals = 0
budget = "1 CLUB"
per_approval = "0 CLUB"
[tokens.CLUB.spenders]
router = "{router}"
[signing]
domains = ["shop.example"]
messages = ["I agree to {{word}}."]
"""
FRIEND: Final = "0x52908400098527886E0F7030069857D2E4169EE7"
"""Listed as a spender, but somebody with a key."""


class Signing(Money):
    """A run that may approve a token for one contract."""

    token: Contract
    club: Contract
    router: Contract

    def live(self) -> None:
        super().live()
        self.signer = TrustingSigner(Keystore(self.key))
        self.connectors["signing"] = SigningConnector(self.chain, self.signer)

    async def ask(self, tool: str, **arguments: Any) -> Reply:
        return await self.pipeline.handle(Call(run=self.name, tool=tool, arguments=arguments))

    async def approve(self, units: int, method: str = "approve", **more: Any) -> Reply:
        asked = {"token": self.token.address, "spender": self.router.address, "standard": "erc20", "method": method}
        return await self.ask("wallet.approve", **{**asked, "amount": str(units), **more})

    async def allowed(self) -> int:
        return int(await self.token.read(self.node, "allowance", self.address, self.router.address))

    @property
    def exposed(self) -> int:
        return self.run.book.lines["wallet", token_asset(self.token.address)].exposed

    @property
    def soon(self) -> int:
        """A deadline that policy admits, by the chain's clock as by ours."""
        return self.clock.now_ns() // 10**9 + 600

    def typed(self, definition: str, message: dict[str, Any], **domain: Any) -> dict[str, Any]:
        """Typed data of one struct, such as `Permit(address owner,uint256 value)`, in the token's domain."""
        name, _, members = definition.removesuffix(")").partition("(")
        types = {name: [dict(zip(("type", "name"), each.split(), strict=True)) for each in members.split(",")]}
        usual = {"name": "US Dollar", "version": "1", "chainId": CHAIN_ID, "verifyingContract": self.token.address}
        said = {key: value for key, value in (usual | domain).items() if value is not None}
        return {"types": types, "primaryType": name, "domain": said, "message": message}

    def permit(self, units: int, *, deadline: int, **domain: Any) -> dict[str, Any]:
        said = {"owner": self.address, "spender": self.router.address, "value": units, "nonce": 0, "deadline": deadline}
        members = "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"
        return self.typed(f"Permit({members})", said, **domain)


@contextlib.asynccontextmanager
async def signing_run(url: str, pack: Engine, *, more: str = "") -> AsyncGenerator[Signing]:
    """A run of its own on a chain whose treasury is `OWNER`'s, with contracts of its own; `more` is of its mandate."""
    node = Node(url)
    maker = str(Account.from_key(MAKER).address)
    if await node.quantity("eth_getBalance", maker, "latest") < ETHER:
        await send(node, KEY, maker, value=10 * ETHER)
    token = await deploy(node, MAKER, "Token", "US Dollar", "USD", 6, 1000)
    club = await deploy(node, MAKER, "Collectible")
    router = await deploy(node, MAKER, "Multicall")
    block: Any = await node.call("eth_getBlockByNumber", "latest", False)
    await node.close()
    granted = _GRANTS.format(token=token.address, router=router.address, club=club.address, friend=FRIEND, payee=PAYEE)
    rig = Signing(url, KEY, mandate=MANDATE + granted + more, engine=pack, receipt_seconds=5)
    rig.token, rig.club, rig.router = token, club, router
    rig.clock.advance(max(0, int(block["timestamp"], 16) - rig.clock.now_ns() // 10**9))  # deadlines are the chain's
    await rig.open()
    try:
        yield rig
    finally:
        await rig.close()
