"""How far an outgoing payload is the run itself: its code, its task, its mandate, its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safebox.firewall.behaviour.overlap import Corpus, measure
from safebox.firewall.behaviour.secrets import find_secrets
from safebox.firewall.core.arguments import outgoing


class Evidence:
    """Compares payloads with what must not leave one run.

    Args:
        sources: the run's own files and texts, by name.
        secrets: values that must never leave, whatever their encoding.
    """

    def __init__(self, sources: Mapping[str, bytes], secrets: tuple[bytes, ...] = ()) -> None:
        self._corpus = Corpus.build(sources)
        self._secrets = secrets

    def judge(self, args: Any) -> dict[str, Any] | None:
        """`facts.self_overlap` for normalised arguments; None if nothing goes out."""
        payload = outgoing(args)
        if payload is None:
            return None
        overlap = measure(self._corpus, payload)
        return {
            "matched": overlap.matched,
            "share_bp": overlap.share_bp,
            "source": overlap.source,
            "secrets": list(find_secrets(payload, self._secrets)),
        }
