"""Sweeps: trials as planned, tables as computed again from the score files, and choosing without labels."""

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, tiny_config
from sklearn.metrics import roc_auc_score
from toy import toy_features

from humwatch.detectors import pseudo_anomalies
from humwatch.errors import InputError
from humwatch.evaluation import auc_table, selection, sweep_tables
from humwatch.study import trials
from humwatch.study.config import read_schema, validate

SCHEMA = read_schema()


def expand(**sections):
    config = validate({"dataset": {"name": "x", "source": "demo"}} | sections, SCHEMA)
    return trials.sweeps(config, SCHEMA)


def test_products_and_shared_trials():
    sweeps = expand(
        sweeps={
            "seeds": {"seed": [0, 1, 2], "epochs": 5},
            "rates": {"learning_rate": [0.1, 0.001], "batch_size": [1000, 200], "epochs": [5, 20]},
        }
    )
    assert {name: len(found) for name, found in sweeps.items()} == {"seeds": 3, "rates": 8}
    every = trials.unique(t for found in sweeps.values() for t in found)
    assert len(every) == 3 + 8 - 1  # seed 0 with the kept values at 5 epochs is in both
    assert len({t.key for t in every}) == len(every)
    assert len({t.name for t in every}) == 2 + 4  # models: epochs are milestones of one


def test_names_are_readable_and_stable():
    (trial,) = expand(trial={"learning_rate": 0.01, "hidden": [64, 32], "seed": 3})["trial"]
    assert trial.name == "vae_learning_rate-0.01_hidden-64x32_seed-3"
    (default,) = expand(trial={"learning_rate": 0.001})["trial"]
    assert default.name == "vae_seed-0"


def test_more_specific_wins():
    def batch(**sections):
        return expand(**sections)["s"][0].parameters["batch_size"]

    assert batch(sweeps={"s": {"seed": 0}}) == 200
    assert batch(sweeps={"s": {"seed": 0}}, trial={"batch_size": 1}) == 1
    assert batch(sweeps={"s": {"seed": 0}}, trial={"batch_size": 1}, detectors={"vae": {"batch_size": 2}}) == 2
    assert batch(sweeps={"s": {"batch_size": 3}}, trial={"batch_size": 1}, detectors={"vae": {"batch_size": 2}}) == 3


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"sweeps": {"a": {"lerning_rate": [1]}}}, "sweeps.a.lerning_rate is unknown (did you mean learning_rate?)"),
        ({"sweeps": {"a": {"seed": []}}}, "sweeps.a.seed is empty"),
        ({"sweeps": {"a": {"epochs": [0, 5]}}}, "sweeps.a.epochs.0 is 0, it must be a whole number and at least 1"),
        ({"sweeps": {"a": {"augmentation": ["masks"]}}}, "sweeps.a.augmentation is 'masks', it must be one of none"),
        ({"trial": {"feature": "mfcc"}}, "trial.feature is 'mfcc', it must be one of logmel"),
        ({"trial": {"learning_rate": "1e-3"}}, "YAML reads it as text: write 0.001"),
        ({"sweeps": {"a": {}}}, "sweeps.a is empty"),
    ],
)
def test_bad_sweeps(sections, sentence):
    with pytest.raises(InputError) as error:
        expand(**sections)
    assert sentence in str(error.value)


def test_plan_of_the_default_study(finished, tmp_path):
    """Snakemake plans each trial of the demo's sweeps once, each milestone as its own job."""
    project = finished.copy(tmp_path / "project")
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    project.configure(config | {"dataset": config["dataset"] | {"name": "planned"}})
    planned = project.planned("results/planned/tables/auc.csv")
    sweeps = trials.sweeps(validate(config, SCHEMA), SCHEMA)
    every = trials.unique(t for found in sweeps.values() for t in found)
    assert planned["train"] == planned["score"] == len({(t.name, t.epochs) for t in every})


def test_milestone_added(finished, tmp_path):
    """One more milestone of the same trials: they go on from the finished one, which stays."""
    project = finished.copy(tmp_path / "project")
    rates = project.config["sweeps"]["rates"] | {"epochs": [1, 3]}
    project.configure(project.config | {"sweeps": {"rates": rates}})
    assert project.planned() == {"train": 4, "score": 4, "tables": 1, "figures": 1, "report": 1, "pack": 1}
    done = project.run("--dry-run", "--printshellcmds", "--quiet", "host")
    assert (done.stdout + done.stderr).count("--continue-from=results/tiny/models/slider/vae_") == 4


def test_sweep_tables_of_a_run(finished):
    folder = finished.results / "tables"
    tidy = pd.read_csv(folder / "sweeps/rates.csv")
    assert len(tidy) == 4 and tidy["selected"].sum() == 1 and tidy["best_by_labels"].sum() == 1
    for _, row in tidy.iterrows():
        where = f"slider/{row['trial']}/epochs-{row['epochs']}"
        scores = pd.read_parquet(finished.results / f"scores/{where}.parquet")
        assert row["auc"] == pytest.approx(roc_auc_score(scores["label"].astype(int), scores["mean"]), abs=1e-5)
        log = pd.read_csv(finished.results / f"models/{where}/log.csv")
        assert row["val_loss"] == pytest.approx(log["val_loss"].iloc[-1], rel=1e-4)
        held_out = pd.read_parquet(finished.results / f"models/{where}/validation.parquet")
        assert row["pseudo_auc"] == pytest.approx(roc_auc_score(held_out["pseudo"], held_out["mean"]), abs=1e-5)
    assert tidy.loc[tidy["selected"], "val_loss"].item() == tidy["val_loss"].min()
    assert tidy.loc[tidy["best_by_labels"], "auc"].item() == tidy["auc"].max()

    report = pd.read_csv(folder / "sweeps/rates_report.csv")
    for rate, rows in tidy.groupby("learning_rate"):
        line = report[report["learning_rate"] == rate].iloc[0]
        assert line["mean"] == pytest.approx(rows["auc"].mean(), abs=1e-5)
        assert line["std"] == pytest.approx(rows["auc"].std(), abs=1e-5)
        half = 12.7062047 * rows["auc"].std() / np.sqrt(2)  # Student's t, one degree of freedom
        assert line["high"] - line["mean"] == pytest.approx(half, abs=1e-4)
    selected = pd.read_csv(folder / "selected.csv").iloc[0]
    assert selected["selected_trial"] == tidy.loc[tidy["selected"], "trial"].item()
    assert selected["price_of_honesty"] == pytest.approx(
        tidy["auc"].max() - tidy.loc[tidy["selected"], "auc"].item(), abs=1e-5
    )


def tidy_rows(**columns) -> pd.DataFrame:
    rows = pd.DataFrame(
        {"val_loss": [3.0, 1.0, 2.0], "pseudo_auc": [0.9, 0.6, 0.7], "score": "mean", "seed": 0} | columns
    )
    return rows


def test_choice_by_validation_loss_where_comparable():
    rows = tidy_rows(learning_rate=[0.1, 0.01, 0.001])
    assert selection.choose(rows, ["learning_rate", "seed", "score"]) == 1


@pytest.mark.parametrize(
    "varied", [{"window": [3, 5, 7]}, {"score": ["mean", "std", "max"]}, {"detector": ["vae", "gmm", "idnn"]}]
)
def test_choice_by_pseudo_anomalies_elsewhere(varied):
    assert selection.choose(tidy_rows(**varied), [*varied, "seed"]) == 0


def test_diverged_trials_are_not_chosen():
    rows = tidy_rows(learning_rate=[0.1, 0.01, 0.001], val_loss=[np.nan, np.inf, 5.0])
    assert selection.choose(rows, ["learning_rate"]) == 2
    assert selection.choose(rows.assign(val_loss=np.nan, pseudo_auc=np.nan), ["learning_rate"]) is None


def test_cut_paste_moves_a_patch():
    features = toy_features(6, bins=16)
    pseudo = pseudo_anomalies.cut_paste(features, 2)
    assert len(pseudo) == 12
    for i in range(12):
        before, after = features.clip(i % 6), pseudo.clip(i)
        changed = before != after
        assert 0 < changed.mean() < 0.5
        assert np.isin(after[changed], before).all()  # no new values
    np.testing.assert_array_equal(pseudo.values, pseudo_anomalies.cut_paste(features, 2).values)


def test_mixtures_are_means_of_two_clips_of_a_machine():
    features = toy_features(8, ids=("00", "02"))
    made = pseudo_anomalies.mixtures(features, 2)
    assert len(made) == 16
    names = features.clips["clip"].tolist()
    for i, mixture in enumerate(made.clips["clip"]):
        own, other = (names.index(name) for name in mixture.split(" + "))
        assert own != other and len({*features.clips["machine_id"][[own, other]], made.clips["machine_id"][i]}) == 1
        shorter = min(len(features.clip(own)), len(features.clip(other)))
        mean = (features.clip(own)[:shorter] + features.clip(other)[:shorter]) / 2
        np.testing.assert_allclose(made.clip(i)[:shorter], mean, rtol=1e-6)
        np.testing.assert_array_equal(made.clip(i)[shorter:], features.clip(own)[shorter:])
    assert made.clips["clip"].is_unique
    shuffled = features.select(np.random.default_rng(0).permutation(8))
    assert {*pseudo_anomalies.mixtures(shuffled, 2).clips["clip"]} == {*made.clips["clip"]}


def test_seeds_alone_become_columns():
    measured = pd.DataFrame(
        [
            {
                "trial": f"t{s}",
                "machine_type": "slider",
                "machine_id": i,
                "domain": "",
                "heard": True,
                "auc": a + s / 10,
                "epochs": 5,
                "score": "mean",
            }
            for s in range(3)
            for i, a in (("00", 0.6), ("02", 0.5), ("mean", 0.55))
        ]
    )
    table = pd.DataFrame(
        {
            "sweep": "s",
            "trial": ["t0", "t1", "t2"],
            "machine_type": "slider",
            "epochs": 5,
            "score": "mean",
            "seed": [0, 1, 2],
        }
        | dict.fromkeys([*auc_table.MEASURES, "pseudo_auc", "seconds_per_epoch"], 0.5)
        | {
            "selected": False,
            "best_by_labels": False,
            "criterion": "",
            "val_loss": 0.0,
            "diverged": False,
            "reference": "",
        }
    )
    shape = sweep_tables.report_table(table, measured, ["seed"]).set_index("machine_id")
    assert shape.loc["02", ["seed 0", "seed 1", "seed 2"]].tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert shape.loc["mean", "mean"] == pytest.approx(0.65) and shape.loc["mean", "std"] == pytest.approx(0.1)


def test_references_only_for_the_same_ids(tmp_path):
    config = tiny_config()
    assert config["dataset"]["source"] == "demo"
    references = pd.read_csv(ROOT / "workflow/references.csv", dtype=str)
    measured = pd.DataFrame(
        [
            {
                "trial": "t",
                "machine_type": "slider",
                "machine_id": i,
                "domain": "",
                "heard": True,
                "epochs": 5,
                "score": "mean",
                "n_normal": 1,
            }
            | dict.fromkeys(["auc", "auc_low", "auc_high", "pauc", "n_anomaly"], 0.5)
            for i in ("00", "02", "04", "mean", "pooled")
        ]
    )
    trained = pd.DataFrame([{"trial": "t", "epochs": 5, "score": "mean", "machine_type": "slider", "val_loss": 1.0}])
    trained = trained.assign(pseudo_auc=0.5, seconds_per_epoch=1.0, diverged=False)
    trial = trials.Trial("t", {"detector": "vae", "epochs": 5, "score": "mean"})
    shown = sweep_tables.sweep_table("s", [trial], measured.assign(detector="vae"), trained, references)[
        "reference"
    ].item()
    assert "course VAE" in shown and "IDNN" not in shown


def test_scores_that_follow_a_pattern():
    def scores(*names):
        config = {"dataset": {"name": "x", "source": "demo"}, "sweeps": {"s": {"detector": "gmm", "score": [*names]}}}
        return [t.parameters["score"] for t in trials.sweeps(validate(config, SCHEMA), SCHEMA)["s"]]

    assert scores("score", "r_0.95") == ["score", "r_0.95"]
    with pytest.raises(
        InputError, match=r"sweeps\.s\.score is 'mean', for gmm it must be score, or r_0\.95 and the like"
    ):
        scores("mean")
