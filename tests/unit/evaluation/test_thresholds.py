"""Thresholds from normal scores: the promise, by theory and by simulation."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from humwatch.evaluation.decisions import calibrations, folds, sessions
from humwatch.evaluation.thresholds import Calibration, calibration_for, clips_needed, clopper_pearson


def normal(n, seed=0):
    return np.random.default_rng(seed).gamma(3, size=n)


@pytest.mark.parametrize(
    ("n", "rate", "rank"), [(99, 0.01, 99), (100, 0.01, 100), (199, 0.01, 198), (19, 0.05, 19), (20, 0.1, 19)]
)
def test_threshold_is_the_order_statistic_of_the_conformal_rank(n, rate, rank):
    """Rank ceil((n + 1)(1 - rate)), and an alarm is p <= rate."""
    scores = normal(n)
    calibration = Calibration(scores, rate)
    assert calibration.threshold == np.sort(scores)[rank - 1]
    new = np.concatenate([normal(500, seed=1), scores])  # ties with calibration clips too
    assert ((calibration.p_values(new) <= rate + 1e-12) == (new > calibration.threshold)).all()
    assert not calibration.extrapolated


def test_p_values_by_definition():
    scores, new = normal(50), np.append(normal(20, seed=1), normal(50)[3])
    expected = [(1 + sum(c >= s for c in scores)) / 51 for s in new]
    np.testing.assert_allclose(Calibration(scores, 0.05).p_values(new), expected)


@pytest.mark.parametrize(("n", "rate"), [(100, 0.01), (4, 0.2), (40, 0.1)])
def test_false_alarms_keep_the_rate_on_average(n, rate):
    """Over many draws of calibration clips; the empirical quantile has 2 % instead of 1 % at 100 clips."""
    rng = np.random.default_rng(0)
    observed = [scipy.stats.gamma.sf(Calibration(rng.gamma(3, size=n), rate).threshold, 3) for _ in range(4000)]
    k = np.floor(rate * (n + 1) + 1e-9)
    assert np.mean(observed) == pytest.approx(k / (n + 1), rel=0.08)
    assert np.mean(observed) <= rate * 1.05
    low, high = Calibration(normal(n), rate).rate_interval
    assert np.quantile(observed, [0.025, 0.975]) == pytest.approx([low, high], rel=0.2, abs=1e-3)


def test_too_few_clips_are_extrapolated_and_say_so():
    assert clips_needed(0.01) == 99 and clips_needed(0.05) == 19 and clips_needed(0.3) == 3
    calibration = Calibration(normal(98), 0.01)
    assert calibration.extrapolated and np.isnan(calibration.rate_interval[0])
    assert calibration.threshold > calibration.scores.max()
    grid = np.linspace(0, 30, 1000)
    p = calibration.p_values(grid)
    assert (np.diff(p) <= 0).all()
    assert ((p <= 0.01) == (grid > calibration.threshold)).all()


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_extrapolation_never_fails(n):
    for scores in (normal(n), np.full(n, 7.0), np.arange(n) * 1e-30, -normal(n) * 1e12):
        calibration = Calibration(scores, 0.01)
        assert np.isfinite(calibration.threshold) and calibration.threshold >= scores.max()
        assert (calibration.p_values(np.append(scores, scores.max() + 1e15)) > 0).any()


@pytest.mark.parametrize(("n", "most"), [(5, 0.02), (10, 0.02), (50, 0.02)])
def test_the_extrapolated_tail_is_near_the_rate_on_average(n, most):
    """Though it promises nothing; a plug-in fit has several times the rate."""
    rng = np.random.default_rng(0)
    for draw, sf in (
        (lambda: rng.gamma(3, size=n), lambda t: scipy.stats.gamma.sf(t, 3)),
        (lambda: rng.normal(size=n), scipy.stats.norm.sf),
        (lambda: rng.exponential(size=n), scipy.stats.expon.sf),
    ):
        observed = [sf(Calibration(draw(), 0.01).threshold) for _ in range(1500)]
        assert 0.001 < np.mean(observed) < most


def test_sessions_are_extrapolated_as_sessions():
    centre = normal(12)
    copies = Calibration(np.repeat(centre, 30), 0.01, np.repeat(np.arange(12), 30))
    assert copies.threshold == Calibration(centre, 0.01).threshold


def test_a_session_counts_once():
    """Ten clips of each of 20 sessions that are nearly copies are worth 20 clips, not 200."""
    rng = np.random.default_rng(0)
    observed = {True: [], False: []}
    for _ in range(1500):
        centre = rng.normal(0, 1, 20)
        scores = np.repeat(centre, 10) + rng.normal(0, 0.05, 200)
        session = np.repeat(np.arange(20), 10)
        for grouped in observed:
            t = Calibration(scores, 0.06, session if grouped else None).threshold
            observed[grouped].append(scipy.stats.norm.sf(t))
    assert np.mean(observed[True]) <= 0.06
    assert np.mean(observed[False]) > 0.07
    assert Calibration(scores, 0.06, session).sessions == 20
    one_each = Calibration(centre, 0.06, np.arange(20))
    assert one_each.threshold == Calibration(centre, 0.06).threshold


def test_whose_clips_a_threshold_is_taken_from():
    many, few = Calibration(normal(99), 0.01), Calibration(normal(50), 0.01)
    fan = {("fan", "00"): many, ("fan", "02"): few, ("pump", "00"): few}
    assert calibration_for(("fan", "00"), fan, 0.01) is many
    assert len(calibration_for(("fan", "02"), fan, 0.01).scores) == 149  # the type's promise the rate
    assert len(calibration_for(("fan", "99"), fan, 0.01).scores) == 149  # never heard
    assert calibration_for(("pump", "00"), fan, 0.01).extrapolated  # nobody can
    assert calibration_for(("valve", "00"), fan, 0.01) is None


@pytest.mark.parametrize(("count", "n"), [(0, 20), (1, 20), (20, 20), (7, 100)])
def test_clopper_pearson_against_scipy(count, n):
    expected = scipy.stats.binomtest(count, n).proportion_ci(method="exact")
    assert clopper_pearson(count, n) == pytest.approx((expected.low, expected.high))


def clips(names):
    return pd.DataFrame({"clip": names, "machine_type": "fan", "machine_id": "00"})


def test_folds_hold_whole_sessions():
    table = clips(
        [f"fan/monday_{i}.wav" for i in range(7)] + [f"fan/day{d}_{i}.wav" for d in range(9) for i in range(3)]
    )
    named = sessions(table, r"(monday|day\d)")
    assert set(named) == {"monday", *(f"day{d}" for d in range(9))}
    dealt = folds(named, table)
    assert set(dealt) == set(range(5))
    assert all(len(set(dealt[[s == name for s in named]])) == 1 for name in set(named))
    assert sessions(table, None) == list(table["clip"])
    assert sessions(clips(["a.wav"]), "monday") == ["a.wav"]


def test_sessions_in_attributes():
    assert sessions(clips(["a.wav"]).assign(attributes="m-n_X"), r"m-n_\w") == ["m-n_X"]


def test_calibrations_of_a_trial_that_has_diverged_are_none():
    table = clips(["a", "b"]).assign(score=[1.0, np.nan], method="held-out clips")
    assert calibrations([table, pd.DataFrame()], "score", 0.1) == {}
