"""The detector that chooses among others."""

import json

import numpy as np
import pytest
from test_leave_id_out import parts, three_ids  # noqa: F401  # a fixture

from humwatch.detectors import auto, base
from humwatch.detectors.base import FitContext
from humwatch.errors import InputError


def fitted(parts, candidates=("mahalanobis", "knn"), **changes):  # noqa: F811
    detector = base.make("auto", {"candidates": [*candidates]} | changes)
    detector.fit(*parts, FitContext())
    return detector


def test_the_choice_is_that_with_the_highest_auc_of_ids_left_out(parts):  # noqa: F811
    detector = fitted(parts)
    figures = {row["candidate"]: row["leave_id_out"] for row in detector.choice}
    kept = {row["candidate"] for row in detector.choice if row["kept"]}
    assert {*detector.kept["slider"]} == kept and max(figures, key=figures.get) in kept
    assert set(figures) == {"mahalanobis", "knn"} and all(0 <= figure <= 1 for figure in figures.values())


def test_a_candidate_that_tells_nothing_is_not_kept(parts, monkeypatch):  # noqa: F811
    from humwatch.detectors import knn

    monkeypatch.setattr(
        knn.Detector, "score", lambda self, features: {"score": np.arange(len(features), dtype=float) % 7}
    )
    assert fitted(parts).kept == {"slider": ["mahalanobis"]}


def test_its_score_is_the_mean_of_standardised_ones(parts):  # noqa: F811
    train, validation = parts
    detector = fitted(parts)
    detector.kept = {"slider": ["knn", "mahalanobis"]}
    for name in ("knn", "mahalanobis"):
        if name not in detector.fitted:
            detector._fit_some([name], train, validation, FitContext())
    detector._standardise(train, validation)
    expected = []
    for name in ("knn", "mahalanobis"):
        alone = base.make(name, {})
        alone.fit(train, validation, FitContext())
        scores = alone.score(validation)["score"]
        found = np.empty(len(scores))
        for machine_id in set(validation.clips["machine_id"]):
            own = (validation.clips["machine_id"] == machine_id).to_numpy()
            found[own] = (scores[own] - scores[own].mean()) / scores[own].std()
        expected.append(found)
    np.testing.assert_allclose(detector.score(validation)["score"], np.mean(expected, axis=0), atol=1e-9)


def test_saved_and_loaded_it_scores_the_same_and_states_why(parts, tmp_path):  # noqa: F811
    train = parts[0]
    detector = fitted(parts)
    detector.save(tmp_path / "model")
    loaded = base.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score(train)["score"], detector.score(train)["score"])
    assert json.loads((tmp_path / "model/model.json").read_text())["choice"] == detector.choice == loaded.choice
    assert loaded.state().keys() == detector.state().keys()


def test_machines_of_its_type_and_others_that_it_has_never_heard(parts):  # noqa: F811
    detector = fitted(parts)
    strange = three_ids(6, seed=9)
    for machine in ({"machine_id": "99"}, {"machine_type": "fan", "machine_id": "99"}):
        strange.clips = strange.clips.assign(**machine)
        each = []
        for known in ("00", "02", "04"):
            pretended = three_ids(6, seed=9)
            pretended.clips["machine_id"] = known
            each.append(detector.score(pretended)["score"])
        np.testing.assert_allclose(detector.score(strange)["score"], np.min(each, axis=0))


def test_of_one_machine_the_one_that_tells_pseudo_anomalies_scores(parts, monkeypatch):  # noqa: F811
    one = [part.select((part.clips["machine_id"] == "00").to_numpy()) for part in parts]
    detector = fitted(one, ["id_classifier", "mahalanobis", "knn"])
    assert [row["leave_id_out"] for row in detector.choice] == [None] * 3
    figures = {row["candidate"]: row["pseudo_auc"] for row in detector.choice}
    assert figures.pop("id_classifier") is None and figures["mahalanobis"] != figures["knn"]
    best = max(figures, key=figures.get)
    for order in (["id_classifier", "mahalanobis", "knn"], ["knn", "mahalanobis"]):
        detector = fitted(one, order)
        assert detector.kept == {"slider": [best]} and [*detector.fitted] == [best]
    other = next(name for name in figures if name != best)
    monkeypatch.setattr(
        base.detector_class(best), "score", lambda self, features: {"score": np.full(len(features), np.nan)}
    )
    assert fitted(one, [best, other]).kept == {"slider": [other]}


def test_a_candidate_of_ones_own_that_makes_no_such_score_or_too_few(parts, monkeypatch):  # noqa: F811
    for scores, sentence in (
        (
            lambda features: {"mine": np.zeros(len(features))},
            r"detectors/knn\.py returns no score 'score': call one so",
        ),
        (lambda features: {"score": np.zeros(1)}, r"detectors/knn\.py: score must return name -> one score per clip"),
    ):
        monkeypatch.setattr(base.detector_class("knn"), "score", lambda self, features, scores=scores: scores(features))
        one = [part.select((part.clips["machine_id"] == "00").to_numpy()) for part in parts]
        for clips in (parts, one):
            with pytest.raises(InputError, match=sentence):
                fitted(clips, ["knn"])


def test_of_one_machine_without_held_out_clips_the_first_that_can_be_fitted_scores(parts):  # noqa: F811
    one = parts[0].select((parts[0].clips["machine_id"] == "00").to_numpy())
    nothing = one.select(np.zeros(len(one), bool))
    for name, other in (("knn", "mahalanobis"), ("mahalanobis", "knn")):
        detector = fitted((one, nothing), ["id_classifier", name, other])
        assert detector.kept == {"slider": [name]} and [*detector.fitted] == [name]
        assert [row["pseudo_auc"] for row in detector.choice] == [None] * 3
    with pytest.raises(InputError, match="none of the candidates id_classifier can be fitted on these clips"):
        fitted((one, nothing), ["id_classifier"])


def test_calibration_scores_are_out_of_fold_where_all_candidates_have_such(parts):  # noqa: F811
    train, validation = parts
    detector = fitted(parts)
    assert (
        detector.is_cross_conformal
        and not base.make("auto", {"candidates": ["knn", "id_classifier"]}).is_cross_conformal
    )
    folds = np.arange(len(train)) % 2
    scores = detector.out_of_fold(train, validation, folds, FitContext())["score"]
    assert np.isfinite(scores).all() and scores.mean() > detector.score(train)["score"].mean()


@pytest.mark.parametrize("name", ["auto", "nothing"])
def test_candidates_that_are_no_detectors(name):
    problems = [*auto.Detector.problems({"candidates": ["knn", name]}, None, None)]
    assert problems[0][0] == "candidates" and f"'{name}', each must be one of autoencoder, gmm" in problems[0][1]
