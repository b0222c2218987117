"""What an image or a model costs: exact integers in micro-USD, from configuration only."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

Price = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
"""Micro-USD; the bound (a billion dollars) keeps every product far below 2**256."""


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


STANDIN_PRICE: Final = ModelPrice(input=150, output=600)
"""What the stand-in model is charged at, micro-USD per 1,000 tokens: a small hosted model's order of magnitude."""
IMAGE_PRICES: Final = {"safebox/base": ImagePrice(per_minute=10_000)}
"""The price list of the local provider, in micro-USD: a cent a minute, a small cloud machine's order of magnitude."""
