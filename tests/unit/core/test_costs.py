"""What an agent is told of a cost: exact sums, null for what nobody knows, and strangers' texts made harmless."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.core.arguments import MoveFunds, Transfer
from safebox.firewall.core.costs import SAID_MAX, QuoteTransfer, one_line, told
from safebox.firewall.core.money import UNITS_MAX, Amount
from safebox.firewall.core.simulated import PLAIN, UNABLE, Simulated
from safebox.firewall.core.tools import TOOLS
from safebox.firewall.errors import CallerError
from tests.unit.core.asked import ASKED, PAYEE

QUOTE, TRANSFER = TOOLS["wallet.quote"], TOOLS["wallet.transfer"]
UNITS = st.integers(0, UNITS_MAX)


def ether(units: int) -> Amount:
    return Amount(units, "ETH")


def asked(units: int = 10**17) -> QuoteTransfer:
    args: QuoteTransfer = QUOTE.parse({"to": PAYEE, "amount": f"{units} wei"})
    return args


@pytest.mark.parametrize("raw", ASKED["wallet.transfer"])
def test_it_is_read_as_a_transfer_is_and_is_none(raw: dict[str, Any]) -> None:
    quoted, paid = QUOTE.parse(raw), TRANSFER.parse(raw)
    assert msgspec.structs.asdict(quoted) == msgspec.structs.asdict(paid)
    assert not isinstance(quoted, Transfer | MoveFunds)
    assert QUOTE.reads_only
    assert not QUOTE.moves_wallet


@pytest.mark.parametrize(
    "raw",
    [
        {"to": PAYEE, "amount": f"{2**256} wei"},
        {"to": PAYEE, "amount": "-1 wei"},
        {"to": PAYEE, "amount": "1e18 wei"},
        {"to": PAYEE, "amount": "0.1"},
        {"to": PAYEE, "amount": 1},
        {"to": PAYEE, "amount": "1 USDC"},
        {"to": PAYEE, "amount": "1 USD"},
        {"to": PAYEE, "amount": None},
        {"to": "acme", "amount": "1 wei"},
        {"to": "acme.eth", "amount": "1 wei"},
        {"to": PAYEE + " ", "amount": "1 wei"},
        {"to": PAYEE.swapcase(), "amount": "1 wei"},
        {"to": PAYEE, "amount": "1 wei", "gas": 20_999},
        {"to": PAYEE, "amount": "1 wei", "gas": 10**9},
        {"to": PAYEE, "amount": "1 wei", "nonce": -1},
        {"to": PAYEE, "amount": "1 wei", "max_fee_per_gas": "1 USD"},
        {"to": PAYEE, "amount": "1 wei", "token": PAYEE},
        {"to": PAYEE},
        {"amount": "1 wei"},
        [],
    ],
)
def test_what_is_no_transfer_has_no_cost(raw: Any) -> None:
    with pytest.raises(CallerError):
        QUOTE.parse(raw)


@given(amount=UNITS, fee=UNITS, balance=UNITS)
def test_a_balance_is_enough_exactly_from_the_total_on(amount: int, fee: int, balance: int) -> None:
    total = min(amount + fee, UNITS_MAX)
    answer = told(asked(amount), balance=ether(balance), gas=21_000, total=ether(total), tried=PLAIN)
    assert answer["enough"] is (balance >= total)
    assert int(answer["amount"]) + int(answer["fee"]) == int(answer["total"]) == total
    assert int(answer["balance"]) == balance


def test_it_is_told_in_smallest_units_and_in_words() -> None:
    total = ether(10**17 + 21_000)
    assert told(asked(), balance=ether(10**18), gas=21_000, total=total, tried=PLAIN) == {
        "to": PAYEE,
        "amount": "100000000000000000",
        "amount_text": "0.1 ETH",
        "gas": 21_000,
        "fee": "21000",
        "fee_text": "0.000000000000021 ETH",
        "total": "100000000000021000",
        "total_text": "0.100000000000021 ETH",
        "balance": "1000000000000000000",
        "balance_text": "1 ETH",
        "enough": True,
        "reverts": False,
        "revert_reason": None,
    }


@pytest.mark.parametrize(("balance", "enough"), [(10**18, None), (10**17, None), (10**17 - 1, False), (0, False)])
def test_what_nobody_knows_is_null_and_never_a_yes(balance: int, enough: bool | None) -> None:
    answer = told(asked(), balance=ether(balance), gas=None, total=None, tried=UNABLE)
    assert answer["enough"] is enough
    nulls = {name for name, value in answer.items() if value is None}
    assert nulls >= {"gas", "fee", "fee_text", "total", "total_text", "reverts", "revert_reason"}


@given(text=st.text(max_size=3 * SAID_MAX))
def test_what_strangers_say_is_one_bounded_line_of_what_can_be_seen(text: str) -> None:
    for said in (one_line(text), _reason(text) or ""):
        assert len(said) <= SAID_MAX
        assert said.isprintable()
    assert not text.isprintable() or one_line(text) == text[:SAID_MAX]


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\r\n", "\u202e", "\u200b", "\u2028", "\U000e0041", "\x00", "\x85"])
def test_nothing_moves_a_screen_or_hides_in_a_reason(hidden: str) -> None:
    said = _reason(f"pay{hidden}me") or ""
    assert hidden[0] not in said
    assert said.startswith("pay\ufffd")
    assert said.endswith("me")


def test_a_reason_is_told_of_what_reverts_only() -> None:
    quiet = Simulated(by="call", reverts=False, reason="a text nobody asked for")
    assert told(asked(), balance=ether(1), gas=None, total=None, tried=quiet)["revert_reason"] is None


def _reason(text: str) -> str | None:
    tried = Simulated(by="call", reverts=True, reason=text)
    said: str | None = told(asked(), balance=ether(1), gas=None, total=None, tried=tried)["revert_reason"]
    return said
