"""What must leave in no payload, known by its value: this firewall's own credentials, and a canary in each run."""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import unquote, urlsplit

from safebox.firewall.settings import Settings

CREDENTIAL_MIN: Final = 12
"""Characters. A shorter password may be a word of somebody's, and would be found in honest mail."""
SEGMENT_MIN: Final = 20
"""Characters of a part of a URL's path that is taken for a key, as node providers hand them out."""


def canary(run: str) -> str:
    """What SDKs find in a run's sandbox as their key: nobody's, and another one in each run, so it is known again."""
    return "sk-safebox-placeholder-" + hashlib.sha256(f"safebox canary {run}".encode()).hexdigest()[:40]


def credentials(settings: Settings) -> tuple[bytes, ...]:
    """What others let this firewall in for: keys, and what URLs hold of passwords and keys; a short one is left out."""
    urls = (*settings.chain_urls, settings.smtp_url, settings.compute_url, settings.model_url, *settings.checkpoint_to)
    found = {settings.model_key, settings.compute_key}
    for url in urls:
        found |= _held_by(url or "")
    return tuple(sorted(each.encode() for each in found if each is not None and len(each) >= CREDENTIAL_MIN))


def _held_by(url: str) -> set[str | None]:
    parts = urlsplit(url)
    if not parts.scheme or parts.scheme == "file":
        return set()
    segments = {each for each in parts.path.split("/") if len(each) >= SEGMENT_MIN}
    return {unquote(parts.password) if parts.password else None, *segments}
