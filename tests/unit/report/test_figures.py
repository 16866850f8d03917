import itertools
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

from humwatch.report.figures.spectrograms import spectrogram_figure
from humwatch.report.figures.style import save
from humwatch.report.figures.sweeps import sweep_figure
from humwatch.report.figures.training import training_figure
from humwatch.report.figures.trial import alarms_figure, embedding_figure, histogram_figure, roc_figure
from humwatch.report.words import varied


def sweep_table(machine_types=("slider",), **grid) -> pd.DataFrame:
    """A sweep's tidy table over the product of `grid`; the last trial diverged, the first was chosen, the second is best."""
    rng = np.random.default_rng(0)
    rows = []
    for machine_type in machine_types:
        for values in itertools.product(*grid.values()):
            auc = rng.uniform(0.6, 0.8)
            parameters = {"detector": "vae"} | dict(zip(grid, values, strict=True))
            parameters = parameters | {
                k: v for k, v in {"seed": 0, "batch_size": 200, "score": "mean"}.items() if k not in grid
            }
            rows.append(
                {"sweep": "study", "trial": f"vae_{len(rows)}", "machine_type": machine_type, **parameters, "auc": auc}
                | {"auc_low": auc - 0.1, "auc_high": auc + 0.1, "pauc": 0.5, "val_loss": 1.0, "seconds_per_epoch": 2.0}
                | {"selected": False, "best_by_labels": False, "diverged": False}
            )
        first = len(rows) - len(list(itertools.product(*grid.values())))
        rows[first]["selected"] = True
        rows[min(first + 1, len(rows) - 1)]["best_by_labels"] = True
        if len(rows) - first > 2:
            rows[-1] |= {"auc": np.nan, "auc_low": np.nan, "auc_high": np.nan, "diverged": True}
    return pd.DataFrame(rows)


def texts(figure) -> str:
    """All words that a figure shows."""
    return "\n".join(t.get_text() for t in figure.findobj(Text))


def test_parameters_that_follow_from_the_detector_are_not_varied():
    table = sweep_table(detector=["vae", "gmm", "knn"], seed=[0, 1])
    table["window"] = table["detector"].map({"vae": 5, "gmm": 1, "knn": np.nan})
    table["pseudo_auc"] = np.arange(len(table))
    assert varied(table) == ["detector", "seed"]
    table = sweep_table(detector=["auto", "vae"])
    table.insert(0, "epochs", table["detector"].map({"auto": 0, "vae": 5}))
    assert varied(table) == ["detector"]


@pytest.mark.parametrize(
    ("grid", "title"),
    [
        ({"seed": [0, 1, 2]}, "AUC of each seed"),
        ({"epochs": [5, 20, 100]}, "AUC against epochs"),
        ({"epochs": [5, 20, 100], "seed": [0, 1]}, "AUC against epochs"),
        ({"batch_size": [100, 1000]}, "AUC and run time against batch size"),
        ({"learning_rate": [0.1, 0.01], "batch_size": [100, 1000]}, "AUC by learning rate and batch size"),
        ({"learning_rate": [0.1, 0.01], "batch_size": [100, 1000], "epochs": [5, 20]}, "epochs 20"),
        ({"detector": ["vae", "gmm", "knn"]}, "AUC by detector"),
        ({"window": [1, 5], "latent": [2, 4], "kl_weight": [0.1, 1.0], "epochs": [5, 20]}, "window · latent"),
        ({}, "AUC by trial"),
    ],
)
@pytest.mark.parametrize("machine_types", [["slider"], ["fan", "pump", "slider"]])
def test_what_a_sweep_varies_decides_its_figure(grid, title, machine_types):
    figure = sweep_figure(sweep_table(machine_types, **grid), "study", "Generated recordings.")
    words = re.sub(r"\s+", " ", texts(figure))
    assert title in words
    assert "Generated recordings." in words
    assert figure.get_figwidth() == 3.5


def test_heat_map_shows_every_auc_and_marks_diverged_cells():
    table = sweep_table(learning_rate=[0.1, 0.01, 0.001], batch_size=[100, 1000])
    words = texts(sweep_figure(table, "study"))
    for auc in table["auc"].dropna():
        assert f"{auc:.3f}" in words
    assert words.count("diverged") == 2  # the cell and the legend
    assert "nan" not in words


def test_run_time_has_an_axis_of_its_own_in_seconds():
    figure = sweep_figure(sweep_table(batch_size=[100, 200, 1000]), "study")
    assert [axes.get_ylabel() for axes in figure.axes] == ["AUC (mean over ids)", "seconds\nper epoch"]


def scores_table(labelled=True) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    scores = pd.DataFrame({"machine_id": np.repeat(["00", "02"], 40), "label": np.tile([0, 1], 40)})
    scores["score"] = rng.normal(scores["label"], 1.0)
    scores["label"] = scores["label"].astype("Int8") if labelled else pd.array([pd.NA] * 80, "Int8")
    return scores


def test_roc_curves_are_those_of_scikit_learn():
    scores = scores_table()
    figure = roc_figure(scores, "ROC")
    curves = [line for line in figure.axes[0].lines if line.get_label().startswith("id ")]
    for curve, (machine_id, clips) in zip(curves, scores.groupby("machine_id"), strict=True):
        labels = clips["label"].to_numpy(int)
        expected = roc_curve(labels, clips["score"], drop_intermediate=False)
        np.testing.assert_allclose(curve.get_xydata(), np.column_stack(expected[:2]))
        area, partial = roc_auc_score(labels, clips["score"]), roc_auc_score(labels, clips["score"], max_fpr=0.1)
        assert curve.get_label() == f"id {machine_id}: AUC {area:.3f}, pAUC {partial:.3f}"


def test_histograms_hold_every_clip_once():
    figure = histogram_figure(scores_table(), "Scores")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["id 00", "id 02"]
    words = texts(figure)
    assert "normal" in words and "anomaly" in words
    assert "no label" in texts(histogram_figure(scores_table(labelled=False), "Scores"))


def test_alarms_show_the_observed_rate_beside_the_promised_one():
    table = pd.DataFrame({"machine_id": ["00", "02"], "promised_rate": 0.01, "false_alarm_rate": [0.0, 0.1]})
    table = table.assign(false_alarm_rate_low=[0.0, 0.01], false_alarm_rate_high=[0.17, 0.3], recall=[0.5, 0.9])
    figure = alarms_figure(table, "Alarms")
    rates, found = figure.axes
    assert rates.lines[0].get_xdata().tolist() == [0.0, 0.1]
    assert [text.get_text() for text in rates.get_yticklabels()] == ["id 00", "id 02"]
    assert [bar.get_width() for bar in found.patches] == [0.5, 0.9]


def test_training_curves_leave_out_what_diverged():
    table = sweep_table(learning_rate=[0.1, 0.01, 0.001])
    logs = [
        (
            row,
            pd.DataFrame(
                {"epoch": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [np.nan if row["diverged"] else 1.5, 1.2]}
            ),
        )
        for _, row in table.iterrows()
    ]
    words = texts(training_figure(logs, "study"))
    assert "1 diverged, not drawn" in words
    assert "chosen trial, training" in words


def test_spectrogram_axes_are_seconds_and_hertz():
    frames = np.random.default_rng(0).normal(size=(101, 64))
    frequencies = np.geomspace(50, 8000, 64)
    figure = spectrogram_figure([("Normal", frames), ("Anomalous", frames)], frequencies, 0.05, "Mel spectrograms")
    axes = figure.axes[0]
    assert axes.images[0].get_extent()[:2] == pytest.approx((-0.025, 5.025))
    for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert np.interp(place, np.arange(64), frequencies) == pytest.approx(float(label.get_text().replace(",", "")))
    assert figure.axes[1].get_xlabel() == "seconds"
    unknown = spectrogram_figure([("Normal", frames)], None, None, "Spectrogram")
    assert (unknown.axes[0].get_xlabel(), unknown.axes[0].get_ylabel()) == ("frame", "bin")


def test_files_are_the_same_bytes_each_time(tmp_path):
    table = sweep_table(seed=[0, 1, 2])
    for name in ("one", "two"):
        save(sweep_figure(table, "seeds"), tmp_path / name)
    for ending in ("png", "svg"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    assert Image.open(tmp_path / "one.png").width == 700
    assert not re.search(r"<dc:date>|\d{4}-\d\d-\d\dT", (tmp_path / "one.svg").read_text())


def test_embeddings_in_two_dimensions():
    """Axes are principal components: of points on a line in space, the second one says nothing."""
    line = np.linspace(-1, 1, 30)[:, None] * np.array([[1.0, 2.0, -1.0, 0.5]])
    kind = np.repeat(["training", "normal", "anomaly"], 10)
    figure = embedding_figure([("00", line, kind), ("02", line, kind), ("04", line, kind)], "Embeddings")
    assert len(figure.axes) == 3
    assert figure.axes[0].get_title(loc="left").startswith("id 00 (100%")
    drawn = [np.asarray(part.get_offsets()) for part in figure.axes[0].collections]
    assert [len(part) for part in drawn] == [10, 10, 10]
    np.testing.assert_allclose(np.concatenate(drawn)[:, 1], 0, atol=1e-9)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "test, normal", "test, anomaly"]
