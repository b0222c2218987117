"""The sections of a mandate file about tokens and other contracts on the chain."""

from __future__ import annotations

import re
from typing import Any, Final

from safebox.firewall.core.abi import function
from safebox.firewall.core.arguments import parse_address
from safebox.firewall.core.mandate import ContractGrant, Named, TokenGrant
from safebox.firewall.core.money import DECIMALS, Amount, parse_token_amount, token_asset
from safebox.firewall.core.tokencalls import token_calls
from safebox.firewall.errors import CallerError, ConfigError
from safebox.firewall.mandate.section import Report, Section, show

LIST_MAX: Final = 1_000
FUNCTIONS_MAX: Final = 100
DECIMALS_MAX: Final = 36
"""Tokens have 18 at most in practice; more is only read, never needed."""

TOKEN_KEYS: Final = (
    "standard",
    "address",
    "decimals",
    "budget",
    "per_approval",
    "per_transfer",
    "ceiling",
    "spenders",
    "payees",
)
CONTRACT_KEYS: Final = ("address", "functions", "value")

_STANDARD: Final = re.compile(r"erc20|erc721|erc1155", re.ASCII)
_TOKEN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_TAKEN: Final = frozenset({"ETH", "WEI", "GWEI", "TOKENS", *DECIMALS})
"""Names of units that are something else already."""


def tokens_grant(report: Report, values: dict[str, Any]) -> tuple[TokenGrant, ...]:
    """Tokens, each a table `[tokens.NAME]`: who may be let take how much."""
    found: list[TokenGrant] = []
    for name, value in values.items():
        where = ("tokens", name)
        if _TOKEN_NAME.fullmatch(name) is None or name.upper() in _TAKEN:
            report.wrong(where, f"{show(name)} is no token's name", "letters, digits, '.', '-' and '_', and no unit")
        elif not isinstance(value, dict):
            report.wrong(where, f"{show(value)} is not accepted", f"a table [tokens.{name}]")
        else:
            section = Section(report, where, value, TOKEN_KEYS)  # pyright: ignore[reportUnknownArgumentType]
            token = _token(section, name)
            if token.address and any(each.address == token.address for each in found):
                section.wrong("address", "another token has the same address", "one name for a contract")
            found.append(token)
    return tuple(found)


def _token(section: Section, name: str) -> TokenGrant:
    standard = section.word("standard", '"erc20", "erc721" or "erc1155"', _STANDARD, default="erc20")
    address = section.read("address", 'an address in quotes, as in "0x…"', "", _address_of(section, "address"))
    decimals = section.whole("decimals", 0, DECIMALS_MAX)
    budget = _amount(section, "budget", name, decimals, address)
    payees = _named(section, "payees")
    each, once = (
        _amount(section, key, name, decimals, address) if key in section or needed else None
        for key, needed in (("per_approval", not payees), ("per_transfer", bool(payees)))
    )
    for key, cap in (("per_approval", each), ("per_transfer", once)):
        if cap is not None and cap.units > budget.units:
            section.wrong(key, "it is more than the budget", f"at most the budget of {name}")
    if standard != "erc20" and each is not None and each.units:
        section.wrong(
            "per_approval", f"{standard} has no amounts to approve, so approvals are only taken back", f"'0 {name}'"
        )
    ceiling = _amount(section, "ceiling", name, decimals, address) if "ceiling" in section else None
    if ceiling is not None and (standard != "erc20" or ceiling.units < budget.units):
        section.wrong("ceiling", "it is less than the budget, or the token has no amounts", "at least the budget")
    return TokenGrant(
        name=name,
        address=address,
        decimals=decimals,
        budget=budget,
        per_approval=each or Amount(0, budget.asset),
        spenders=_named(section, "spenders"),
        standard=standard,
        payees=payees,
        per_transfer=once,
        ceiling=ceiling,
    )


def _address_of(section: Section, *below: str) -> Any:
    def check(_: Any, value: Any) -> str | None:
        try:
            if isinstance(value, str):
                return parse_address(value)
            cause = f"{show(value)} is not accepted"
        except CallerError as error:
            cause = f"{show(value)} is not accepted: {error.cause}"
        section.wrong_at(below, cause, "the address of the contract")
        return None

    return check


_NOBODY: Final = "0x" + "0" * 40


def _amount(section: Section, key: str, name: str, decimals: int, address: str) -> Amount:
    nothing = Amount(0, token_asset(address or _NOBODY))
    expected = f"an amount as in '100 {name}'"

    def check(_: Any, value: Any) -> Amount | None:
        try:
            if isinstance(value, str) and value.isascii():
                return parse_token_amount(value, name=name, decimals=decimals, address=address or _NOBODY)
            cause = f"{show(value)} is not accepted"
        except ConfigError as error:
            cause = error.cause
        section.wrong(key, cause, expected)
        return None

    return section.read(key, expected, nothing, check)


def _named(section: Section, key: str) -> tuple[Named, ...]:
    found: dict[str, str] = {}
    entries = section.table(key)
    if len(entries) > LIST_MAX:
        section.wrong(key, f"it has {len(entries)} entries", f"at most {LIST_MAX}")
        return ()
    for name, value in entries.items():
        if _NAME.fullmatch(name) is None:
            section.wrong_at((key, name), f"{show(name)} is no name", "letters, digits, '.', '-' and '_'")
            continue
        address = _address_of(section, key, name)(None, value)
        if address in found.values():
            section.wrong_at((key, name), f"{show(name)} has the same address as another", "one name for each")
        elif address is not None:
            found[name] = address
    return tuple(Named(name=name, address=address) for name, address in found.items())


def contracts_grant(report: Report, values: dict[str, Any]) -> tuple[ContractGrant, ...]:
    """Contracts, each a table `[contracts.NAME]`: which functions of it may be called."""
    found: list[ContractGrant] = []
    for name, value in values.items():
        where = ("contracts", name)
        if _NAME.fullmatch(name) is None:
            report.wrong(where, f"{show(name)} is no contract's name", "letters, digits, '.', '-' and '_'")
        elif not isinstance(value, dict):
            report.wrong(where, f"{show(value)} is not accepted", f"a table [contracts.{name}]")
        else:
            section = Section(report, where, value, CONTRACT_KEYS)  # pyright: ignore[reportUnknownArgumentType]
            contract = _contract(section, name)
            if contract.address and any(each.address == contract.address for each in found):
                section.wrong("address", "another contract has the same address", "one name for a contract")
            found.append(contract)
    return tuple(found)


def _contract(section: Section, name: str) -> ContractGrant:
    functions = section.words("functions", 'functions as in "buy(uint256)"', _function, most=FUNCTIONS_MAX)
    if len({function(each).selector for each in functions}) != len(functions):
        section.wrong("functions", "two of them have one selector", "functions that can be told apart")
    return ContractGrant(
        name=name,
        address=section.read("address", 'an address in quotes, as in "0x…"', "", _address_of(section, "address")),
        functions=functions,
        value=section.amount("value", "ETH", "0.1 ETH") if "value" in section else Amount(0, "ETH"),
    )


def _function(text: str) -> str:
    found = function(text)
    if found.selector in token_calls():
        raise ConfigError(f"{show(text)} is a call of tokens, which [tokens] is for")
    return found.signature
