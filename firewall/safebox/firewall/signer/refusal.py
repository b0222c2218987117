"""Why the signer doesn't sign."""

from __future__ import annotations

from safebox.firewall.errors import EffectError

SIGNER_REFUSED = "firewall.signer_refused"
NO_SIGNATURE = "no_signature"
"""Said when it is allowed, and who holds the key doesn't sign."""


class Refused(Exception):
    """It is not signed. `why` is a short word for tests and logs, `later` says that asking again may help."""

    def __init__(self, why: str, cause: str, *, later: bool = False) -> None:
        super().__init__(cause)
        self.why = why
        self.cause = cause
        self.later = later


class SignerRefused(EffectError):
    """The signer read the ledger itself and said no: what was asked for is not what was decided. Nothing was signed."""

    def __init__(self, why: str, cause: str) -> None:
        super().__init__(f"the signer refused: {cause}; nothing was signed")
        self.code = SIGNER_REFUSED
        self.why = why
