"""The sections of a mandate file that grant something, one function each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from safebox.firewall.core.arguments import COMMAND_MAX, LEASE_MINUTES_MAX, parse_address, parse_mailbox
from safebox.firewall.core.mandate import ComputeGrant, InferenceGrant, LineageGrant, MailGrant, WalletGrant
from safebox.firewall.core.money import Amount
from safebox.firewall.errors import CallerError, ConfigError
from safebox.firewall.mandate.section import Section, as_list, nearest, show
from safebox.firewall.mandate.toml import Path

CHAINS: Final[dict[str, int]] = {"dev": 31337, "mainnet": 1, "sepolia": 11155111}
"""Chain ids by configuration (EIP-155); `dev` is the stand-in chain. Others need `chain_id`."""
CHAIN_ID_MAX: Final = 2**63 - 1
"""Ids beyond 64 bit break common wallets; ERC-2294 bounds them below this."""
PROVIDERS: Final = ("local",)
"""Where compute can be bought."""

LIST_MAX: Final = 1_000
"""Entries of one list, payees included: more is no list a person has read."""
PER_HOUR_MAX: Final = 10_000
INSTANCES_MAX: Final = 100
TOKENS_MAX: Final = 10**12
CHILDREN_MAX: Final = 1_000
DEPTH_MAX: Final = 16

PLAIN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_PAYEE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
IMAGE_NAME: Final = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,254}(?:@sha256:[0-9a-f]{64})?", re.ASCII)
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}", re.ASCII)
_FOLDER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*", re.ASCII)
_WORD: Final = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]{1,4096}")
_LAST_RESERVED: Final = 0xFFFF
"""Zero and the precompiled contracts; what is sent there is lost."""
_BURNED: Final = 0xDEAD


def wallet_grant(wallet: Section) -> WalletGrant:
    """Money on chain."""
    chain = wallet.word("chain", f"a chain: {', '.join(CHAINS)}, or any with its chain_id", PLAIN_NAME)
    grant = WalletGrant(
        chain=chain,
        chain_id=_chain_id(wallet, chain),
        budget=wallet.amount("budget", "ETH", "1 ETH"),
        per_transfer=wallet.amount("per_transfer", "ETH", "0.5 ETH"),
        ceiling=wallet.optional_amount("ceiling", "ETH", "2 ETH"),
        max_fee_per_gas=wallet.optional_amount("max_fee_per_gas", "ETH", "100 gwei"),
        payees=_payees(wallet),
        approve_above=wallet.optional_amount("approve_above", "ETH", "0.5 ETH"),
        challenge_above=wallet.optional_amount("challenge_above", "ETH", "0.1 ETH"),
        per_hour=wallet.optional_amount("per_hour", "ETH", "0.2 ETH"),
        per_day=wallet.optional_amount("per_day", "ETH", "0.5 ETH"),
    )
    if grant.per_transfer.units > grant.budget.units:
        wallet.wrong("per_transfer", f"{grant.per_transfer} is more than the budget", f"at most {grant.budget}")
    if grant.ceiling is not None and grant.ceiling.units < grant.budget.units:
        wallet.wrong("ceiling", f"{grant.ceiling} is less than the budget", f"at least {grant.budget}")
    upper, lower = grant.approve_above, grant.challenge_above
    if upper is not None and lower is not None and lower.units >= upper.units:
        wallet.wrong("challenge_above", f"{lower} is not less than approve_above", f"less than {upper}")
    return grant


def _chain_id(wallet: Section, chain: str) -> int:
    if "chain_id" not in wallet:
        if chain and chain not in CHAINS:
            wallet.wrong("chain", f"the id of chain {chain!r} is not known", f"{', '.join(CHAINS)}, or chain_id = N")
        return CHAINS.get(chain, 0)
    given = wallet.whole("chain_id", 1, CHAIN_ID_MAX)
    if chain in CHAINS and given != CHAINS[chain]:
        wallet.wrong("chain_id", f"chain {chain!r} has another id than {given}", str(CHAINS[chain]))
    return given


def _payees(wallet: Section) -> dict[str, str]:
    payees: dict[str, str] = {}
    entries = wallet.table("payees")
    if len(entries) > LIST_MAX:
        wallet.wrong("payees", f"it has {len(entries)} entries", f"at most {LIST_MAX}")
        return {}
    for name, value in entries.items():
        if _PAYEE.fullmatch(name) is None:
            wallet.wrong_at(("payees", name), f"{show(name)} is no name", "letters, digits, '.', '-' and '_'")
        elif name.lower() in {other.lower() for other in payees}:
            wallet.wrong_at(("payees", name), f"{show(name)} differs from another name only in case", "another name")
        else:
            payees[name] = _payee(wallet, name, value, payees)
    return payees


def _payee(wallet: Section, name: str, value: Any, payees: dict[str, str]) -> str:
    where = ("payees", name)
    if not isinstance(value, str):
        wallet.wrong_at(where, f"{show(value)} is not accepted", 'an address in quotes, as in "0x…"')
        return ""
    try:
        address = parse_address(value)
    except CallerError as error:
        wallet.wrong_at(where, f"{show(value)} is not accepted: {error.cause}", "the address as its owner gave it")
        return ""
    number = int(address, 16)
    if number <= _LAST_RESERVED or number == _BURNED:
        wallet.wrong_at(where, f"{show(value)} belongs to nobody", "an address somebody holds the key of")
    for other, known in payees.items():
        if known == address:
            wallet.wrong_at(where, f"{show(name)} has the same address as {other!r}", "one name for an address")
    return address


def inbox_folder(mail: Section) -> str | None:
    """The folder with the inbox, relative to the file, or none."""
    if "inbox" not in mail:
        return None
    return mail.word("inbox", "a folder beside this file, without '..', as in \"inbox\"", _FOLDER)


def mail_grant(mail: Section, inbox: str | None) -> MailGrant:
    """Mail, out and in."""
    return MailGrant(
        recipients=mail.words("recipients", "plain mail addresses", _recipient, most=LIST_MAX),
        per_hour=mail.whole("per_hour", 0, PER_HOUR_MAX),
        inbox=inbox is not None,
    )


def _recipient(text: str) -> str:
    if "*" in text:
        raise ConfigError(f"{show(text)} looks like a pattern, and there are none")
    return parse_mailbox(text)


def compute_grant(compute: Section) -> ComputeGrant:
    """Bought compute."""
    return ComputeGrant(
        provider=_provider(compute),
        images=_images(compute),
        commands=_commands(compute),
        budget=compute.amount("budget", "USD", "2 USD"),
        instances=compute.whole("instances", 0, INSTANCES_MAX),
        max_minutes=compute.whole("max_minutes", 0, LEASE_MINUTES_MAX),
    )


def _provider(compute: Section) -> str:
    provider = compute.word("provider", f"one of {', '.join(PROVIDERS)}", PLAIN_NAME)
    if provider and provider not in PROVIDERS:
        compute.wrong("provider", f"there is no provider {provider!r}", nearest(provider, PROVIDERS))
    return provider


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ConfigError(f"{show(text)} is not accepted")
        return text

    return check


def _commands(compute: Section) -> tuple[tuple[str, ...], ...]:
    expected = 'a list of exact command lines, as in [["python", "job.py"]]'

    def check(path: Path, value: Any) -> tuple[tuple[str, ...], ...] | None:
        lines = as_list(value)
        if lines is None or len(lines) > LIST_MAX:
            compute.wrong("commands", f"{show(value)} is not accepted", expected)
            return None
        found = [words_of(compute, (*path[1:], index), line, expected) for index, line in enumerate(lines)]
        return tuple(line for line in found if line is not None)

    return compute.read("commands", expected, (), check)


def inference_grant(inference: Section) -> InferenceGrant:
    """Model calls."""
    return InferenceGrant(
        models=inference.words("models", "model names", _matching(_MODEL), most=LIST_MAX),
        tokens=Amount(inference.whole("tokens", 0, TOKENS_MAX), "TOKEN"),
        budget=inference.amount("budget", "USD", "1 USD"),
    )


def lineage_grant(lineage: Section) -> LineageGrant:
    """Child runs; without a list of images or commands there are none."""
    return LineageGrant(
        children=lineage.whole("children", 0, CHILDREN_MAX),
        depth=lineage.whole("depth", 0, DEPTH_MAX),
        images=_images(lineage) if "images" in lineage else (),
        commands=_commands(lineage) if "commands" in lineage else (),
        per_hour=lineage.whole("per_hour", 0, CHILDREN_MAX) if "per_hour" in lineage else None,
    )


def _images(section: Section) -> tuple[str, ...]:
    return section.words("images", "image names", _matching(IMAGE_NAME), most=LIST_MAX)


def words_of(section: Section, where: Path, value: Any, expected: str) -> tuple[str, ...] | None:
    """A command line: a list of words, the first of them a program."""
    words = as_list(value)
    if words is None or not 0 < len(words) <= COMMAND_MAX:
        section.wrong_at(where, f"{show(value)} is not accepted", expected)
        return None
    for index, word in enumerate(words):
        if not isinstance(word, str) or _WORD.fullmatch(word) is None:
            section.wrong_at(
                (*where, index), f"{show(word)} is not accepted", "a word: text without control characters"
            )
            return None
    return tuple(words)
