"""One thing to try, and the chapters things to try are collected in."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from safebox.firewall.core.decision import Verdict
from safebox.firewall.drill.aim import Aim
from safebox.firewall.drill.stage import Stage
from safebox.firewall.drill.told import Told

Play = Callable[[Stage], Awaitable[Told]]
Lack = Callable[[Aim], str | None]
"""Why a mandate gives no occasion for something; None if it does."""


class Severity(enum.StrEnum):
    """How bad it is if it goes through."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Entry(NamedTuple):
    """An attack, or a harmless neighbour (which wants an allow).

    Attributes:
        name: its name in its chapter, as in `money.stranger`.
        section: of the catalogue of threats, A to F.
        text: what is tried, with `{payee_name}` and other attributes of `Aim`.
        wanted: the mildest verdict that will do; a neighbour's is allow.
        severity: of an attack.
        code: of the rule that should stop it; what the gateway or the books stop has none.
        mend: what to look at if it isn't as wanted.
        lacks: says why the mandate gives no occasion.
        play: tries it.
        neighbour: of an attack: the name of what must go through all the same.
        effects: of a neighbour: how many things are done then.
        alone: judged by policy alone, on an input made by hand: there is no connector for it here.
    """

    name: str
    section: str
    text: str
    wanted: Verdict
    severity: Severity
    code: str
    mend: str
    lacks: Lack
    play: Play
    neighbour: str = ""
    effects: int = 1
    alone: bool = False


def always(_: Aim) -> str | None:
    """Any mandate gives occasion."""
    return None


class Chapter:
    """Collects entries.

    Args:
        name: goes before each entry's name.
        section: of the catalogue of threats.
        lacks: for entries that don't say it themselves.
        alone: whether they are judged by policy alone.
    """

    def __init__(self, name: str, section: str, lacks: Lack = always, *, alone: bool = False) -> None:
        self._alone = alone
        self.entries: list[Entry] = []
        self._name = name
        self._section = section
        self._lacks = lacks

    def attack(
        self,
        name: str,
        text: str,
        *,
        neighbour: str,
        severity: Severity = Severity.HIGH,
        code: str = "",
        mend: str = "",
        wanted: Verdict = Verdict.DENY,
        lacks: Lack | None = None,
    ) -> Callable[[Play], Play]:
        """Take the decorated function in as an attack."""
        return self._take(
            name=f"{self._name}.{name}",
            text=text,
            wanted=wanted,
            severity=severity,
            code=code,
            mend=mend,
            lacks=lacks or self._lacks,
            neighbour=neighbour if "." in neighbour else f"{self._name}.{neighbour}",
        )

    def harmless(
        self, name: str, text: str, *, mend: str = "", effects: int = 1, lacks: Lack | None = None
    ) -> Callable[[Play], Play]:
        """Take the decorated function in as something that must go through."""
        return self._take(
            name=f"{self._name}.{name}",
            text=text,
            wanted=Verdict.ALLOW,
            severity=Severity.HIGH,
            code="",
            mend=mend,
            lacks=lacks or self._lacks,
            effects=effects,
        )

    def _take(self, **fields: Any) -> Callable[[Play], Play]:
        def take(play: Play) -> Play:
            told: dict[str, Any] = {**fields, **({"effects": 0, "alone": True} if self._alone else {})}
            self.entries.append(Entry(section=self._section, play=play, **told))
            return play

        return take


CRITICAL: Final = Severity.CRITICAL
HIGH: Final = Severity.HIGH
MEDIUM: Final = Severity.MEDIUM
LOW: Final = Severity.LOW
