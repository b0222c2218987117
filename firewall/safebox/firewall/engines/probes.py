"""Inputs every bundle must say no to before it may be in force: they grant nothing, or are no input at all."""

from __future__ import annotations

import json
from typing import Any, Final

from safebox.firewall.core.decision import Verdict
from safebox.firewall.engines.embedded import EmbeddedEngine
from safebox.firewall.errors import PolicyUnavailable

TOOLS: Final = (
    ("no.such_tool", "no_such_kind", "read"),
    ("email.send", "email", "outward"),
    ("email.list", "email_read", "read"),
    ("email.read", "email_read", "read"),
    ("wallet.transfer", "transfer", "value outward"),
    ("wallet.balance", "wallet_read", "read"),
    ("wallet.quote", "wallet_read", "read"),
    ("wallet.fund", "funding", "value"),
    ("wallet.sweep", "funding", "value"),
    ("compute.start", "compute", "value outward"),
    ("compute.status", "compute_read", "read"),
    ("compute.stop", "compute_stop", "release"),
    ("inference.chat", "inference", "value outward"),
    ("run.start", "launch", "outward"),
    ("wallet.approve", "token_approval", "value outward"),
    ("wallet.call", "contract_call", "value outward"),
    ("wallet.sign_typed_data", "signature", "value outward"),
    ("wallet.sign_message", "signature", "value outward"),
    ("wallet.pay_request", "payment", "value outward"),
    ("web.request", "web", "outward"),
    ("mcp.call", "mcp", "outward"),
    ("agent.spawn", "spawn", "value outward"),
    ("agent.children", "spawn_read", "read"),
)
"""The names, kinds and effects of `core.tools`, whose imports take longer than a whole check; a test compares them."""

_ADDRESS: Final = "0x" + "0" * 39 + "1"
_ALL_NULL: Final = b'{"action":null,"run":null,"mandate":null,"facts":null}'
_NOT_INPUTS: Final = (b"{}", b"null", b"[]", b'"allow"', b"0", _ALL_NULL)


def probe(engine: EmbeddedEngine) -> str | None:
    """Ask an engine everything it must deny; say what it got wrong, or nothing.

    Fails closed: a bundle that answers a probe with anything but a deny of the right shape is not put in force.
    """
    for name, document in probes():
        try:
            answer = engine.answer(document)
        except PolicyUnavailable as error:
            return f"no usable answer to {name}: {error.cause}"
        if answer.verdict is not Verdict.DENY:
            return f"says {answer.verdict} to {name}"
    return None


def probes() -> list[tuple[str, bytes]]:
    """What every bundle must deny: names for people, and inputs."""
    found = [(f"the input {document.decode()}", document) for document in _NOT_INPUTS]
    for tool, kind, effects in TOOLS:
        for caller in ("agent", "owner"):
            document = json.dumps(_nothing_granted(tool, kind, effects.split(), caller)).encode()
            found.append((f"{tool} asked by the {caller} when nothing is granted", document))
    return found


def _nothing_granted(tool: str, kind: str, effects: list[str], caller: str) -> dict[str, Any]:
    return {
        "action": {
            "id": "act_probe", "tool": tool, "kind": kind, "effects": effects, "args": {},
            "time": "2026-01-01T00:00:00Z", "caller": caller,
        },
        "run": {
            "id": "run_probe", "agent": "probe", "image": "probe", "depth": 0, "parent": None, "root": "run_probe",
            "engine": "none", "address": _ADDRESS, "state": "live",
        },
        "mandate": {
            "agent": "probe", "purpose": "probe", "task_digest": "sha256:0", "expires": "2026-01-02T00:00:00Z",
            "wallet": None, "tokens": None, "contracts": None, "signing": None, "mail": None, "compute": None,
            "inference": None, "web": None, "mcp": None, "lineage": None, "approvals": None,
            "total": None,
        },
        "facts": {
            "money": {"charges": [], "priced": True}, "total": None,
            "rates": {"minute": 0, "hour": 0, "day": 0, "denied_10m": 0},
            "expired": False, "frozen": False, "payee": None, "recipients": None, "wallet": None,
            "simulation": None, "compute": None, "inference": None, "token": None, "spender": None, "call": None,
            "signature": None, "payment": None, "web": None, "mcp": None, "self_overlap": None, "approval": None,
            "provenance": None, "lineage": None, "population": None, "launch": None,
            "behaviour": None, "objective": None,
        },
    }  # fmt: skip
