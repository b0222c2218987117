"""What an action could be in a chain that ends in a copy, and what joins it to the others: hosts, addresses, digests.

An agent that copies itself rents a machine, makes a key, moves its code there, funds it and starts it: in any order,
over several rails, hours apart. Each step alone may be fine. So each is named here, with everything it could share with
the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

COMPUTE: Final = "compute"
KEY: Final = "key"
CODE: Final = "code"
FUND: Final = "fund"
START: Final = "start"
MESSAGE: Final = "message"
PERSIST: Final = "persist"
LINKS: Final = (CODE, COMPUTE, FUND, KEY, MESSAGE, PERSIST, START)
"""The steps of a chain: own code moved, a machine had, an address funded, a key made, a machine written to, something
that lasts, something started."""

HANDLES_MAX: Final = 24
"""Of one action. One with more is joined to everything else of its run that has too many."""
TEXT_MAX: Final = 65_536
"""Characters looked through for handles; a longer text counts as one with too many."""
CROWDED: Final = "*"
"""The handle of what has too many."""
_SIGNIFICANT: Final = 4
"""An amount with so many digits that aren't trailing zeros is no everyday amount."""

_WORD: Final = re.compile(r"[a-z0-9]+")
_HANDLE: Final = re.compile(
    r"(?P<address>\b0x[0-9a-f]{40}\b)|(?P<digest>\b[0-9a-f]{64}\b)"
    r"|(?P<ip>\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b)"
    r"|(?P<host>\b(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,24}\b)",
    re.ASCII,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILES: Final = _words(
    "py js ts json txt md toml yaml yml html css csv sh log xml pdf png jpg zip gz tar rs go "
    "c h cpp java sql cfg ini ipynb lock local"
)
"""What looks like a host and is a file's name."""

_NAMES: Final = {
    COMPUTE: _words(
        "droplet droplets server servers instance instances vm vms machine machines container "
        "containers deployment deployments function functions sandbox sandboxes pod pods lease "
        "leases cluster clusters node nodes"
    ),
    KEY: _words("apikey apikeys keypair keypairs credential credentials signup wallets sshkey sshkeys"),
    START: _words("exec execute boot invoke start launch run spawn"),
    PERSIST: _words(
        "cron crontab schedule schedules scheduled timer timers autorenew authorized systemd domains registrar"
    ),
}
_PAIRS: Final = {("api", "key"), ("api", "keys"), ("ssh", "keys"), ("ssh", "key"), ("access", "key"),
                 ("access", "keys"),
                 ("access", "tokens"), ("service", "accounts"), ("key", "pairs"), ("create", "account"),
                 ("create", "wallet"), ("new", "wallet"), ("create", "key")}  # fmt: skip


def named(text: str) -> set[str]:
    """The links that the name of a tool or the path of a request speaks of."""
    words = _WORD.findall(text.lower())
    found = {link for link, names in _NAMES.items() if not names.isdisjoint(words)}
    if any(pair in _PAIRS for pair in pairwise(words)):
        found.add(KEY)
    return found


def handles_in(text: str, known: frozenset[str] = frozenset()) -> Iterator[str]:
    """The hosts, addresses and digests in a text, but for those that are `known` to everybody.

    Fails closed: a text too long to be looked through has `CROWDED`.
    """
    if len(text) > TEXT_MAX:
        yield CROWDED
    for match in _HANDLE.finditer(text[:TEXT_MAX].lower()):
        kind, value = str(match.lastgroup), match.group()
        if value not in known and not (kind == "host" and value.rpartition(".")[2] in _FILES):
            yield f"{'host' if kind == 'ip' else kind}:{value}"


def amount_handle(asset: str, units: int) -> Iterator[str]:
    """An amount that says which deal it is; round ones are everybody's."""
    if len(str(units).rstrip("0")) >= _SIGNIFICANT:
        yield f"amount:{asset}:{units}"


def bounded(handles: Iterable[str]) -> tuple[str, ...]:
    """Handles in their order without repetitions; one that has too many gets `CROWDED` beside the first."""
    found = tuple(dict.fromkeys(handles))
    if len(found) <= HANDLES_MAX:
        return found
    return (CROWDED, *(each for each in found[: HANDLES_MAX - 1] if each != CROWDED))
