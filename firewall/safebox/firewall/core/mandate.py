"""What a human granted one run. Absent means none; an empty list grants nothing.

Values only: the file format and its error messages are in `safebox.firewall.mandate.file`.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from safebox.firewall.core.money import Amount, decode_amount, encode_amount

ACCOUNT_WALLET: Final = "wallet"
ACCOUNT_COMPUTE: Final = "compute"
ACCOUNT_INFERENCE: Final = "inference"
ACCOUNT_TOTAL: Final = "total"
"""What all the others are worth together, in the reference unit."""
CONNECTORS: Final = {
    "wallet": "chain",
    "tokens": "signing",
    "contracts": "chain",
    "signing": "signing",
    "mail": "mail",
    "compute": "compute",
    "inference": "inference",
    "web": "web",
    "mcp": "mcp",
    "lineage": "spawn",
}
"""The connector without which a section's grant could never be used."""


class WalletGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Money on chain: what may be spent, how much at once and in any hour or day, to whom (name → checksummed address).

    A payment that could take more than `approve_above` waits for people, one above `challenge_above` for silence.
    """

    chain: str
    chain_id: int
    budget: Amount
    per_transfer: Amount
    ceiling: Amount | None
    max_fee_per_gas: Amount | None
    payees: dict[str, str]
    approve_above: Amount | None = None
    challenge_above: Amount | None = None
    per_hour: Amount | None = None
    per_day: Amount | None = None


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An address with the owner's name for it."""

    name: str
    address: str


class TokenGrant(msgspec.Struct, frozen=True, kw_only=True):
    """One token: its contract and decimals by configuration, who may be paid in it, and which contracts may take it.

    What is approved is spent: it comes out of `budget` at once, and `per_approval` bounds a single approval. `standard`
    says which of the standards that share a call's selector its contract has; only ERC-20 has amounts to approve. A
    payment is at most `per_transfer`, and goes to `payees`; of things that are one of a kind both count things. What
    the wallet holds above `ceiling` goes back to the owner.
    """

    name: str
    address: str
    decimals: int
    budget: Amount
    per_approval: Amount
    spenders: tuple[Named, ...]
    standard: str = "erc20"
    payees: tuple[Named, ...] = ()
    per_transfer: Amount | None = None
    ceiling: Amount | None = None


class ContractGrant(msgspec.Struct, frozen=True, kw_only=True):
    """One contract: which functions of it may be called, by their whole signatures, and with how much ether at most."""

    name: str
    address: str
    functions: tuple[str, ...]
    value: Amount


class SigningGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Messages: the domains that may be signed in to (EIP-4361), and texts, letter by letter but for their places."""

    domains: tuple[str, ...]
    messages: tuple[str, ...]


class WebHost(msgspec.Struct, frozen=True, kw_only=True):
    """One host by its exact name: which ports, which methods, how many bytes a body may have."""

    host: str
    ports: tuple[int, ...]
    methods: tuple[str, ...]
    max_body: int


class WebGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Web requests: to which hosts, and how many an hour in all."""

    hosts: tuple[WebHost, ...]
    per_hour: int


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server and the tools of it that may be called, by their exact names."""

    name: str
    tools: tuple[str, ...]


class McpGrant(msgspec.Struct, frozen=True, kw_only=True):
    """MCP: which tools of which servers, and how many calls an hour in all."""

    servers: tuple[McpServer, ...]
    per_hour: int


class MailGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Mail: exact recipient addresses (lower case), how many messages an hour, and whether an inbox is readable."""

    recipients: tuple[str, ...]
    per_hour: int
    inbox: bool


class ComputeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Bought compute: which images with which exact command lines, for how much, how many at once, how long."""

    provider: str
    images: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    budget: Amount
    instances: int
    max_minutes: int


class InferenceGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Model calls: which models, how many tokens (prompt and completion together), for how much."""

    models: tuple[str, ...]
    tokens: Amount
    budget: Amount


class LineageGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Child runs: how many, how deep below this run, and what they may be: which images, which exact command lines.

    So many may begin an hour in the whole tree, whoever asks; without a number it is the policies' (`data/limits`).
    """

    children: int
    depth: int
    images: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    per_hour: int | None = None


class ApprovalsGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked about payments: so many of a group, within so many seconds; `window_s` of silence is a yes."""

    group: str
    needed: int
    expires_s: int
    window_s: int | None


class Mandate(msgspec.Struct, frozen=True, kw_only=True):
    """One run's grant. `expires` is RFC 3339 in UTC; `task_digest` names the task text without repeating it.

    `total` bounds what all that is granted may cost together, in USD.
    """

    agent: str
    purpose: str
    task_digest: str
    expires: str
    wallet: WalletGrant | None = None
    tokens: tuple[TokenGrant, ...] | None = None
    contracts: tuple[ContractGrant, ...] | None = None
    signing: SigningGrant | None = None
    mail: MailGrant | None = None
    compute: ComputeGrant | None = None
    inference: InferenceGrant | None = None
    web: WebGrant | None = None
    mcp: McpGrant | None = None
    lineage: LineageGrant | None = None
    approvals: ApprovalsGrant | None = None
    total: Amount | None = None

    def grants(self) -> dict[tuple[str, str], int]:
        """Every budget line, as (rail, asset) → smallest units."""
        lines: dict[tuple[str, str], int] = {}
        if self.wallet is not None:
            lines[ACCOUNT_WALLET, self.wallet.budget.asset] = self.wallet.budget.units
        for token in self.tokens or ():
            lines[ACCOUNT_WALLET, token.budget.asset] = token.budget.units
        if self.compute is not None:
            lines[ACCOUNT_COMPUTE, self.compute.budget.asset] = self.compute.budget.units
        if self.inference is not None:
            lines[ACCOUNT_INFERENCE, self.inference.tokens.asset] = self.inference.tokens.units
            lines[ACCOUNT_INFERENCE, self.inference.budget.asset] = self.inference.budget.units
        if self.total is not None:
            lines[ACCOUNT_TOTAL, self.total.asset] = self.total.units
        return lines

    def needs(self) -> dict[str, str]:
        """The connector each granted section needs, by the section's name."""
        granted = {name: getattr(self, name) for name in CONNECTORS}
        needed = dict(CONNECTORS)
        if not any(token.spenders for token in self.tokens or ()):
            needed["tokens"] = needed["wallet"]
        if self.lineage is not None and not self.lineage.children:
            granted["lineage"] = None
        return {name: needed[name] for name, grant in granted.items() if grant is not None}


_ENCODER: Final = msgspec.json.Encoder(enc_hook=encode_amount, order="deterministic")
_DECODER: Final = msgspec.json.Decoder(Mandate, dec_hook=decode_amount)


def encode_mandate(mandate: Mandate) -> bytes:
    """Say a mandate as canonical JSON: what policy sees, what the ledger keeps."""
    return _ENCODER.encode(mandate)


def decode_mandate(document: bytes) -> Mandate:
    """Read what `encode_mandate` wrote.

    Raises:
        msgspec.ValidationError: if it is anything else.
    """
    return _DECODER.decode(document)


def mandate_digest(mandate: Mandate) -> str:
    """The name of exactly this mandate."""
    return document_digest(encode_mandate(mandate))


def document_digest(document: bytes) -> str:
    """The name of a mandate by the words it was recorded with, which may be those of another version."""
    return "sha256:" + hashlib.sha256(document).hexdigest()


def as_builtins(mandate: Mandate) -> Any:
    """A mandate as plain JSON values, amounts padded."""
    return msgspec.to_builtins(mandate, enc_hook=encode_amount)
