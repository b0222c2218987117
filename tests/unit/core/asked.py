"""For every tool, arguments as they are asked: the least there can be first, the most last."""

from typing import Any

from safebox.firewall.core.money import Amount

PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
_MESSAGES = [{"role": "user", "content": "x"}]

ASKED: dict[str, tuple[dict[str, Any], ...]] = {
    "email.send": (
        {"to": ["a@b.example"], "subject": "", "body": ""},
        {
            "to": ["A@b.example", "c@d.example"],
            "subject": "s",
            "body": "b",
            "attachments": [{"name": "a.txt", "content_base64": "aGk="}],
        },
    ),
    "email.list": ({},),
    "email.read": ({"id": "1"},),
    "wallet.transfer": (
        {"to": PAYEE.lower(), "amount": "0 ETH"},
        {
            "to": PAYEE,
            "amount": "0.1 ETH",
            "gas": 21_000,
            "max_fee_per_gas": "20 gwei",
            "max_priority_fee_per_gas": "1 wei",
            "nonce": 7,
        },
    ),
    "wallet.balance": ({},),
    "wallet.fund": ({"to": PAYEE, "amount": None}, {"to": PAYEE, "amount": Amount(2**256 - 1, "ETH")}),
    "wallet.sweep": ({"to": PAYEE, "amount": None}, {"to": PAYEE, "amount": Amount(1, "ETH")}),
    "compute.start": (
        {"image": "base", "command": ["true"], "minutes": 1},
        {"image": "base", "command": ["sh", "-c", "true"], "minutes": 9, "input": "x", "name": "job-1"},
    ),
    "compute.status": ({"instance": "i1"},),
    "compute.stop": ({"instance": "i1"},),
    "inference.chat": (
        {"model": "m", "messages": _MESSAGES},
        {"model": "m", "messages": _MESSAGES, "max_tokens": 9, "stream": True, "temperature": 0.5},
    ),
}
