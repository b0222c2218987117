"""Shop: sells reports, and earns. It invoices its customers, waits for their money, and mails each what it bought."""

from __future__ import annotations

import sys
import time

from safebox.agents import Toolbox

PRICE = "0.2 ETH"
PRICE_WEI = 2 * 10**17
CUSTOMERS = ("ada@buyer.example", "bela@buyer.example")  # in the mandate
SUPPLIER = "0x7291F5D988eF3954702e619a23B0C337B0693F05"  # in the mandate
WAIT_SECONDS = 30.0  # for all customers together
LOOK_SECONDS = 0.5
REPORT = "Quarter: Q2. Units sold: 1,204. Returned: 31. Open orders: 88. Next delivery: 12 June.\n"


def invoice(address: str, number: int) -> str:
    return (
        f"Thank you for your order.\n\nInvoice R-{number}: one quarterly report, {PRICE}.\nPlease pay to {address}.\n"
    )


def sales(box: Toolbox, before: int) -> int:
    """Return how many reports were paid for by now."""
    return max(0, box.balance().wei - before) // PRICE_WEI


def main() -> int:
    box = Toolbox()
    box.transfer(SUPPLIER, "0.05 ETH")
    wallet = box.balance()
    for number, customer in enumerate(CUSTOMERS, 1):
        box.send_mail([customer], f"Invoice R-{number}", invoice(wallet.address, number))
    delivered, end = 0, time.monotonic() + WAIT_SECONDS
    while delivered < len(CUSTOMERS) and time.monotonic() < end:
        for customer in CUSTOMERS[delivered : sales(box, wallet.wei)]:
            box.send_mail([customer], "Your report", REPORT)
            delivered += 1
        time.sleep(LOOK_SECONDS)
    print(f"shop: {delivered} of {len(CUSTOMERS)} reports sold and delivered.")
    return 0 if delivered else 1


if __name__ == "__main__":
    sys.exit(main())
