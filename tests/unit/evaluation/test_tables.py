"""AUC tables against scikit-learn, by way of the score files."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from humwatch import parquet
from humwatch.detectors import models as model_folders
from humwatch.evaluation import auc_table, metrics
from humwatch.study.trials import Trial


def test_bootstrap_against_plain_resampling():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [40, 30])
    scores = rng.normal(size=70) + labels
    plain = []
    for _ in range(2000):
        normals, anomalies = rng.choice(scores[:40], 40), rng.choice(scores[40:], 30)
        plain.append(roc_auc_score(labels, np.concatenate([normals, anomalies])))
    drawn = metrics.bootstrap_auc(labels, scores, 2000, 1)
    assert np.mean(drawn) == pytest.approx(np.mean(plain), abs=0.01)
    np.testing.assert_allclose(metrics.interval(drawn), np.quantile(plain, [0.025, 0.975]), atol=0.02)
    np.testing.assert_array_equal(drawn, metrics.bootstrap_auc(labels, scores, 2000, 1))


@pytest.mark.parametrize("seed", range(40))
def test_areas_are_those_of_scikit_learn(seed):
    """Few and many clips of either class, with and without ties."""
    rng = np.random.default_rng(seed)
    normals, anomalies = rng.integers(1, 60, 2)
    labels = rng.permutation(np.repeat([0, 1], [normals, anomalies]))
    scores = rng.normal(size=len(labels)) + labels * rng.normal()
    scores = scores.round(seed % 3) if seed % 4 else scores
    assert metrics.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert metrics.pauc(labels, scores) == pytest.approx(roc_auc_score(labels, scores, max_fpr=0.1), abs=1e-12)


def test_bootstrap_counts_ties_as_half():
    labels = np.array([0, 0, 1, 1])
    assert metrics.bootstrap_auc(labels, np.ones(4), 20, 0).tolist() == [0.5] * 20


@pytest.mark.parametrize("bad", [{"labels": [1, 1], "scores": [0.0, 1.0]}, {"labels": [0, 1], "scores": [0.0, np.nan]}])
def test_no_auc_without_two_classes_or_finite_scores(bad):
    labels, scores = np.array(bad["labels"]), np.array(bad["scores"])
    assert np.isnan(metrics.auc(labels, scores)) and np.isnan(metrics.pauc(labels, scores))


def trial(seed=0, score="mean"):
    parameters = {
        "detector": "vae",
        "feature": "logmel",
        "scope": "machine_type",
        "seed": seed,
        "epochs": 5,
        "score": score,
    }
    return Trial(f"vae_seed-{seed}", parameters)


def models(folder, trials=("vae_seed-0",)):
    """Model folders of one type: held-out scores of two ids with different level, a log of two epochs."""
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"machine_id": np.repeat(["00", "02"], 40), "machine_type": "slider", "pseudo": False})
    rows["mean"], rows["std"] = rng.normal(size=80), rng.normal(size=80)
    parquet.write(rows, folder / "validation.parquet")
    parquet.write(rows.assign(method="held-out clips"), folder / "calibration.parquet")
    log = [dict(zip(model_folders.LOG_COLUMNS, row, strict=True)) for row in ((1, 3, 4, 1), (2, 2, 3, 2))]
    model_folders.write(folder, {}, log, {"diverged": False})
    return {f"{trial}/5": {"slider": [folder]} for trial in trials}


def score_file(path, seed=0, ids=("00", "02"), heard=("00", "02"), labelled=True):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"machine_id": np.repeat(ids, 60), "machine_type": "slider"})
    rows["clip"] = [f"slider/test/{i}.wav" for i in range(len(rows))]
    rows["label"] = pd.array(rng.integers(0, 2, len(rows)) if labelled else [None] * len(rows), "Int8")
    rows["mean"] = rng.normal(size=len(rows)) + (rows["label"].to_numpy(float) if labelled else 0)
    rows["std"] = rng.normal(size=len(rows))
    rows["heard"] = rows["machine_id"].isin(heard)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write(rows, path)
    return rows


def test_auc_table_against_scikit_learn(tmp_path):
    scores = score_file(tmp_path / "a.parquet", ids=("00", "02", "04"), heard=("00", "02"))
    files = {"vae_seed-0/5": [tmp_path / "a.parquet"]}
    table, trained, _ = auc_table.measure([trial()], files, models(tmp_path), 200, 0, 0.01)
    rows = table.set_index(["heard", "machine_id"])
    by_id = {}
    for machine_id, clips in scores.groupby("machine_id"):
        label, score = clips["label"].astype(int), clips["mean"]
        by_id[machine_id] = roc_auc_score(label, score), roc_auc_score(label, score, max_fpr=0.1)
        row = rows.loc[machine_id != "04", machine_id]
        assert (row["auc"], row["pauc"]) == pytest.approx(by_id[machine_id])
        assert row["auc_low"] < row["auc"] < row["auc_high"]
        assert (row["n_normal"], row["n_anomaly"]) == ((label == 0).sum(), (label == 1).sum())
    assert rows.loc[True, "mean"]["auc"] == pytest.approx((by_id["00"][0] + by_id["02"][0]) / 2)
    assert rows.loc[False, "mean"]["auc"] == pytest.approx(by_id["04"][0])
    assert trained[["val_loss", "seconds_per_epoch", "diverged"]].to_numpy().tolist() == [[3, 1.5, False]]
    heard = scores[scores["heard"]]
    assert rows.loc[True, "pooled"]["pauc"] == pytest.approx(
        roc_auc_score(heard["label"].astype(int), heard["mean"], max_fpr=0.1)
    )


def test_unlabelled_set_has_a_note_and_no_auc(tmp_path):
    score_file(tmp_path / "a.parquet", labelled=False)
    files = {"vae_seed-0/5": [tmp_path / "a.parquet"]}
    table, _, _ = auc_table.measure([trial()], files, models(tmp_path), 50, 0, 0.01)
    assert table["auc"].isna().all() and (table["note"] == auc_table.NOTE_UNLABELLED).all()


def test_clips_without_a_finite_score_are_named(tmp_path):
    scores = score_file(tmp_path / "a.parquet")
    scores["label"] = pd.array([0, 1] * 60, "Int8")
    first, other = scores["clip"][[3, 70]]
    for lost, notes in (
        ([3], [f"no finite score of {first}: look at the recording, or remove it", ""]),
        ([3, 7, 70], [f"no finite score of {first} and 1 more: ", f"no finite score of {other}: "]),
        (slice(None), ["diverged: no clip has a finite score"] * 2),
    ):
        scores["mean"] = np.arange(120.0)
        scores.loc[lost, "mean"] = np.nan
        parquet.write(scores, tmp_path / "a.parquet")
        files = {"vae_seed-0/5": [tmp_path / "a.parquet"]}
        table, _, _ = auc_table.measure([trial()], files, models(tmp_path), 50, 0, 0.01)
        of_ids = table.set_index("machine_id").loc[["00", "02"]]
        for note, expected in zip(of_ids["note"], notes, strict=True):
            assert note.startswith(expected) and bool(note) == bool(expected)
        assert (of_ids["auc"].notna() == (of_ids["note"] == "")).all()


def test_summary_over_seeds(tmp_path):
    files = {}
    for seed in range(3):
        score_file(tmp_path / f"{seed}.parquet", seed)
        files[f"vae_seed-{seed}/5"] = [tmp_path / f"{seed}.parquet"]
    trials = [trial(seed, score) for seed in range(3) for score in ("std", "mean")]
    table, _, _ = auc_table.measure(trials, files, models(tmp_path, [f"vae_seed-{s}" for s in range(3)]), 50, 0, 0.01)
    summary = auc_table.summary_table(table)
    assert summary["score"].tolist() == ["mean", "std"] and summary["seeds"].tolist() == [3, 3]
    means = table[(table["machine_id"] == "mean") & (table["score"] == "mean")]["auc"]
    assert summary["auc_mean"][0] == pytest.approx(means.mean()) and summary["auc_std"][0] == pytest.approx(means.std())


def test_tables_of_a_run(finished):
    """The demo's tables, computed again from its score files."""
    auc = pd.read_csv(finished.results / "tables/auc.csv", dtype={"machine_id": str})
    assert len(auc) == 4 * 4  # trials x (id 00, mean, pooled, pooled_standardised)
    for _, row in auc[auc["machine_id"] == "00"].iterrows():
        scores = pd.read_parquet(finished.results / f"scores/slider/{row['trial']}/epochs-{row['epochs']}.parquet")
        assert row["auc"] == pytest.approx(roc_auc_score(scores["label"].astype(int), scores["mean"]), abs=1e-5)
        np.testing.assert_array_equal(scores["score"], scores["mean"])
        submission = finished.results / f"submission/slider/{row['trial']}/epochs-1/anomaly_score_slider_id_00.csv"
        submitted = pd.read_csv(submission, header=None, names=["file", "score"])
        assert submitted["file"].tolist() == [c.rsplit("/")[-1] for c in scores["clip"]]
        np.testing.assert_allclose(submitted["score"], scores["score"])
    summary = pd.read_csv(finished.results / "tables/summary.csv")
    assert summary["auc_mean"].is_monotonic_decreasing and summary["seeds"].tolist() == [2, 2]


def test_model_carries_all_it_was_made_from(finished):
    folder = next(finished.results.glob("models/slider/*/epochs-1"))
    made = json.loads((folder / "model.json").read_text())
    assert made["feature"]["n_mels"] == 128 and made["hyperparameters"]["hidden"] == [16]
    assert {
        "seed",
        "validation",
        "features_sha256",
        "masks",
        "device",
        "machines",
        "code_sha256",
        "versions",
        "epoch",
    } <= made.keys()
