"""What an action is to the detectors: which step of a chain, what joins it to others, what it moves and to whom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from safebox.firewall.behaviour.chain import Chains
from safebox.firewall.behaviour.conduct import Deed
from safebox.firewall.behaviour.deals import value_deed
from safebox.firewall.behaviour.links import (
    CODE,
    COMPUTE,
    FUND,
    KEY,
    MESSAGE,
    PERSIST,
    amount_handle,
    bounded,
    handles_in,
    named,
)
from safebox.firewall.behaviour.recruiting import find_recruiting
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import SendEmail, StartCompute, Transfer, decode_base64
from safebox.firewall.core.calls import CallContract
from safebox.firewall.core.mandate import Mandate
from safebox.firewall.core.mcp import CallMcp
from safebox.firewall.core.record import Charge
from safebox.firewall.core.signing import Approve, SignMessage, SignTypedData
from safebox.firewall.core.web import WebRequest
from safebox.firewall.core.x402 import PayRequest

OWN_PIECES: Final = 12
"""Fingerprints of the run in one payload that make it a step of a chain: three lines of it, fewer than a copy has."""
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_WORD: Final = re.compile(r"[a-z]{4,}")
_STEM: Final = 5
"""Letters that tell a word: invoice and invoices, pay and paying are the same."""
_SUMMARY: Final = 400
"""Characters of an action in which it says what it is about."""


class Profile:
    """What people said about a run: names everybody may know, and the words of its purpose."""

    __slots__ = ("known", "mandate", "words")

    def __init__(self, mandate: Mandate, own: str | None, task: str) -> None:
        self.mandate = mandate
        self.known = frozenset(_listed(mandate, own))
        names = [mandate.agent, mandate.purpose, task, *_names(mandate)]
        self.words = frozenset(_stems(" ".join(names)))

    def deed(self, action: Action, chains: Chains, *, matched: int | None, charges: Sequence[Charge]) -> Deed:
        """What an action is.

        Args:
            action: what is asked for.
            chains: the steps there were.
            matched: how many fingerprints of the run its payload has; None if nobody could say.
            charges: what it would take at worst.
        """
        deed = self._plain(action.args, charges)
        if matched is None or matched >= OWN_PIECES:
            deed = _with_link(deed, CODE)
        to = tuple(_places(action.args))
        run, now = action.run, action.received_ns
        if not deed.links and COMPUTE in chains.joined(run, now, (), to):
            deed = _with_link(deed, MESSAGE)
        if deed.amount is not None and chains.joined(run, now, (), deed.handles):
            deed = _with_link(deed, FUND)
        if not deed.links:
            return msgspec.structs.replace(deed, handles=())
        handles = bounded([*to, *deed.handles, *handles_in(_text(action.args), self.known)])
        return msgspec.structs.replace(deed, links=tuple(sorted(deed.links)), handles=handles)

    def _plain(self, args: Any, charges: Sequence[Charge]) -> Deed:
        match args:
            case SendEmail():
                listed = () if self.mandate.mail is None else self.mandate.mail.recipients
                strangers = tuple(one for one in args.to if one not in listed)
                text = _text(args)
                return Deed(strangers=strangers, recruits=find_recruiting(text), related=self._related(text))
            case Transfer() | Approve() | CallContract() | SignTypedData() | SignMessage() | PayRequest():
                return value_deed(args, self.mandate, self._related)
            case StartCompute():
                prices = [handle for each in charges for handle in amount_handle(each.amount.asset, each.amount.units)]
                about = " ".join([args.image, *args.command])
                collects = ("server",)
                return Deed(links=(COMPUTE,), handles=tuple(prices), collects=collects, related=self._related(about))
            case WebRequest():
                links = () if args.method in _READS else named(args.path)
                return _outside(links, args.path, _text(args), related=self._related(args.path))
            case CallMcp():
                text = _text(args)
                return _outside(named(args.tool), args.tool, text, related=self._related(f"{args.tool} {text}"))
            case _:
                return Deed()

    def _related(self, text: str) -> bool:
        return not self.words.isdisjoint(_stems(text[:_SUMMARY]))


def outcome_handles(deed: Deed, result: dict[str, Any], known: frozenset[str]) -> tuple[str, ...]:
    """What a step turned out to be about: hosts and addresses in what came back, with what it was known by before."""
    return bounded([*deed.handles, *handles_in(str(result), known)])


def _with_link(deed: Deed, link: str) -> Deed:
    return deed if link in deed.links else msgspec.structs.replace(deed, links=(*deed.links, link))


def _outside(links: Iterable[str], name: str, text: str, *, related: bool) -> Deed:
    found = tuple(sorted(links))
    kinds = {KEY: "key", COMPUTE: "server", PERSIST: "domain" if "domain" in name.lower() else "schedule"}
    collects = {kinds[link] for link in found if link in kinds} - {"schedule"}
    if "signup" in name.lower() or "account" in name.lower():
        collects.add("account")
    collected = tuple(sorted(collects)) if found else ()
    return Deed(links=found, collects=collected, recruits=find_recruiting(text), related=related)


def _places(args: Any) -> Iterator[str]:
    """Where an action goes, as handles."""
    match args:
        case SendEmail():
            yield from (f"host:{one.rpartition('@')[2]}" for one in args.to)
        case WebRequest() | PayRequest():
            yield f"host:{args.host}"
        case CallMcp():
            yield f"mcp:{args.server}"
        case CallContract():
            yield f"address:{args.to.lower()}"
        case _:
            return


def _text(args: Any) -> str:
    match args:
        case SendEmail():
            return f"{args.subject} {args.body}"
        case StartCompute():
            return " ".join([*args.command, args.input or "", args.name or ""])
        case WebRequest():
            return f"{args.path} {decode_base64(args.body_base64).decode('utf-8', 'replace')}"
        case CallMcp():
            return args.arguments
        case _:
            return ""


def _listed(mandate: Mandate, own: str | None) -> Iterator[str]:
    if own is not None:
        yield own.lower()
    if mandate.wallet is not None:
        yield from (address.lower() for address in mandate.wallet.payees.values())
    for token in mandate.tokens or ():
        yield token.address.lower()
        yield from (one.address.lower() for one in (*token.spenders, *token.payees))
    yield from (contract.address.lower() for contract in mandate.contracts or ())
    if mandate.mail is not None:
        yield from (one.rpartition("@")[2] for one in mandate.mail.recipients)
    if mandate.web is not None:
        yield from (host.host for host in mandate.web.hosts)


def _names(mandate: Mandate) -> Iterator[str]:
    """The names by which people say what a run is for."""
    if mandate.wallet is not None:
        yield from mandate.wallet.payees
    if mandate.compute is not None:
        yield from mandate.compute.images
    if mandate.mcp is not None:
        yield from (server.name for server in mandate.mcp.servers)
    yield from (token.name for token in mandate.tokens or ())
    yield from (contract.name for contract in mandate.contracts or ())


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in _WORD.findall(text.lower())}
