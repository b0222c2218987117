"""All detectors on one payload, which is taken apart once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safebox.firewall.behaviour.overlap import Corpus, Overlap, measure_layers
from safebox.firewall.behaviour.phrases import Wordlist
from safebox.firewall.behaviour.secrets import KnownSecrets, find_secrets
from safebox.firewall.behaviour.solicitation import carries_address
from safebox.firewall.behaviour.unwrap import unwrap

NOT_LOOKED_AT: Final = "not_looked_at"
"""Stands among the secrets of a payload that was not looked at wholly: there may be one."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one outgoing payload carries.

    Attributes:
        overlap: what it has in common with the run's own texts.
        secrets: kinds of secrets, sorted; with `NOT_LOOKED_AT` when there may be more.
        opaque: bytes of noise that nothing could be made of.
        own_address: whether the run's wallet address is in it; without a wallet it never is.
    """

    overlap: Overlap
    secrets: tuple[str, ...]
    opaque: int
    own_address: bool

    def facts(self) -> dict[str, int | str | list[str] | None]:
        """Say it as `facts.self_overlap` of the policy input.

        Fails closed: numbers that may be too small are null, and policy denies what it can't compare.
        """
        sure = not self.overlap.truncated
        return {
            "matched": self.overlap.matched if sure else None,
            "share_bp": self.overlap.share_bp if sure else None,
            "source": self.overlap.source,
            "secrets": list(self.secrets),
        }


@dataclass(frozen=True, slots=True)
class Inspector:
    """What the detectors need to know of one run: its own texts, its secrets, the word list, its address."""

    corpus: Corpus
    known: KnownSecrets
    words: Wordlist
    address: str | None

    def inspect(self, payload: bytes) -> Inspection:
        """Look at one payload with every detector."""
        unwrapped = unwrap(payload)
        overlap = measure_layers(self.corpus, unwrapped)
        secrets = find_secrets(unwrapped, self.known, self.words)
        return Inspection(
            overlap=overlap,
            secrets=(*secrets, NOT_LOOKED_AT) if overlap.truncated else secrets,
            opaque=unwrapped.opaque,
            own_address=self.address is not None and carries_address(unwrapped, self.address),
        )
