"""The check for a normal sound that has moved: seldom wrong, quick, blind to faults, and the same after a restart."""

import dataclasses

import numpy as np
import pytest
from small_detector import sound

import humwatch
from humwatch.use.drift import Drift
from humwatch.use.history import Record, open_history
from humwatch.use.monitor import Monitor


def scores(random, n, shift=0.0):
    return random.gamma(3, 1, n) + shift * np.sqrt(3)


def first_said(drift, values):
    return next((i for i, value in enumerate(values) if drift.update(value)), None)


@pytest.mark.parametrize("clips", [3, 30, 300])
def test_sound_that_has_not_moved(clips):
    """At most one in a hundred is wrong, ever; the 99.9 % point of Binomial(60, 0.01) is 4."""
    random = np.random.default_rng(clips)
    wrong = 0
    for _ in range(60):
        calibration = scores(random, clips)
        wrong += first_said(Drift(calibration, float(np.quantile(calibration, 0.99))), scores(random, 500)) is not None
    assert wrong <= 4


@pytest.mark.parametrize(
    "before, shift, windows", [(0, 1.0, 60), (3000, 0.5, 250), (3000, -0.5, 400), (3000, 1.0, 120)]
)
def test_sound_that_has_moved(before, shift, windows):
    """Also after long listening, in either direction; it is said once."""
    random = np.random.default_rng(0)
    calibration = scores(random, 200)
    drift = Drift(calibration, float(np.quantile(calibration, 0.995)))
    assert first_said(drift, scores(random, before)) is None
    moved = scores(random, 3000, shift)
    assert first_said(drift, moved[:windows]) is not None
    assert first_said(drift, moved[windows:]) is None


def test_faults_are_no_drift():
    random = np.random.default_rng(0)
    calibration = scores(random, 200)
    drift = Drift(calibration, float(np.quantile(calibration, 0.995)))
    for normal in scores(random, 300):
        assert not drift.update(normal) and not drift.update(100.0)


def test_memory_is_constant_and_strange_scores_do_no_harm():
    drift = Drift(np.zeros(5), 0.0)
    before = {name: getattr(value, "nbytes", 0) for name, value in vars(drift).items()}
    for _ in range(100):
        drift.update(0.0)
        drift.update(-1e300)
    assert {name: getattr(value, "nbytes", 0) for name, value in vars(drift).items()} == before
    assert np.isfinite(drift.capital)


def test_after_a_restart_the_state_is_that_of_the_history(fan, tmp_path):
    detector = humwatch.load(fan)
    calibration = detector.calibration(("fan", "00"))
    normal = np.sort(calibration.scores)[:50]
    history = open_history(tmp_path / "h.sqlite")
    monitor = Monitor(detector, (1, 1), None, continuous=False)
    said = []
    for i in range(200):
        score = float(normal[40 + i % 10])  # none of them an alarm, all of them high
        record = Record(
            file=f"{i}.wav",
            machine="fan/00",
            score=score,
            threshold=calibration.threshold,
            scores=repr(score),
            detector=detector.short_name,
        )
        history.add(record)
        said += [(i, event["kind"], event["sentence"]) for event in monitor.update(record)]
    (when, kind, sentence), *more = said
    assert not more and kind == "drift" and "the normal sound of fan/00 has moved" in sentence and when < 100
    again = Monitor(detector, (1, 1), None, continuous=False)
    assert [event["kind"] for event in again.replay(history.records())] == ["drift"]
    assert vars(again._drifts["fan/00"])["capital"] == monitor._drifts["fan/00"].capital
    new = Monitor(detector, (1, 1), None, continuous=False)  # of a detector that has been calibrated anew
    records = [dataclasses.replace(record, detector="another") for record in history.records()]
    assert new.replay(records) == []


def test_windows_that_overlap_count_once(fan):
    detector = humwatch.load(fan)
    window = detector.judge(sound(seed=1), machine="fan/00")
    record = Record(
        file="x",
        machine="fan/00",
        score=window.score,
        threshold=window.threshold,
        scores=" ".join([repr(window.score)] * 9),
        detector=detector.short_name,
    )
    clips = Monitor(detector, (1, 1), 0.25, continuous=False)
    clips.update(record)
    assert clips._drifts["fan/00"]._heard == 2
    live = Monitor(detector, (1, 1), 0.25, continuous=True)
    for _ in range(9):
        live.update(dataclasses.replace(record, scores=repr(window.score)))
    assert live._drifts["fan/00"]._heard == 2
