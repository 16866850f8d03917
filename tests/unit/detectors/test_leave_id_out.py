"""Detectors judged by machine ids that were left out of their training."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from toy import toy_features

from humwatch.detectors import base, mahalanobis
from humwatch.detectors.base import FitContext
from humwatch.detectors.leave_id_out import combined, leave_id_out, mean_auc, of_one_machine, pseudo_auc, standardised
from humwatch.features.store import Features

IDS = ("00", "02", "04")


def three_ids(clips=36, levels=(-40.0, -30.0, -20.0), seed=0):
    """Clips of three ids, each at its own level."""
    features = toy_features(clips, ids=IDS, seed=seed)
    for i, machine_id in enumerate(features.clips["machine_id"]):
        features.clip(i)[:] += levels[IDS.index(machine_id)] + 40
    return features


@pytest.fixture(scope="module")
def parts():
    features = three_ids()
    held_out = np.arange(len(features)) % 6 < 3  # half of each id's
    return features.select(~held_out), features.select(held_out)


class Heard(base.BaseDetector):
    """Notes what it is fitted on; scores loudness, less what its own machine's clips had."""

    Hyperparameters = mahalanobis.Hyperparameters
    fitted_on = frozenset()

    def fit(self, train, validation, context):
        Heard.fitted_on = {*train.clips["machine_id"], *validation.clips["machine_id"]}
        self.levels = {
            i: self.level(train)[train.clips["machine_id"] == i].mean() for i in {*train.clips["machine_id"]}
        }

    def level(self, features):
        return np.array([features.clip(i).mean() for i in range(len(features))])

    def score(self, features):
        own = features.clips["machine_id"].map(self.levels).to_numpy()
        return {"score": np.abs(self.level(features) - own)}

    def state(self):
        return {}

    def set_state(self, state):
        pass


def test_one_id_is_left_out_and_heard_as_each_of_the_others(parts):
    train, validation = parts
    table = leave_id_out(Heard, train, validation, FitContext())
    assert Heard.fitted_on == {"02", "04"}
    assert {*zip(table["machine_id"], table["left_out"], strict=True)} == {("02", "00"), ("04", "00")}
    strange, normal = table[table["strange"]], table[~table["strange"]]
    assert {*strange["clip"]} == {*train.clips["clip"][train.clips["machine_id"] == "00"]}
    assert {*normal["clip"]} == {*validation.clips["clip"][validation.clips["machine_id"] != "00"]}
    assert strange["score"][strange["machine_id"] == "04"].mean() == pytest.approx(20, abs=6)


def test_mean_auc_is_that_of_scikit_learn_over_pairs(parts):
    table = leave_id_out(Heard, *parts, FitContext(), rounds=3)
    pairs = table.groupby(["machine_id", "left_out"])
    assert len(pairs) == 6
    table["score"] = np.random.default_rng(0).integers(0, 5, len(table)).astype(float)  # with ties
    expected = [roc_auc_score(rows["strange"], rows["score"]) for _, rows in table.groupby(["machine_id", "left_out"])]
    assert mean_auc([table], "slider", "score") == pytest.approx(np.mean(expected))
    assert np.isnan(mean_auc([table], "fan", "score"))
    table.loc[0, "score"] = np.nan
    assert np.isnan(mean_auc([table], "slider", "score"))


def test_a_machine_type_with_one_id_cannot_be_judged(parts):
    one = [part.select((part.clips["machine_id"] == "00").to_numpy()) for part in parts]
    assert leave_id_out(Heard, *one, FitContext()).empty


def test_what_cannot_be_fitted_without_an_id_is_not_judged(parts, caplog):
    two = [part.select((part.clips["machine_id"] != "04").to_numpy()) for part in parts]
    assert leave_id_out(lambda: base.make("id_classifier", {}), *two, FitContext(epochs=1)).empty
    assert "id_classifier cannot be judged by ids left out of its training" in caplog.text


def test_a_model_of_one_machine_is_judged_as_it_is(parts):
    """A detector with one model per id scores the same whether it has heard the others or not."""
    train, validation = parts
    own = [part.select((part.clips["machine_id"] == "02").to_numpy()) for part in parts]
    detector = base.make("mahalanobis", {})
    detector.fit(*own, FitContext())
    found = of_one_machine(detector, train, own[1])
    every = leave_id_out(lambda: base.make("mahalanobis", {}), train, validation, FitContext())
    every = every[every["machine_id"] == "02"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, every)
    own = [part.select((part.clips["machine_id"] == "00").to_numpy()) for part in parts]  # the id that is left out
    assert of_one_machine(detector, train, own[1]).empty


def test_combined_scores_by_hand():
    clips = {
        "machine_type": "fan",
        "machine_id": "00",
        "left_out": "02",
        "clip": [*"abcd"],
        "strange": [False, False, True, True],
    }
    one = pd.DataFrame({**clips, "score": [1.0, 3.0, 5.0, 3.0]})
    other = pd.DataFrame({**clips, "mean": [10.0, 30.0, 0.0, 20.0]}).sample(frac=1, random_state=1)
    np.testing.assert_allclose(standardised(one, "score"), [-1, 1, 3, 1])
    found = combined([(one, "score"), (other, "mean")]).set_index("clip")["score"]
    np.testing.assert_allclose(found[[*"abcd"]], [-1, 1, 0.5, 0.5])
    assert {*combined([(one, "score"), (other[other["clip"] != "a"], "mean")])["clip"]} == {
        *"bcd"
    }  # that all of them have


def test_pseudo_auc_is_the_mean_over_machines_of_the_type():
    table = pd.DataFrame(
        {
            "machine_type": ["fan"] * 8 + ["pump"] * 2,
            "machine_id": ["00"] * 4 + ["02"] * 4 + ["00"] * 2,
            "pseudo": [False, False, True, True] * 2 + [False, True],
            "score": [0, 1, 2, 3, 10, 11, 9, 10.5, 1, 0],
        }
    )
    assert pseudo_auc(table, "fan", "score") == pytest.approx((1 + 0.25) / 2)
    assert pseudo_auc(table, "pump", "score") == 0
    assert np.isnan(pseudo_auc(table, "valve", "score"))
    assert np.isnan(pseudo_auc(pd.DataFrame(), "fan", "score"))
    assert np.isnan(pseudo_auc(table.assign(score=np.nan), "fan", "score"))


def of_two_lengths() -> Features:
    """Two ids whose few frames differ in number: what is fitted on one cannot flatten the other."""
    clips = pd.concat([three_ids(36).clips[::3][:12], three_ids(36).clips[1::3][:12]], ignore_index=True)
    draw = np.random.default_rng(0)
    return Features.of([draw.normal(size=(4 + 2 * (i > 11), 8)).astype(np.float32) for i in range(24)], clips, {})


def test_ids_whose_clips_differ_in_length_cannot_be_judged_and_do_not_fail(caplog):
    features = of_two_lengths()
    held_out = np.arange(24) % 3 == 0
    parts = features.select(~held_out), features.select(held_out)
    table = leave_id_out(lambda: base.make("mahalanobis", {}), *parts, FitContext())
    assert table.empty and "mahalanobis cannot be judged by ids left out of its training" in caplog.text
    assert combined([(table, "score"), (table, "score")]).empty
    detector = base.make("auto", {"candidates": ["mahalanobis", "knn"]})
    detector.fit(*parts, FitContext())
    assert all(row["leave_id_out"] is None and 0 <= row["pseudo_auc"] <= 1 for row in detector.choice)
    one = features.select((features.clips["machine_id"] == "02").to_numpy())
    alone = base.make("mahalanobis", {})
    alone.fit(one, one, FitContext())
    assert of_one_machine(alone, features, one).empty
