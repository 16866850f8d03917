"""Standardised scores, and ensembles of trials."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from humwatch.evaluation.calibration import PRIOR_CLIPS, Member, combine, combined_calibration, in_common, standardise


def clips(scores, machine_id, pseudo=False, **more):
    table = pd.DataFrame({"mean": scores, "machine_type": "fan", "machine_id": machine_id, "pseudo": pseudo} | more)
    return table.assign(clip=[f"{i}.wav" for i in range(len(table))])


def test_standardise_by_hand():
    rng = np.random.default_rng(0)
    held_out = pd.concat([clips(rng.normal(10, 2, 20), "00"), clips(rng.normal(500, 50, 30), "02")], ignore_index=True)
    scores = clips([10.0, 500.0, 3.0], ["00", "02", "04"])
    a, b = held_out["mean"][:20], held_out["mean"][20:]
    within = (a.var() * 19 + b.var() * 29) / 48
    expected = [
        (10 - a.mean()) / np.sqrt((a.var() * 19 + within * PRIOR_CLIPS) / (19 + PRIOR_CLIPS)),
        (500 - b.mean()) / np.sqrt((b.var() * 29 + within * PRIOR_CLIPS) / (29 + PRIOR_CLIPS)),
        (3 - held_out["mean"].mean()) / held_out["mean"].std(ddof=0),  # an id without held-out clips
    ]
    np.testing.assert_allclose(standardise(scores, held_out, "mean"), expected)


def test_pooled_auc_profits():
    """Two ids with different levels: one threshold for both works only on standardised scores."""
    rng = np.random.default_rng(1)
    held_out = pd.concat([clips(rng.normal(0, 1, 50), "00"), clips(rng.normal(8, 1, 50), "02")], ignore_index=True)
    labels = np.tile(np.repeat([0, 1], 100), 2)
    level = np.repeat([0, 8], 200)
    scores = clips(rng.normal(size=400) + level + 3 * labels, np.repeat(["00", "02"], 200))
    before = roc_auc_score(labels, scores["mean"])
    assert before < 0.75 < 0.95 < roc_auc_score(labels, standardise(scores, held_out, "mean"))


def test_combine_averages_by_clip_name_whatever_the_order():
    rng = np.random.default_rng(2)
    held_out = clips(rng.normal(size=40), "00", np.repeat([False, True], 20))
    scores = clips(rng.normal(size=10), "00")
    other = scores.assign(mean=rng.normal(size=10))
    shuffled = other.sample(frac=1, random_state=0).reset_index(drop=True)
    got, held = combine(
        [Member(scores, held_out, held_out[:0], "mean"), Member(shuffled, held_out, held_out[:0], "mean")]
    )
    normal = held_out[~held_out["pseudo"]]
    expected = (standardise(scores, normal, "mean") + standardise(other, normal, "mean")) / 2
    np.testing.assert_allclose(got["score"], expected)
    assert len(held) == 40 and held["score"][~held["pseudo"]].mean() == pytest.approx(0, abs=1e-9)


def test_members_that_hold_out_different_clips():
    """A network halves the held-out clips, a detector that is calibrated on training clips does not."""
    rng = np.random.default_rng(3)
    every = clips(rng.normal(size=40), "00")
    held_out, apart = every[:20], every[20:].drop(columns="pseudo").assign(method="apart")
    trained = clips(rng.normal(size=9), "00").drop(columns="pseudo").assign(method="cross")
    trained["clip"] = "train" + trained["clip"]
    network, cross = Member(every, held_out, apart, "mean"), Member(every, every, trained, "mean")
    for members in ([network, cross], [cross, network]):
        found = combined_calibration(in_common(members))
        assert set(found["clip"]) == set(apart["clip"])  # heard by neither
        _, held = combine(in_common(members))
        assert set(held["clip"]) == set(held_out["clip"]) and held["score"].notna().all()
        np.testing.assert_allclose(found["score"], standardise(apart, held_out, "mean"))
    assert set(combined_calibration(in_common([cross, cross]))["clip"]) == set(trained["clip"])


def test_an_ensemble_in_the_workflow(finished, tmp_path):
    """Members are trained once, whatever else they are used for; the ensemble is a row of every table."""
    project = finished.copy(tmp_path / "project")
    members = [{"learning_rate": [0.01, 0.001], "seed": 0}, {"learning_rate": 0.001, "score": "std"}]
    project.configure(project.config | {"ensembles": {"both": members}})
    # One trial's scores are now read by a second pooling, which is submitted too.
    assert project.planned() == {"score": 1, "ensemble": 1, "tables": 1, "figures": 1, "report": 1, "pack": 1}
    project.run()
    scores = pd.read_parquet(project.results / "scores/slider/ensemble-both/epochs-0.parquet")
    auc = pd.read_csv(project.results / "tables/auc.csv", dtype={"machine_id": str})
    submitted = pd.read_csv(project.results / "submission/slider/ensemble-both/epochs-0/submission.csv")
    np.testing.assert_allclose(submitted["anomaly_score"], scores["score"])
    row = auc[(auc["trial"] == "ensemble-both") & (auc["machine_id"] == "00")].iloc[0]
    assert row["auc"] == pytest.approx(roc_auc_score(scores["label"].astype(int), scores["score"]), abs=1e-5)
    assert {"member_0", "member_1", "member_2"} <= {*scores} and len(scores) == 6
    sweep = pd.read_csv(project.results / "tables/sweeps/ensembles.csv")
    assert len(sweep) == 4 and sweep["selected"].sum() == 1


def test_members_whose_mixtures_differ():
    """Mixtures follow from what is held out: those that all members have are combined, whatever the members' order."""
    rng = np.random.default_rng(4)

    def member(mixed: list[str]) -> Member:
        normal = clips(rng.normal(size=6), "00")
        strange = pd.concat([normal.assign(mean=rng.normal(size=6)), clips(rng.normal(size=len(mixed)), "00")])
        strange["clip"] = [*normal["clip"], *mixed]
        held_out = pd.concat([normal, strange.assign(pseudo=True)], ignore_index=True)
        return Member(clips([0.0], "00"), held_out, held_out[:0], "mean")

    first, second = member(["0.wav + 1.wav", "1.wav + 2.wav"]), member(["0.wav + 2.wav", "1.wav + 2.wav"])
    held = [combine(in_common(members))[1] for members in ([first, second], [second, first])]
    for table in held:
        assert {name for name in table["clip"] if "+" in name} == {"1.wav + 2.wav"}
        assert len(table) == 13 and table["score"].notna().all()
    ordered = [table.sort_values(["clip", "pseudo"])["score"].to_numpy() for table in held]
    np.testing.assert_allclose(*ordered)


def test_scales_of_single_clips_and_of_equal_scores():
    """One held-out clip of each id says nothing of its own spread: how the ids differ does; nothing is blown up."""
    held_out = clips([1.0, 3.0], ["00", "02"])
    np.testing.assert_allclose(standardise(clips([2.0, 5.0], ["00", "02"]), held_out, "mean"), [1.0, 2.0])
    np.testing.assert_allclose(standardise(clips([2.0], "00"), clips([1.0], "00"), "mean"), [1.0])
    np.testing.assert_allclose(standardise(clips([4.0], "00"), clips([1.0, 1.0], "00"), "mean"), [3.0])
