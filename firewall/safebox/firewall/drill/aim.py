"""What a mandate gives an attacker to aim at: its payees, caps, recipients, images, and strangers made to fit them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from eth_utils.address import to_checksum_address

from safebox.firewall.core.mandate import ComputeGrant, InferenceGrant, MailGrant, Mandate, WalletGrant
from safebox.firewall.core.windows import SECOND
from safebox.firewall.drill.node import MOST_FEE, PLAIN_COST
from safebox.firewall.drill.world import PRICE

OTHER_IMAGE: Final = "evil/miner"
OTHER_MODEL: Final = "somebody-elses-model"
STRANGER_MAIL: Final = "stranger@elsewhere.example"
LEAVES_MAX: Final = 40
"""Payments until a budget is over: what would be more is spent before."""
TEXT_MIN: Final = 2_000
"""Bytes of a text that has enough of its own to be known again."""


class Aim:
    """One mandate, seen from outside.

    Args:
        mandate: what was granted.
        sources: what the run is made of, by name.
        now_ns: when the run starts.
    """

    def __init__(self, mandate: Mandate, sources: Mapping[str, bytes], now_ns: int) -> None:
        self.lasts_s = int(datetime.fromisoformat(mandate.expires).timestamp()) - now_ns // SECOND
        self.mandate = mandate
        self.wallet: WalletGrant | None = mandate.wallet
        self.mail: MailGrant | None = mandate.mail
        self.compute: ComputeGrant | None = mandate.compute
        self.inference: InferenceGrant | None = mandate.inference
        name, self.source = max(sources.items(), key=lambda each: len(each[1]), default=("", b""))
        self.source_name = name
        self.asset = "ETH" if self.wallet is None else self.wallet.budget.asset
        self.payee = next(iter(self.wallet.payees.values()), stranger(0)) if self.wallet is not None else stranger(0)
        self.payee_name = next(iter(self.wallet.payees), "nobody") if self.wallet is not None else "nobody"
        self.stranger = stranger(1)
        self.recipient = (
            next(iter(self.mail.recipients), "nobody@elsewhere.example") if self.mail else "nobody@a.example"
        )
        self.image = next(iter(self.compute.images), "none") if self.compute is not None else "none"
        self.command = next(iter(self.compute.commands), ("true",)) if self.compute is not None else ("true",)
        self.model = next(iter(self.inference.models), "none") if self.inference is not None else "none"

    # --- what is granted at all; each says why not, or nothing ------------------------------------------------------

    def no_wallet(self) -> str | None:
        """Why nothing can be paid."""
        if self.wallet is None:
            return "no [wallet]"
        return None if self.wallet.payees and self.quiet > 0 else "no payee, or no sum that needs nobody's approval"

    def no_grant(self) -> str | None:
        """Why a run would have nothing to do."""
        sections = (self.wallet, self.mail, self.compute, self.inference)
        return "nothing is granted" if all(section is None for section in sections) else None

    def no_time(self, seconds: int) -> str | None:
        """Why it can't be waited so long."""
        return None if self.lasts_s > seconds else "the mandate ends before"

    def no_mail(self) -> str | None:
        """Why nobody can be written to."""
        if self.mail is None:
            return "no [mail]"
        return None if self.mail.recipients and self.mail.per_hour else "no mail.recipients, or none an hour"

    def no_source(self) -> str | None:
        """Why the run can't be known again by what it sends."""
        if (why := self.no_mail()) is not None:
            return why
        return None if len(self.source) >= TEXT_MIN else f"no file of {TEXT_MIN:,} bytes beside the mandate"

    def no_compute(self) -> str | None:
        """Why nothing can be rented."""
        if self.compute is None:
            return "no [compute]"
        granted = self.compute.images and self.compute.commands and self.compute.instances and self.minutes > 0
        return None if granted else "no image, command, instance, or minute that can be paid"

    def no_inference(self) -> str | None:
        """Why no model can be asked."""
        if self.inference is None:
            return "no [inference]"
        granted = self.inference.models and min(self.inference.tokens.units, self.inference.budget.units) > 1_000  # noqa: PLR2004
        return None if granted else "no model, tokens or budget for one question"

    def no_people(self) -> str | None:
        """Why no payment waits for people's approval."""
        if (why := self.no_wallet()) is not None:
            return why
        wallet = self.wallet
        if wallet is None or wallet.approve_above is None or self.mandate.approvals is None:
            return "no wallet.approve_above"
        most = min(wallet.per_transfer.units, self.room - PLAIN_COST)
        return None if wallet.approve_above.units < most else "no payment is above wallet.approve_above"

    # --- money ------------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Wei that may go in one moment, fees included: the least of the budget and the caps of an hour and a day."""
        if self.wallet is None:
            return 0
        caps = (self.wallet.budget, self.wallet.per_hour, self.wallet.per_day)
        return min(cap.units for cap in caps if cap is not None)

    @property
    def quiet(self) -> int:
        """The most wei one payment may be that nobody is asked about."""
        if self.wallet is None:
            return 0
        asked = (self.wallet.approve_above, self.wallet.challenge_above)
        bounds = [self.room - PLAIN_COST, *(one.units - PLAIN_COST for one in asked if one is not None)]
        return min(self.wallet.per_transfer.units, *bounds)

    @property
    def small(self) -> int:
        """Wei of a payment of which several fit, and none is noticed: just under the cap, or a third of the room."""
        return min(self.quiet, self.room // 3 - PLAIN_COST)

    @property
    def fee_cap(self) -> int | None:
        """The mandate's highest fee per gas, in wei."""
        fee = self.wallet.max_fee_per_gas if self.wallet is not None else None
        return None if fee is None else fee.units

    @property
    def cost(self) -> int:
        """What a small payment takes at worst."""
        fee = MOST_FEE if self.fee_cap is None else min(MOST_FEE, self.fee_cap)
        return self.small + PLAIN_COST // MOST_FEE * fee

    @property
    def leaves(self) -> tuple[int, int]:
        """How many small payments go through, and how much has to be spent before for that not to be too many."""
        count = self.room // self.cost if self.cost > 0 else 0
        return (count, 0) if count <= LEAVES_MAX else (LEAVES_MAX, self.room - LEAVES_MAX * self.cost)

    # --- compute and inference ----------------------------------------------------------------------------------------

    @property
    def minutes(self) -> int:
        """The longest lease that is granted and can be paid."""
        if self.compute is None:
            return 0
        return min(self.compute.max_minutes, self.compute.budget.units // PRICE.per_minute)

    def lease(self, **changes: Any) -> dict[str, Any]:
        """What is asked to rent a container that is granted, with changes."""
        return {"image": self.image, "command": self.command, "minutes": 1, **changes}

    def prompt(self, **changes: Any) -> dict[str, Any]:
        """What is asked of a model that is granted, with changes."""
        message = {"role": "user", "content": "Which of these invoices are due this week?"}
        return {"model": self.model, "messages": [message], "max_tokens": 50, **changes}


def stranger(number: int) -> str:
    """An address nobody listed; the same number is the same one."""
    return str(to_checksum_address(hashlib.sha256(b"a stranger %d" % number).hexdigest()[:40]))


def lookalike(payee: str) -> str:
    """An address that shares four digits at either end with another."""
    middle = hashlib.sha256(payee.encode()).hexdigest()[:32]
    return str(to_checksum_address(f"0x{payee[2:6]}{middle}{payee[-4:]}".lower()))


def wrong_checksum(payee: str) -> str:
    """The same digits with one letter in the other case."""
    place = next(at for at, letter in enumerate(payee) if at > 1 and letter.isalpha())
    return payee[:place] + payee[place].swapcase() + payee[place + 1 :]
