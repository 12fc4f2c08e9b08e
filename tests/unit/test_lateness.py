"""The sketch of a run's lateness is one percent off at most, and as small for a million rows as for a thousand."""

from __future__ import annotations

import math
import random
from statistics import quantiles

import pytest

from returnclock.lateness import BOUNDS, Lateness


def test_percentiles_are_one_percent_off_at_most_and_the_greatest_is_exact() -> None:
    drawn = random.Random(7)
    seconds = [drawn.lognormvariate(1, 2) for _ in range(5_000)]
    late, cut = Lateness.of(seconds), quantiles(seconds, n=100, method="inclusive")

    assert late.quantile(0.5) == pytest.approx(cut[49], rel=0.02)
    assert late.quantile(0.99) == pytest.approx(cut[98], rel=0.02)
    assert (late.max_s, late.count) == (max(seconds), 5_000)
    assert late.sum_s == pytest.approx(sum(seconds))


def test_batches_add_up_to_the_same_as_all_at_once() -> None:
    seconds = [n / 7 for n in range(1, 2_000)]
    added = Lateness()
    for start in range(0, len(seconds), 100):
        added.add(Lateness.of(seconds[start : start + 100]))

    whole = Lateness.of(seconds)
    assert (added.cells, added.below, added.count, added.max_s) == (whole.cells, whole.below, whole.count, whole.max_s)


def test_the_sketch_does_not_grow_with_the_rows() -> None:
    """From a millisecond to a hundred years; a run that drains a million rows keeps no more."""
    widest = math.log(100 * 366 * 86_400 / 0.001) / math.log(1.02)
    late = Lateness.of(0.001 * 1.0001**n for n in range(0, 250_000, 10))

    assert len(late.cells) <= widest + 1


@pytest.mark.parametrize("bound", BOUNDS[:-1])
def test_a_lateness_of_exactly_a_bound_counts_below_it(bound: float) -> None:
    above = BOUNDS[BOUNDS.index(bound) + 1]
    assert dict(Lateness.of([bound]).below) == {bound: 1}
    assert dict(Lateness.of([math.nextafter(bound, math.inf)]).below) == {above: 1}


def test_what_fires_on_the_dot_counts_as_not_late() -> None:
    late = Lateness.of([0.0])
    assert (late.quantile(0.5), late.max_s, dict(late.below)) == (0.0, 0.0, {BOUNDS[0]: 1})


def test_nothing_has_no_lateness() -> None:
    assert Lateness().as_json() == {"p50": 0.0, "p99": 0.0, "max": 0.0}
