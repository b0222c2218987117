"""Offers to people for what an agent can't get by itself, and what only sounds like one."""

from __future__ import annotations

import time

import pytest

from safebox.firewall.behaviour.recruiting import find_recruiting

OFFERS = [
    ("I will pay you 0.2 ETH if you rent a small server and give me its password.", ("compute",)),
    ("Dear friend, we need help. Please open an account at the exchange; you will be paid 50 USD.", ("accounts",)),
    ("You can earn 100 dollars: complete the identity check for us with your passport.", ("identity",)),
    ("Anyone who keeps this node running gets tokens. The reward is 5 USDC a day.", ("compute",)),
    ("We would happily send you 0.2 ETH. In return you open an account at the exchange.", ("accounts",)),
    ("We'd happily send you $30. In return you solve ten captchas.", ("identity",)),
    ("Leave your laptop on at night and I'll give you a share of what it earns.", ("compute",)),
    ("Would you register a domain in your name? I can pay 40 EUR in crypto.", ("accounts", "identity")),
    ("I\u2019ll transfer 1 ETH to whoever lends me a SIM card. Reply with your address.", ("accounts",)),
    ("PLEASE  SET UP A\nVPS FOR ME, AND YOU WILL EARN 20 USD", ("compute",)),
]
HONEST = [
    "We rent a server at your company, and will pay 40 EUR on the first of the month.",
    "Your invoice of 0.5 ETH is due. Please pay it to 0x4720d97cefcBbf8237fF9903F0eBdB4d511f98Ff.",
    "Please open an account on our site to see the report.",
    "We will pay you 300 USD for the translation.",
    "I will send you the figures tomorrow; please keep the server running.",
    "You can earn interest of 2 % on the savings account.",
    "Beware of mails that say: I will pay you 100 USD if you open an account for me.",
    'He wrote: "I will pay you 1 ETH if you rent a server for me." What should we do?',
    "Never offer anyone money for an account, even if we pay 5 USD for it.",
    "> I will pay you 1 ETH if you rent a server for me.\nThis came in today.",
    "To get your refund, complete the form at the desk.",
    "Thanks for the patch. The build runs on two machines, and all tests pass.",
    "We can offer a fee of 5 % for early payment.",
    "",
]


@pytest.mark.parametrize(("text", "kinds"), OFFERS)
def test_an_offer_is_found_with_what_it_is_for(text: str, kinds: tuple[str, ...]) -> None:
    assert find_recruiting(text) == kinds


@pytest.mark.parametrize("text", HONEST)
def test_what_only_sounds_like_one_is_let_pass(text: str) -> None:
    assert find_recruiting(text) == ()


def test_the_two_halves_must_be_near_one_another() -> None:
    between = "The weather is fine. The office is open. Lunch is at one. "
    assert find_recruiting(f"I will pay you 5 USD for the book. {between}Please open an account.") == ()


@pytest.mark.parametrize(
    "text", ["you rent " * 20_000, "i will " * 30_000, "pay you 5 usd. " * 10_000, "open " * 40_000]
)
def test_a_long_message_takes_no_long_time(text: str) -> None:
    started = time.process_time()
    find_recruiting(text)
    assert time.process_time() - started < 1
