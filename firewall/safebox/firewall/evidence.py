"""How far an outgoing payload is the run itself: its code, its task, its mandate, its secrets, also in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safebox.firewall.behaviour.accumulate import Accumulator
from safebox.firewall.behaviour.overlap import Corpus, measure_layers
from safebox.firewall.behaviour.phrases import Wordlist
from safebox.firewall.behaviour.secrets import KnownSecrets, find_secrets
from safebox.firewall.behaviour.unwrap import unwrap
from safebox.firewall.core.action import Action
from safebox.firewall.core.arguments import Outgoing, SendEmail, StartCompute, outgoing
from safebox.firewall.errors import ConfigError


class Evidence:
    """Compares what one run sends with what must not leave it, and remembers what each destination was given.

    Args:
        sources: the run's own files and texts, by name, or what was made of them before.
        secrets: values that must never leave, whatever their encoding.
    """

    def __init__(self, sources: Mapping[str, bytes] | Corpus, secrets: tuple[bytes, ...] = ()) -> None:
        self._corpus = sources if isinstance(sources, Corpus) else Corpus.build(sources)
        self._secrets = KnownSecrets.build(secrets)
        self._given = Accumulator()

    def judge(self, action: Action) -> tuple[dict[str, Any] | None, frozenset[int]]:
        """`facts.self_overlap` for an action, counting what went there before, and its pieces of the run for `sent`.

        None if nothing goes out. Remembers nothing.
        """
        payload = outgoing(action.args)
        if payload is None:
            return None, frozenset()
        unwrapped = unwrap(payload)
        overlap = measure_layers(self._corpus, unwrapped)
        matched = max(self._given.would_be(place, overlap.fingerprints) for place in destinations(action.args))
        facts: dict[str, Any] = {
            "matched": matched,
            "share_bp": overlap.share_bp,
            "source": overlap.source,
            "secrets": list(find_secrets(unwrapped, self._secrets, _wordlist())),
            "truncated": overlap.truncated,
        }
        return facts, overlap.fingerprints

    def sent(self, action: Action, pieces: frozenset[int]) -> None:
        """Remember the pieces of an allowed action, before the next one for the same place is judged."""
        for place in destinations(action.args) if pieces else ():
            self._given.add(place, pieces)


def destinations(args: Any) -> tuple[str, ...]:
    """Where an action's payload goes."""
    match args:
        case SendEmail():
            return args.to
        case StartCompute():
            return ("compute",)
        case Outgoing():
            return args.payload_to()
        case _:
            return ("elsewhere",)


@cache
def _wordlist() -> Wordlist:
    """The BIP-39 English words, as eth-account carries them."""
    found = find_spec("eth_account")  # found, not imported: that would take half a second of everybody's time
    if found is None or found.origin is None:
        raise ConfigError("eth-account is not installed", remedy="install safebox anew")
    path = Path(found.origin).parent / "hdaccount" / "wordlist" / "english.txt"
    return Wordlist.build(path.read_text("utf-8").split())
