"""The official score of each year, against scipy and scikit-learn, and on cases made by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from humwatch.evaluation import metrics
from humwatch.evaluation.official import Definition, mean, official_rows, with_figures


def scores_of(machines, clips=40, seed=0, domains=("source", "target")):
    """A trial's scores: of each machine so many clips of each label and domain, some of them with equal scores."""
    rng = np.random.default_rng(seed)
    rows = [
        (machine_type, machine_id, domain, label, round(rng.normal(label + 0.5 * (domain == "target")), 1), True)
        for machine_type, machine_id in machines
        for domain in domains
        for label in (0, 1)
        for _ in range(clips + 3 * label)
    ]
    table = pd.DataFrame(rows, columns=["machine_type", "machine_id", "domain", "label", "score", "heard"])
    return table.assign(label=table["label"].astype("Int8"))


def rows_of(scores, definition, samples=50):
    return pd.DataFrame(official_rows(scores, "score", definition, samples, 0)).set_index(["set", "machine_type"])


def expected(scores, year):
    """The harmonic mean of scipy over scikit-learn's areas, straight from the definition."""
    figures = []
    for _, machine in scores.groupby(["machine_type", "machine_id"]):
        for domain in ("source", "target"):
            own = machine["domain"] == domain
            part = machine[own] if year == 2021 else machine[own | (machine["label"] == 1)]
            figures.append(roc_auc_score(part["label"].astype(int), part["score"]))
            if year == 2021:
                figures.append(roc_auc_score(part["label"].astype(int), part["score"], max_fpr=0.1))
        if year != 2021:
            figures.append(roc_auc_score(machine["label"].astype(int), machine["score"], max_fpr=0.1))
    return hmean(np.maximum(figures, np.finfo(float).eps)), len(figures)


MACHINES = [("fan", "00"), ("fan", "01"), ("bearing", "00"), ("valve", "02")]


@pytest.mark.parametrize("year", [2021, 2022, 2023, 2024, 2025, 2026, None])
def test_against_scipy_and_scikit_learn(year):
    scores = scores_of(MACHINES)
    rows = rows_of(scores, Definition(year))
    for machine_type in ("fan", "bearing", "valve", "all"):
        part = scores if machine_type == "all" else scores[scores["machine_type"] == machine_type]
        value, figures = expected(part, year)
        row = rows.loc["", machine_type]
        assert row["official"] == pytest.approx(value, abs=1e-12) and row["figures"] == figures
        assert row["official_low"] < row["official"] < row["official_high"] and row["averaged"] == "harmonic"
    bearing = scores[scores["machine_type"] == "bearing"]
    for domain in ("source", "target"):
        own = bearing[(bearing["domain"] == domain) | ((bearing["label"] == 1) & (year != 2021))]
        area = roc_auc_score(own["label"].astype(int), own["score"])
        assert rows.loc["", "bearing"][f"auc_{domain}"] == pytest.approx(area)


def test_2020_is_the_arithmetic_mean_of_auc_and_pauc():
    scores = scores_of(MACHINES, domains=(None,))
    row = rows_of(scores, Definition(2020)).loc["", "all"]
    areas = [
        (
            roc_auc_score(part["label"].astype(int), part["score"]),
            roc_auc_score(part["label"].astype(int), part["score"], max_fpr=0.1),
        )
        for _, part in scores.groupby(["machine_type", "machine_id"])
    ]
    assert row[["auc", "pauc", "official"]].tolist() == pytest.approx([*np.mean(areas, axis=0), np.mean(areas)])
    assert row["averaged"] == "arithmetic" and row["figures"] == 8


def test_by_hand():
    """Source normals 1, 2 and target normals 3, 6; anomalies 4 (source) and 5 (target)."""
    rows = [("source", 0, 1), ("source", 0, 2), ("target", 0, 3), ("target", 0, 6), ("source", 1, 4), ("target", 1, 5)]
    scores = pd.DataFrame(rows, columns=["domain", "label", "score"]).assign(
        machine_type="fan", machine_id="00", heard=True
    )
    # Of 4 pairs each: source 4 of 4, target 2 of 4; one false alarm of 4 comes before any anomaly, so no area below 0.1.
    lowest = (1 - 0.005 / 0.095) / 2
    row = rows_of(scores, Definition(2023)).loc["", "fan"]
    assert row[["auc_source", "auc_target", "pauc"]].tolist() == pytest.approx([1, 0.5, lowest])
    assert row["official"] == pytest.approx(3 / (1 + 2 + 1 / lowest))
    # 2021: against its own domain's anomaly alone; pAUC of either.
    row = rows_of(scores, Definition(2021)).loc["", "fan"]
    assert row["official"] == pytest.approx(4 / (1 + 1 + 1 / 0.5 + 1 / lowest))


def test_worst_score_counts_as_epsilon():
    assert mean(np.array([0.0, 1.0]), True) == pytest.approx(2 * np.finfo(float).eps)
    scores = scores_of([("fan", "00")])
    scores["score"] = -scores["label"].astype(float)
    assert 0 < rows_of(scores, Definition(2023))["official"].iloc[0] < 1e-14


def test_sets_are_measured_by_themselves():
    scores = scores_of(MACHINES)
    sets = {"development": [["fan", "00"], ["bearing", "00"]], "evaluation": [["fan", "01"], ["valve", "02"]]}
    rows = rows_of(scores, Definition(2022, sets))
    assert [name for name, machine_type in rows.index if machine_type == "all"] == ["development", "evaluation", "all"]
    for name, of in sets.items():
        own = scores[[[t, i] in of for t, i in zip(scores["machine_type"], scores["machine_id"], strict=True)]]
        assert rows.loc[name, "all"]["official"] == pytest.approx(expected(own, 2022)[0])
    assert rows.loc["all", "all"]["official"] == pytest.approx(expected(scores, 2022)[0])
    one = rows_of(scores, Definition(2022, {"development": [list(m) for m in MACHINES], "evaluation": []}))
    assert {name for name, _ in one.index} == {"development"}


def test_what_is_unlabelled_or_unheard_is_left_out_and_a_lost_score_is_no_number():
    scores = scores_of(MACHINES)
    value = expected(scores[scores["machine_type"] != "valve"], 2023)[0]
    for column, nothing in (("label", pd.NA), ("heard", False)):
        part = scores.copy()
        part.loc[part["machine_type"] == "valve", column] = nothing
        assert rows_of(part, Definition(2023)).loc["", "all"]["official"] == pytest.approx(value)
    scores.loc[0, "score"] = np.nan
    rows = rows_of(scores, Definition(2023))["official"]
    assert np.isnan(rows["", "all"]) and np.isfinite(rows["", "valve"])
    nothing = scores.assign(label=pd.array([None] * len(scores), "Int8"))
    assert not [*official_rows(nothing, "score", Definition(2023), 50, 0)]


@pytest.mark.parametrize("max_fpr", [1.0, 0.1])
def test_bootstrap_is_that_of_clips_drawn_again(max_fpr):
    """A clip that is drawn k times counts as k clips do."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [37, 21])
    scores = (rng.normal(size=58) + labels).round(1)
    weights = np.hstack([rng.multinomial(n, np.full(n, 1 / n), 40) for n in (37, 21)])
    areas = metrics.weighted_areas(labels, scores, weights.astype(float), max_fpr)
    for area, times in zip(areas, weights, strict=True):
        drawn = np.repeat(labels, times), np.repeat(scores, times)
        assert area == pytest.approx(roc_auc_score(*drawn, max_fpr=None if max_fpr == 1 else max_fpr))


def test_other_tables_get_the_figures_over_all_sets():
    official = pd.DataFrame(
        [["t", 5, "mean", "development", "fan", 0.6, 0.7, 0.5], ["t", 5, "mean", "all", "fan", 0.8, 0.9, 0.6]],
        columns=["trial", "epochs", "score", "set", "machine_type", "auc_source", "auc_target", "official"],
    )
    table = pd.DataFrame(
        {"trial": ["t", "u"], "machine_type": "fan", "pauc": 0.5, "epochs": 5, "score": "mean"}, [7, 3]
    )
    found = with_figures(table, official)
    assert list(found)[2:6] == ["pauc", "auc_source", "auc_target", "official"]
    assert found.loc[7, ["auc_source", "auc_target", "official"]].tolist() == [0.8, 0.9, 0.6]
    assert found.loc[3, "official":"official"].isna().all()
    assert with_figures(table, None) is table
