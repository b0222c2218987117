"""What things cost: exact integers in micro-USD, rounded up, from configuration only."""

from __future__ import annotations

from typing import Annotated

import msgspec

from safebox.firewall.core.mandate import ACCOUNT_COMPUTE, ACCOUNT_INFERENCE
from safebox.firewall.core.money import Amount
from safebox.firewall.ports import Charge

Price = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
"""Micro-USD; the bound (a billion dollars) keeps every product far below 2**256."""
SECONDS_PER_MINUTE = 60
TOKENS_PER_PRICE = 1000


class ModelPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's price in micro-USD per 1000 tokens."""

    input: Price
    output: Price


class ImagePrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A container's price in micro-USD per started minute, and the least a start costs."""

    per_minute: Price
    minimum: Price = 0

    def cost(self, minutes: int) -> int:
        """Micro-USD for so many minutes."""
        return max(self.minimum, self.per_minute * minutes)


def minutes_of(seconds: int) -> int:
    """Started minutes, at least one."""
    return max(1, -(-seconds // SECONDS_PER_MINUTE))


def inference_charges(price: ModelPrice | None, prompt_tokens: int, completion_tokens: int) -> tuple[Charge, ...]:
    """The charges of one inference; without a price only its tokens."""
    tokens = Charge(ACCOUNT_INFERENCE, Amount(prompt_tokens + completion_tokens, "TOKEN"))
    if price is None:
        return (tokens,)
    cost = -(-(prompt_tokens * price.input + completion_tokens * price.output) // TOKENS_PER_PRICE)
    return tokens, Charge(ACCOUNT_INFERENCE, Amount(cost, "USD"))


def compute_charge(units: int) -> Charge:
    """A charge of so many micro-USD on the compute line."""
    return Charge(ACCOUNT_COMPUTE, Amount(units, "USD"))
