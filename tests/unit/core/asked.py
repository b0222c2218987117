"""For every tool, arguments as they are asked: the least there can be first, the most last."""

from typing import Any

from safebox.firewall.core.money import Amount

PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
PERMIT: dict[str, Any] = {
    "types": {
        "Permit": [
            {"name": "owner", "type": "address"},
            {"name": "spender", "type": "address"},
            {"name": "value", "type": "uint256"},
            {"name": "nonce", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ]
    },
    "primaryType": "Permit",
    "domain": {"name": "USD Coin", "version": "2", "chainId": 31337, "verifyingContract": TOKEN},
    "message": {"owner": PAYEE, "spender": PAYEE, "value": 2**256 - 1, "nonce": 0, "deadline": 1_800_000_000},
}
_MESSAGES = [{"role": "user", "content": "x"}]
_TRANSFERS: tuple[dict[str, Any], ...] = (
    {"to": PAYEE.lower(), "amount": "0 ETH"},
    {
        "to": PAYEE,
        "amount": "0.1 ETH",
        "gas": 21_000,
        "max_fee_per_gas": "20 gwei",
        "max_priority_fee_per_gas": "1 wei",
        "nonce": 7,
    },
)

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
    "wallet.transfer": _TRANSFERS,
    "wallet.balance": ({},),
    "wallet.quote": _TRANSFERS,
    "wallet.fund": ({"to": PAYEE, "amount": None}, {"to": PAYEE, "amount": Amount(2**256 - 1, "ETH")}),
    "wallet.sweep": ({"to": PAYEE, "amount": None}, {"to": PAYEE, "amount": Amount(1, "ETH")}),
    "compute.start": (
        {"image": "base", "command": ["true"], "minutes": 1},
        {"image": "base", "command": ["sh", "-c", "true"], "minutes": 9, "input": "x", "name": "job-1"},
    ),
    "compute.status": ({"instance": "i1"},),
    "compute.stop": ({"instance": "i1"},),
    "wallet.approve": (
        {
            "token": TOKEN.lower(),
            "spender": PAYEE,
            "standard": "erc721",
            "method": "set_approval_for_all",
            "approved": False,
        },
        {
            "token": TOKEN,
            "spender": PAYEE,
            "standard": "erc20",
            "method": "approve",
            "amount": "5",
            "gas": 50_000,
            "max_fee_per_gas": "20 gwei",
            "max_priority_fee_per_gas": "1 wei",
            "nonce": 7,
        },
    ),
    "wallet.call": (
        {"to": TOKEN.lower(), "data": "0xa9059cbb" + "00" * 12 + PAYEE[2:].lower() + "00" * 31 + "05"},
        {
            "to": PAYEE,
            "data": "0x40c10f19" + "00" * 12 + PAYEE[2:].lower() + "00" * 31 + "05",
            "value": "1 wei",
            "gas": 50_000,
            "max_fee_per_gas": "20 gwei",
            "max_priority_fee_per_gas": "1 wei",
            "nonce": 7,
            "contracts": [{"address": PAYEE, "standard": "erc721", "functions": ["mint(address,uint256)"]}],
        },
    ),
    "wallet.sign_typed_data": (
        {"types": {"Nothing": []}, "primaryType": "Nothing", "domain": {}, "message": {}},
        PERMIT,
    ),
    "wallet.pay_request": (
        {
            "requirements": {
                "scheme": "exact",
                "network": "eip155:31337",
                "maxAmountRequired": "1",
                "asset": TOKEN.lower(),
                "payTo": PAYEE.lower(),
                "resource": "https://api.example.org/",
                "maxTimeoutSeconds": 1,
                "extra": {"name": "USD Coin", "version": "2"},
            }
        },
        {
            "requirements": {
                "scheme": "exact",
                "network": "eip155:31337",
                "amount": str(2**256 - 1),
                "asset": TOKEN,
                "payTo": PAYEE,
                "maxTimeoutSeconds": 600,
                "extra": {"name": "USD Coin", "version": "2", "assetTransferMethod": "eip3009"},
            },
            "version": 2,
            "resource": "https://api.example.org/premium?day=1",
        },
    ),
    "wallet.sign_message": ({"message": "0x"}, {"message": "0x" + b"hello".hex(), "method": "eth_sign"}),
    "web.request": (
        {"method": "GET", "url": "https://api.example"},
        {
            "method": "POST",
            "url": "https://u:p@api.example:8443/a?b=c",
            "body_base64": "aGk=",
            "headers": [{"name": "Accept", "value": "text/plain"}],
        },
    ),
    "mcp.call": ({"server": "s", "tool": "t"}, {"server": "files", "tool": "read", "arguments": {"n": [1, 0.5]}}),
    "agent.spawn": (
        {"image": "base", "command": ["true"], "mandate": "[agent]"},
        {"image": "base", "command": ["sh", "-c", "true"], "mandate": "[agent]", "input": "x"},
    ),
    "agent.children": ({},),
    "inference.chat": (
        {"model": "m", "messages": _MESSAGES},
        {"model": "m", "messages": _MESSAGES, "max_tokens": 9, "stream": True, "temperature": 0.5},
    ),
}
