"""What a run's money does over time: exact sums in constant memory, the same in whatever order the events are told.

Sums are kept in periods and rolling windows; single amounts only of the latest `KEPT` payments and receipts, to see
what comes back and what only passes through.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Final

from safebox.firewall.core.windows import DAY, HOUR, SECOND, Window

WEEK: Final = 7 * DAY
PERIOD: Final = 6 * HOUR
"""What growth is measured in: short enough to see it within a day, longer than the hours of a shop."""
PERIODS_KEPT: Final = 8
RISE_BP: Final = 11_000
"""A period has risen that has a tenth more than the one before."""
KEPT: Final = 24
"""Payments and receipts of which the amounts are kept: comparing all of them is a fixed, small cost."""
RETURNS_WITHIN: Final = 2 * DAY
PASSES_WITHIN: Final = HOUR
RETURNED_BP: Final = 8_000
"""Of a payment: if so much comes back it went in a circle, less a fee or the price of a swap."""
PASSED_BP: Final = 9_000
"""Of a receipt: if so much is paid on it only passed through."""
PAYEES_KEPT: Final = 64
EVEN_BP: Final = 500
"""Intervals that differ by less are the same: a program's clock is better than a person's."""
EVEN_MIN: Final = 10 * SECOND
"""Payments that come faster than this are one burst, such as a list that is worked through."""
BP: Final = 10_000
BP_MAX: Final = 1_000_000_000
"""Ratios end here; every engine reads them exactly."""


class _Period:
    """Units that came in, went out, were swept and were reinvested within one period."""

    __slots__ = ("income", "outflow", "reinvested", "swept")

    def __init__(self) -> None:
        self.income = self.outflow = self.swept = self.reinvested = 0

    @property
    def grew(self) -> bool:
        return self.income > self.outflow + self.swept


class _Drip:
    """Payments to one payee: when the last was, how long after the one before, how often just so."""

    __slots__ = ("interval", "last", "streak")

    def __init__(self, at_ns: int) -> None:
        self.last, self.interval, self.streak = at_ns, 0, 0

    def pay(self, at_ns: int) -> None:
        interval = at_ns - self.last
        even = abs(interval - self.interval) * BP <= self.interval * EVEN_BP
        self.streak = self.streak + 1 if even and interval >= EVEN_MIN else 0
        self.last, self.interval = at_ns, interval


class MoneyFlow:
    """The money of one run, in the smallest units of its wallet's asset; what it reinvests, in those of that."""

    __slots__ = ("_drips", "_earned", "_income", "_ins", "_outflow", "_outs", "_periods", "_swept")

    def __init__(self) -> None:
        self._earned = 0
        self._income, self._outflow, self._swept = Window(WEEK, 168), Window(WEEK, 168), Window(WEEK, 168)
        self._periods: dict[int, _Period] = {}
        self._ins: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self._outs: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self._drips: dict[str, _Drip] = {}

    def earn(self, at_ns: int, units: int) -> None:
        """Something arrived that nobody granted."""
        self._earned += units
        self._income.add(at_ns, units)
        self._ins.append((at_ns, units))
        self._period(at_ns).income += units

    def pay(self, at_ns: int, units: int, to: str) -> None:
        """Something was paid."""
        self._outflow.add(at_ns, units)
        self._outs.append((at_ns, units))
        self._period(at_ns).outflow += units
        drip = self._drips.pop(to, None)
        if drip is None:
            drip = _Drip(at_ns)
        else:
            drip.pay(at_ns)
        self._drips[to] = drip
        if len(self._drips) > PAYEES_KEPT:
            del self._drips[next(iter(self._drips))]

    def sweep(self, at_ns: int, units: int) -> None:
        """The owner took something home."""
        self._swept.add(at_ns, units)
        self._period(at_ns).swept += units

    def reinvest(self, at_ns: int, units: int) -> None:
        """Something was spent on computers or models."""
        self._period(at_ns).reinvested += units

    def facts(self, now: int, budget: int) -> dict[str, int]:
        """Ratios in basis points and counts; `budget` is what the mandate grants for the purpose."""
        income = self._income.count(now)
        kept = max(0, income - self._outflow.count(now) - self._swept.count(now))
        return {
            "retained_bp": kept * BP // income if income else 0,
            "to_budget_bp": min(BP_MAX, self._earned * BP // budget) if budget else 0,
            "growth": self._growth(now),
            "expansion": self._expansion(now),
            "returned": _answered(self._outs, self._ins, RETURNED_BP, RETURNS_WITHIN, now),
            "passed_through": _answered(self._ins, self._outs, PASSED_BP, PASSES_WITHIN, now),
            "regular": self._regular(now),
        }

    def sums(self, now: int) -> tuple[int, int]:
        """Income and outflow of the last week."""
        return self._income.count(now), self._outflow.count(now)

    def _period(self, at_ns: int) -> _Period:
        index = at_ns // PERIOD
        found = self._periods.get(index)
        if found is None:
            found = self._periods[index] = _Period()
            if len(self._periods) > PERIODS_KEPT:
                del self._periods[min(self._periods)]
        return found

    def _growth(self, now: int) -> int:
        """How many whole periods in a row, up to now, more came in than went out."""
        index, count = now // PERIOD - 1, 0
        while (period := self._periods.get(index)) is not None and period.grew:
            index, count = index - 1, count + 1
        return count

    def _expansion(self, now: int) -> int:
        """In how many periods in a row, up to now, more was reinvested than in the one before, out of a surplus.

        Income comes unevenly, so it need only have risen from the first of them to the last.
        """
        index, steps, count = now // PERIOD - 1, 0, 0
        last = after = self._periods.get(index)
        while last is not None and after is not None and after.grew:
            before = self._periods.get(index - 1)
            if before is None or not (before.grew and before.reinvested and _rose(before.reinvested, after.reinvested)):
                break
            index, steps, after = index - 1, steps + 1, before
            if _rose(before.income, last.income):
                count = steps
        return count

    def _regular(self, now: int) -> int:
        return max((drip.streak for drip in self._drips.values() if drip.last + DAY > now), default=0)


def _rose(before: int, after: int) -> bool:
    return after * BP >= before * RISE_BP


def _answered(first: deque[tuple[int, int]], then: deque[tuple[int, int]], share_bp: int, within: int, now: int) -> int:
    """How steadily movements of the last two days are answered by others of about the same amount in all.

    A movement is answered by all that comes until the next one, so neither parts nor dust hide an answer, and somebody
    with much coming and going has few. Two up for each that is answered, one down for each that isn't (a CUSUM, Page
    1954): what is by chance stays near zero.
    """
    score, highest = 0, 0
    answers, place = sorted(then), 0
    asked = [each for each in sorted(first) if each[0] + RETURNS_WITHIN >= now]
    for (at, units), (end, _) in pairwise([*asked, (now + within, 0)]):
        answer = 0
        while place < len(answers) and answers[place][0] < end:
            if at <= answers[place][0] <= at + within:
                answer += answers[place][1]
            place += 1
        is_answered = units * share_bp <= answer * BP <= units * BP
        score = score + 2 if is_answered else max(0, score - 1)
        highest = max(highest, score)
    return highest
