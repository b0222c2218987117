"""Single actions, as agents ask for them: what traces are written with."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

from safebox.firewall.core.addresses import checksummed
from safebox.firewall.core.money import Amount
from tests.bench.behaviour.theatre import Theatre

LISTED = "0x00000000000000000000000000000000000000B2"
"""The payee that the mandate lists."""
API = "api.example.org"
"""The host that the mandate lists."""
GWEI = 10**9


def address(random: Random) -> str:
    """Somebody's address."""
    return checksummed(random.randbytes(20))


def host(random: Random) -> str:
    """Somebody's host: by name or by number."""
    if random.random() < 0.5:
        return f"203.0.113.{random.randrange(1, 255)}"
    return f"n{random.randrange(10**6)}.{random.choice(['vps', 'cloud', 'hosting'])}.example"


def pay(theatre: Theatre, at: int, run: str, to: str, units: int, *, denied: bool = False) -> None:
    """Pay somebody."""
    arguments = {"to": to, "amount": f"{units} wei"}
    theatre.act(at, run, "wallet.transfer", arguments, cost=Amount(units, "ETH"), denied=denied)


def web(
    theatre: Theatre, at: int, run: str, method: str, url: str, body: Any = "", *, own: int = 0, result: Any = None
) -> None:
    """Ask a host something."""
    text = body if isinstance(body, str) else json.dumps(body)
    arguments = {"method": method, "url": url, "body_base64": base64.b64encode(text.encode()).decode()}
    theatre.act(at, run, "web.request", arguments, own=own, result=result or {})


def mail(theatre: Theatre, at: int, run: str, to: str, subject: str, body: str, *, own: int = 0) -> None:
    """Write to somebody."""
    theatre.act(at, run, "email.send", {"to": [to], "subject": subject, "body": body}, own=own)


def rent(theatre: Theatre, at: int, run: str, price: int, *, given: str = "", own: int = 0, result: Any = None) -> None:
    """Rent a container."""
    arguments = {"image": "reports:1", "command": ["python", "report.py"], "minutes": 30, "input": given or None}
    theatre.act(at, run, "compute.start", arguments, own=own, cost=Amount(price, "USD"), result=result or {})


def think(theatre: Theatre, at: int, run: str, price: int, system: str = "Answer briefly.") -> None:
    """Ask a model."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Go on."}]
    arguments = {"model": "small", "max_tokens": 100, "messages": messages}
    theatre.act(at, run, "inference.chat", arguments, cost=Amount(price, "USD"))
