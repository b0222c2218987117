"""What things cost: exact integers in micro-USD, rounded up, from configuration only."""

from __future__ import annotations

from safebox.firewall.core.mandate import ACCOUNT_COMPUTE, ACCOUNT_INFERENCE
from safebox.firewall.core.money import Amount
from safebox.firewall.core.price import ImagePrice, ModelPrice
from safebox.firewall.ports import Charge

__all__ = ["SECONDS_PER_MINUTE", "ImagePrice", "ModelPrice", "compute_charge", "inference_charges", "minutes_of"]

SECONDS_PER_MINUTE = 60
TOKENS_PER_PRICE = 1000


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
