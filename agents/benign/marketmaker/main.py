"""Market maker: sells and buys back the same thing with one listed desk, all day, for a small difference.

Value goes out and comes back nearly whole, again and again: what a trading loop looks like, and its owner granted it.
"""

from __future__ import annotations

import sys
import time

from safebox.agents import Toolbox

DESK = "0x7364e9cc5c914ca2cF59D596530a72D155cba0b7"  # in the mandate
ROUNDS = 4
LOT = "0.05 ETH"
LOT_WEI = 5 * 10**16
WAIT_SECONDS = 20.0  # for the desk's part of a round
LOOK_SECONDS = 0.2


def paid_back(box: Toolbox, before: int) -> bool:
    """Wait until most of what the lot cost is there again."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if box.balance().wei > before - LOT_WEI // 2:
            return True
        time.sleep(LOOK_SECONDS)
    return False


def main() -> int:
    box = Toolbox()
    closed = 0
    for number in range(1, ROUNDS + 1):
        before = box.balance().wei
        deal = box.transfer(DESK, LOT)
        print(f"round {number}: bought a lot, {deal.transaction_hash}")
        if not paid_back(box, before):
            print("  the desk did not buy it back")
            break
        closed += 1
    print(f"marketmaker: {closed} of {ROUNDS} rounds closed.")
    return 0 if closed == ROUNDS else 1


if __name__ == "__main__":
    sys.exit(main())
