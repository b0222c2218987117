"""Everything safebox can fail with.

SafeboxError
├── ConfigError            a file or setting a person wrote is wrong
├── CallerError            the agent's fault: the request can't be understood
├── FirewallError          ours: could not answer, so the answer is no
│   ├── PolicyUnavailable  no usable answer from policy
│   ├── Withheld           policy is not asked: the last time that held everybody up
│   ├── LedgerUnavailable  the record could not be made durable
│   │   ├── LedgerMoved
│   │   └── OutcomeUnrecorded
│   ├── FactsUnavailable   something the decision needs could not be learned
│   └── EffectError        a connector could not do, or not confirm, an effect
└── SandboxError           a sandbox could not be made or kept as promised

A denial is a value (`core.decision`), never an exception. Each error carries a code, a cause and a remedy; the
command line prints all three and exits with the class's `exit_status`.
"""

from __future__ import annotations

from typing import ClassVar


class SafeboxError(Exception):
    """The root of all errors; `str()` is the cause."""

    exit_status: ClassVar[int] = 1
    default_code: ClassVar[str] = "safebox.error"

    def __init__(self, cause: str, *, remedy: str = "", code: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.code = code or self.default_code


class ConfigError(SafeboxError):
    """A mandate, setting or file written by a person is wrong."""

    exit_status = 3
    default_code = "config.invalid"


class CallerError(SafeboxError):
    """The agent asked for something that can't be understood; nothing was decided or done."""

    exit_status = 4
    default_code = "request.invalid"


class FirewallError(SafeboxError):
    """The firewall could not answer. Fails closed: the pipeline turns it into a refusal."""

    exit_status = 5
    default_code = "firewall.unavailable"
    port: ClassVar[str] = "firewall"
    told: ClassVar[str] = "the firewall can't answer now; nothing was done"
    """What the agent hears; the cause is for the owner."""
    retry_after_s: ClassVar[int] = 1


class PolicyUnavailable(FirewallError):
    """Policy gave no usable answer: missing, broken, slow, panicking, or of the wrong shape."""

    default_code = "firewall.policy_unavailable"
    port = "engine"

    def __init__(self, cause: str, *, kind: str = "error", remedy: str = "") -> None:
        super().__init__(cause, remedy=remedy)
        self.kind = kind


class Withheld(FirewallError):
    """Policy is not asked about this action, because asking about it or its run's others held everybody up.

    `again_s` says in how many seconds it may be asked about again; None: not under this policy.
    """

    default_code = "policy.stalled"
    port = "engine"

    def __init__(self, cause: str, *, code: str | None = None, again_s: int | None = None) -> None:
        super().__init__(cause, code=code)
        self.again_s = again_s


class LedgerUnavailable(FirewallError):
    """A record could not be made durable; `kind` is a short word for the metric, never a message."""

    default_code = "firewall.ledger_unavailable"
    port = "ledger"

    def __init__(self, cause: str, *, kind: str = "other", remedy: str = "") -> None:
        super().__init__(cause, remedy=remedy)
        self.kind = kind


class LedgerMoved(LedgerUnavailable):
    """Another firewall wrote to the ledger what this decision didn't know; it has to be made again."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, kind="moved")


class OutcomeUnrecorded(LedgerUnavailable):
    """An effect was tried, and its outcome could not be made durable yet; its reservation stands."""

    default_code = "firewall.effect_unknown"


class FactsUnavailable(FirewallError):
    """A fact the decision rests on could not be learned."""

    default_code = "firewall.facts_unavailable"
    port = "facts"


class EffectError(FirewallError):
    """An effect certainly did not happen (`unknown=False`) or may have happened (`unknown=True`)."""

    default_code = "firewall.effect_failed"
    port = "connector"

    def __init__(self, cause: str, *, unknown: bool = False, remedy: str = "") -> None:
        code = "firewall.effect_unknown" if unknown else "firewall.effect_failed"
        super().__init__(cause, remedy=remedy, code=code)
        self.unknown = unknown


class SandboxError(SafeboxError):
    """A sandbox could not be made, or not as strong as promised."""

    exit_status = 6
    default_code = "sandbox.failed"
