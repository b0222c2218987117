"""A test double of a whole firewall for running the agents: it knows lists, and nothing of policy.

It stands where the gateways stand: tools over HTTP, and `eth_sendTransaction` in front of a stand-in chain. It reads
the lists of an agent's own safebox.toml, so that what agents print and how they go on can be tested without policy,
ledger and sandbox. It proves nothing about the firewall.
"""

from __future__ import annotations

import email
import email.policy
import json
import tomllib
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import HTTPProvider, Web3

from tests.unit.agents.gateway_double import Call, Reply, error, ok

KEY = "0x" + "11" * 32  # of the test alone
WALLET: str = Account.from_key(KEY).address
HASH = "0x" + "ab" * 32
DENIED_RPC = -32003  # "transaction rejected" (EIP-1474)
JOB_OUTPUT = '{"boiler_celsius": {"n": 6, "mean": 83.767}}'


class FirewallDouble:
    """Answers an agent's calls by the lists of its mandate; call it as a gateway double's script."""

    def __init__(self, folder: Path, chain_url: str | None = None) -> None:
        self.mandate: Mapping[str, Any] = tomllib.loads((folder / "safebox.toml").read_text())
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.denied: list[tuple[str, str]] = []
        self._chain_url = chain_url
        self._looks = 0
        inbox = self.mandate.get("mail", {}).get("inbox")
        self._mails = sorted((folder / inbox).glob("*.eml")) if inbox else []
        self._tools: dict[str, Callable[[dict[str, Any]], Reply]] = {
            "email.list": self._list_mail,
            "email.read": self._read_mail,
            "email.send": self._send_mail,
            "wallet.balance": lambda _: ok({"address": WALLET, "balance": "5", "balance_text": "5 wei"}),
            "wallet.transfer": self._transfer,
            "compute.start": self._start,
            "compute.status": self._status,
            "compute.stop": lambda args: ok({"instance": args["instance"], "charged": "0 USD"}),
        }

    def __call__(self, call: Call) -> Reply:
        arguments: dict[str, Any] = json.loads(call.body)
        if call.path == "/":
            return self._rpc(arguments)
        reply = self._tools[call.tool](arguments)
        if reply.status == 200:
            self.done.append((call.tool, arguments))
        return reply

    def reverse_inbox(self) -> None:
        self._mails.reverse()

    def _deny(self, tool: str, code: str) -> Reply:
        self.denied.append((tool, code))
        return error(403, code, "Not in the mandate.", decision_id=f"d-{len(self.denied)}")

    def _list_mail(self, _: dict[str, Any]) -> Reply:
        lines = [self._mail(path) for path in self._mails]
        return ok({"messages": [{key: line[key] for key in ("id", "from", "subject", "date")} for line in lines]})

    def _read_mail(self, arguments: dict[str, Any]) -> Reply:
        return ok(next(mail for path in self._mails if (mail := self._mail(path))["id"] == arguments["id"]))

    def _mail(self, path: Path) -> dict[str, str]:
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        headers = {name: str(mail[name]) for name in ("from", "to", "subject", "date")}
        return {"id": path.stem, **headers, "body": str(mail.get_content())}

    def _send_mail(self, arguments: dict[str, Any]) -> Reply:
        if set(arguments["to"]) <= set(self.mandate["mail"]["recipients"]):
            return ok({})
        return self._deny("email.send", "email.recipient_not_listed")

    def _transfer(self, arguments: dict[str, Any]) -> Reply:
        if arguments["to"] in self.mandate["wallet"]["payees"].values():
            return ok({"transaction_hash": HASH, "block_number": 1, "status": "success"})
        return self._deny("wallet.transfer", "transfer.payee_not_listed")

    def _start(self, arguments: dict[str, Any]) -> Reply:
        compute = self.mandate["compute"]
        if arguments["image"] not in compute["images"]:
            return self._deny("compute.start", "compute.image_not_listed")
        if arguments["command"] not in compute["commands"]:
            return self._deny("compute.start", "compute.command_not_listed")
        return ok({"instance": "i-1", "price_per_minute": "0.01 USD", "lease_minutes": arguments["minutes"]})

    def _status(self, arguments: dict[str, Any]) -> Reply:
        self._looks += 1
        if self._looks == 1:
            return ok({"instance": arguments["instance"], "state": "running", "exit_code": None, "output": ""})
        return ok({"instance": arguments["instance"], "state": "exited", "exit_code": 0, "output": JOB_OUTPUT})

    def _rpc(self, request: dict[str, Any]) -> Reply:
        if self._chain_url is None:
            return Reply(connection="closed")
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] != "eth_sendTransaction":
            return Reply(200, {**self._forward(self._chain_url, request), **answer})
        transaction = request["params"][0]
        if transaction["to"] not in self.mandate["wallet"]["payees"].values():
            self.denied.append(("eth_sendTransaction", "transfer.payee_not_listed"))
            reason = {"code": DENIED_RPC, "message": "transfer.payee_not_listed: Not in the mandate."}
            return Reply(200, {**answer, "error": reason})
        self.done.append(("eth_sendTransaction", transaction))
        return Reply(200, {**answer, "result": self._sign_and_send(transaction)})

    def _forward(self, chain_url: str, request: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        forwarded = urllib.request.Request(chain_url, body, headers)  # noqa: S310 - a stand-in of this test
        with urllib.request.urlopen(forwarded, timeout=10) as response:  # noqa: S310
            result: dict[str, Any] = json.load(response)
        return result

    def _sign_and_send(self, transaction: dict[str, Any]) -> str:
        w3 = Web3(HTTPProvider(self._chain_url))
        wallet = Web3.to_checksum_address(WALLET)
        signed = Account.from_key(KEY).sign_transaction(
            {
                "to": transaction["to"],
                "value": int(transaction["value"], 16),
                "gas": 21_000,
                "maxFeePerGas": Web3.to_wei(20, "gwei"),
                "maxPriorityFeePerGas": 1,
                "nonce": w3.eth.get_transaction_count(wallet),
                "chainId": w3.eth.chain_id,
            }
        )
        return w3.eth.send_raw_transaction(signed.raw_transaction).to_0x_hex()
