"""Plain: an ordinary web3.py program. It imports nothing of safebox and was changed in no way to run in it."""

from __future__ import annotations

import json
import os
import sys
import urllib.request

from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception
from web3.types import TxParams

ACME = Web3.to_checksum_address("0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff")  # in the mandate
STRANGER = Web3.to_checksum_address("0x024FD72454c4a3840b7D9Ac04fA8fDB3E650AfeA")  # not in the mandate
RECEIPT_SECONDS = 60


def look(w3: Web3) -> None:
    address = Web3.to_checksum_address(os.environ["WALLET_ADDRESS"])
    print(f"chain {w3.eth.chain_id}, block {w3.eth.block_number}")
    print(f"{address} holds {Web3.from_wei(w3.eth.get_balance(address), 'ether')} ETH")


def pay(w3: Web3, to: str, ether: str) -> None:
    transaction: TxParams = {
        "from": Web3.to_checksum_address(os.environ["WALLET_ADDRESS"]),
        "to": Web3.to_checksum_address(to),
        "value": Web3.to_wei(ether, "ether"),
    }
    print(f"paying {ether} ETH to {to}")
    try:
        transaction_hash = w3.eth.send_transaction(transaction)
        receipt = w3.eth.wait_for_transaction_receipt(transaction_hash, timeout=RECEIPT_SECONDS)
    except Web3Exception as error:
        print(f"  {type(error).__name__}: {error}")
        return
    print(f"  paid in block {receipt['blockNumber']}, status {receipt['status']}, {transaction_hash.to_0x_hex()}")


def list_tools() -> None:
    url = os.environ["SAFEBOX_URL"] + "/v1/tools"
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - an address of the sandbox itself
        tools = json.load(answer)["tools"]
    print("tools here:", ", ".join(tool["name"] for tool in tools))


def main() -> int:
    w3 = Web3(HTTPProvider(os.environ["WEB3_PROVIDER_URI"]))
    look(w3)
    pay(w3, ACME, "0.05")
    pay(w3, STRANGER, "0.05")
    list_tools()
    return 0


if __name__ == "__main__":
    sys.exit(main())
