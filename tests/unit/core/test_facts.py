"""Policy is shown one document in which every field is always present, for every tool, whatever was granted."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from safebox.firewall.core.action import Action, Call, canonical
from safebox.firewall.core.books import Books, RunBook
from safebox.firewall.core.document import policy_input, shown_action, understand
from safebox.firewall.core.facts import build_facts, expired, rfc3339
from safebox.firewall.core.mandate import LineageGrant, MailGrant, Mandate, encode_mandate, mandate_digest
from safebox.firewall.core.money import UNITS_MAX, Amount, pad
from safebox.firewall.core.record import Charge, RunStarted
from safebox.firewall.core.tools import TOOLS
from tests.real_parts import ROOT
from tests.unit.connectors.actions import mandate as whole_mandate
from tests.unit.core.asked import ASKED, PAYEE

NOW = 1_790_000_000 * 10**9 + 123_456_789
SCHEMA: dict[str, Any] = json.loads((ROOT / "policies/schemas/input.json").read_text())
VALIDATOR: Any = Draft202012Validator(SCHEMA)  # partly untyped
OTHER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"

NOTHING_GRANTED = Mandate(agent="a", purpose="p", task_digest="sha256:" + "0" * 64, expires="2099-01-01T00:00:00Z")
ALL_GRANTED = msgspec.structs.replace(
    whole_mandate(cap=5, ceiling=6),
    task_digest="sha256:" + "0" * 64,
    mail=MailGrant(recipients=("a@b.example",), per_hour=1, inbox=True),
    lineage=LineageGrant(children=1, depth=1),
)
LEARNED: dict[str, Any] = {
    "payee": {"is_contract": True},
    "wallet": {
        "balance": {"asset": "ETH", "units": pad(UNITS_MAX)},
        "over_ceiling": True,
        "nonce": 0,
        "chain_id": 31337,
        "owner": OTHER,
    },
    "compute": {"image_digest": None, "price_per_minute": {"asset": "USD", "units": pad(1)}, "running": 0},
    "inference": {"prompt_bytes": 1, "max_tokens": None, "model_known": False},
}
OVERLAP = {"matched": 1, "share_bp": 10_000, "source": "main.py", "secrets": ["mnemonic"], "truncated": False}


def book_of(mandate: Mandate, address: str | None) -> RunBook:
    view = {
        "id": "run_1",
        "agent": mandate.agent,
        "image": "base",
        "depth": 0,
        "parent": None,
        "root": "run_1",
        "engine": "docker",
        "address": address,
        "state": "live",
    }
    books = Books()
    books.apply(
        RunStarted(
            at_ns=NOW,
            run="run_1",
            run_view=msgspec.Raw(canonical(view)),
            mandate=msgspec.Raw(encode_mandate(mandate)),
            mandate_digest=mandate_digest(mandate),
            folder=None,
            task="",
            inbox=None,
        )
    )
    return books.runs["run_1"]


def ask(tool: str, arguments: dict[str, Any]) -> Action:
    call = Call(run="run_1", tool=tool, arguments=arguments, caller=TOOLS[tool].caller)
    return understand(call, TOOLS[tool], "act_1", NOW)


def facts_of(action: Action, book: RunBook, **changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"address": None, "charges": (), "learned": {}, "self_overlap": None}
    return build_facts(action, book, **(known | changes))


def document(action: Action, book: RunBook, facts: dict[str, Any]) -> dict[str, Any]:
    shown = shown_action(action, TOOLS[action.tool])
    raw = policy_input(shown, book.started.run_view, book.started.mandate, msgspec.Raw(canonical(facts)))
    parsed: dict[str, Any] = json.loads(raw)
    return parsed


CASES = [(name, arguments) for name, each in ASKED.items() for arguments in each]


@pytest.mark.parametrize(("tool", "arguments"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.parametrize("mandate", [NOTHING_GRANTED, ALL_GRANTED], ids=["nothing granted", "all granted"])
@pytest.mark.parametrize("known", [False, True], ids=["nothing known", "all known"])
def test_what_policy_is_shown_is_what_its_schema_says(
    tool: str, arguments: dict[str, Any], mandate: Mandate, known: bool
) -> None:
    book, action = book_of(mandate, OTHER if known else None), ask(tool, arguments)
    charges = [Charge("wallet", Amount(UNITS_MAX, "ETH")), Charge("inference", Amount(0, "TOKEN"))]
    learned = {"charges": charges, "learned": LEARNED, "self_overlap": OVERLAP, "address": OTHER}
    shown = document(action, book, facts_of(action, book, **(learned if known else {})))
    errors = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(shown)]
    assert errors == []
    missing = [path for path in required(SCHEMA) if not there(shown, path)]
    assert missing == []


def required(schema: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all fields the schema demands outside of what may be null."""
    found: list[tuple[str, ...]] = []
    for name in schema.get("required", ()):
        found += [(*path, name), *required(schema["properties"][name], (*path, name))]
    return found


def there(shown: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(shown, dict) or name not in shown:
            return False
        shown = shown[name]  # pyright: ignore[reportUnknownVariableType]
    return True


def test_the_schema_is_one_and_admits_no_other_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    book, action = book_of(ALL_GRANTED, OTHER), ask("email.list", {})
    shown = document(action, book, facts_of(action, book))
    for place in (shown, shown["action"], shown["run"], shown["mandate"], shown["facts"]):
        place["more"] = 1
        assert not VALIDATOR.is_valid(shown)
        del place["more"]
    assert VALIDATOR.is_valid(shown)


def test_what_is_left_of_each_line_is_told_and_null_where_there_is_none() -> None:
    charges = [Charge("wallet", Amount(1, "ETH")), Charge("wallet", Amount(1, "USD"))]
    facts = facts_of(ask("email.list", {}), book_of(ALL_GRANTED, None), charges=charges)
    assert facts["money"] == {
        "charges": [
            {
                "rail": "wallet",
                "asset": "ETH",
                "units": pad(1),
                "remaining": pad(10**18),
                "hour": pad(1),
                "day": pad(1),
            },
            {"rail": "wallet", "asset": "USD", "units": pad(1), "remaining": None, "hour": None, "day": None},
        ],
        "priced": True,
    }


def test_a_payee_is_listed_only_to_the_letter_of_its_address() -> None:
    assert ALL_GRANTED.wallet is not None
    wallet = msgspec.structs.replace(ALL_GRANTED.wallet, payees={"acme": PAYEE})
    granted = msgspec.structs.replace(ALL_GRANTED, wallet=wallet)
    book = book_of(granted, None)
    known = facts_of(ask("wallet.transfer", {"to": PAYEE.lower(), "amount": "1 wei"}), book)["payee"]
    assert (known["name"], known["listed"], known["lookalike"]) == ("acme", True, None)
    near = PAYEE[:6].lower() + "0" * 30 + PAYEE[-6:].lower()
    other = facts_of(ask("wallet.transfer", {"to": near, "amount": "1 wei"}), book)["payee"]
    assert (other["name"], other["listed"], other["lookalike"]) == (None, False, "acme")
    nobody = facts_of(ask("wallet.transfer", {"to": PAYEE, "amount": "1 wei"}), book_of(NOTHING_GRANTED, None))["payee"]
    assert (nobody["listed"], nobody["is_contract"], nobody["self"]) == (False, None, False)


def test_paying_oneself_is_told() -> None:
    action, book = ask("wallet.transfer", {"to": OTHER, "amount": "1 wei"}), book_of(ALL_GRANTED, OTHER)
    assert facts_of(action, book, address=OTHER)["payee"]["self"] is True
    assert facts_of(action, book, address=None)["payee"]["self"] is False


def test_each_recipient_is_told_apart() -> None:
    action = ask("email.send", {"to": ["A@b.example", "x@b.example"], "subject": "", "body": ""})
    assert facts_of(action, book_of(ALL_GRANTED, None))["recipients"] == [
        {"address": "a@b.example", "listed": True},
        {"address": "x@b.example", "listed": False},
    ]
    assert not any(each["listed"] for each in facts_of(action, book_of(NOTHING_GRANTED, None))["recipients"])


@pytest.mark.parametrize(
    ("until", "is_over"),
    [
        ("2099-01-01T00:00:00Z", False),
        ("2001-01-01T00:00:00Z", True),
        (rfc3339(NOW // 10**9 * 10**9), True),
        ("", True),
        ("never", True),
        ("2099-13-01T00:00:00Z", True),
    ],
)
def test_a_time_that_is_past_or_cannot_be_read_is_over(until: str, is_over: bool) -> None:
    assert expired(msgspec.structs.replace(NOTHING_GRANTED, expires=until), NOW) is is_over


def test_times_are_utc_to_the_microsecond() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(NOW) == "2026-09-21T14:13:20.123456Z"
