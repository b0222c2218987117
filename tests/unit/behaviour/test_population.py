"""Near-copies made from the best of near-copies are a population; many starts of one agent are none."""

from __future__ import annotations

from random import Random

from safebox.firewall.behaviour.population import NEAR, Population, likeness, sketch
from safebox.firewall.core.windows import DAY, HOUR

NOW = 1_790_000_000 * 10**9
GENOME = [f"gene{number}" for number in range(30)]


def text(genome: list[str]) -> str:
    return " ".join(genome)


def test_a_few_other_words_are_near_and_another_text_is_not() -> None:
    changed = [*GENOME[:10], "other", *GENOME[11:]]
    assert likeness(sketch(text(GENOME)), sketch(text(changed))) >= NEAR
    assert likeness(sketch(text(GENOME)), sketch("pay the office's bills and tell the landlord about it")) < NEAR


def test_the_same_again_and_again_has_no_variants() -> None:
    population = Population()
    for number in range(50):
        population.launch(NOW + number, f"run_{number}", text(GENOME))
        population.earn(f"run_{number}", number)
    assert population.facts(NOW + HOUR, text(GENOME)) == {"variants": 0, "chosen": 0, "bred": 0}


def test_variants_that_earn_alike_are_not_chosen() -> None:
    population = Population()
    for number in range(10):
        population.launch(NOW + number, f"run_{number}", text([*GENOME, f"task{number}"]))
    found = population.facts(NOW + HOUR, text(GENOME))
    assert found["variants"] >= 8
    assert (found["chosen"], found["bred"]) == (0, 0)


def test_descent_from_the_best_is_seen_and_forgotten_after_a_day() -> None:
    random, population, best = Random(1), Population(), GENOME  # noqa: S311 -- the same each time
    for generation in range(4):
        kept = best
        for child in range(4):
            genome = list(best)
            genome[random.randrange(30)] = f"new{generation}{child}"
            run = f"run_{generation}_{child}"
            population.launch(NOW + generation * HOUR + child, run, text(genome))
            population.earn(run, 100 + 10 * generation if child == 2 else child)
            kept = genome if child == 2 else kept
        best = kept
    found = population.facts(NOW + 5 * HOUR, text(best))
    assert found["variants"] >= 3
    assert found["bred"] >= 7
    assert population.facts(NOW + 2 * DAY, text(best))["variants"] == 0
