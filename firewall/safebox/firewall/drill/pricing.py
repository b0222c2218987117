"""What assets cost in the drill: next to nothing, until an attack says otherwise, whatever they cost outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.money import token_asset
from safebox.firewall.core.total import DIGITS, Reading

CHEAP: Final = 1
"""In 10**-18 USD: what a mandate grants of one asset stays within its total, which other entries don't try."""
DEAR: Final = 10 ** (2 * DIGITS)
MAX_AGE_S: Final = 300
NATIVE_DECIMALS: Final = 18


def decimals_of(mandate: Mandate) -> dict[str, int]:
    """The decimals of every asset the mandate grants, but those of the total's own unit."""
    tokens = {token_asset(token.address): token.decimals for token in mandate.tokens or ()}
    native = {} if mandate.wallet is None else {mandate.wallet.budget.asset: NATIVE_DECIMALS}
    return native | tokens


class MemoryPrices:
    """Prices of a feed that never fails by itself. `usd` is what each asset costs, `age_s` how old that is.

    Args:
        decimals: of each asset that has a price.
    """

    def __init__(self, decimals: Mapping[str, int]) -> None:
        self.usd: int | None = CHEAP
        self.age_s = 0
        self._decimals = decimals

    def ask(self, asset: str) -> Reading | None:
        """Say what is known of an asset's price; None: nothing."""
        decimals = self._decimals.get(asset)
        if decimals is None or self.usd is None:
            return None
        return Reading(usd=self.usd, decimals=decimals, age_s=self.age_s, max_age_s=MAX_AGE_S)
