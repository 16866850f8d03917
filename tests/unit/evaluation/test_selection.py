"""Choosing a trial without labels, over one sweep and over all."""

import itertools

import numpy as np
import pandas as pd
import pytest

from humwatch.evaluation.selection import choose, overall_choice


def sweep(name="one", **columns) -> pd.DataFrame:
    """A sweep's table of as many trials as its longest column has values."""
    length = max(len(values) for values in columns.values() if isinstance(values, list))
    given = {"trial": [f"{name}_{n}" for n in range(length)], "machine_type": "fan", "epochs": 5, "score": "mean"}
    given |= {"detector": "vae", "feature": "logmel", "seed": 0, "val_loss": np.nan, "pseudo_auc": np.nan, "auc": 0.5}
    return pd.DataFrame({"sweep": name, "selected": False, "diverged": False} | given | columns)


def chosen(*sweeps: pd.DataFrame) -> list[str]:
    return overall_choice(sweeps)["trial"].tolist()


def test_the_lowest_loss_of_all_sweeps_is_chosen_where_all_minimise_the_same():
    seeds = sweep("seeds", seed=[0, 1, 2], val_loss=[3.0, 1.0, 2.0], pseudo_auc=[0.9, 0.5, 0.5])
    epochs = sweep("epochs", trial=["seeds_0", "seeds_0"], epochs=[5, 20], val_loss=[3.0, 0.5], pseudo_auc=[0.9, 0.6])
    row = overall_choice([seeds, epochs]).iloc[0]
    assert (row["sweep"], row["trial"], row["epochs"]) == ("epochs", "seeds_0", 20)
    assert (row["criterion"], row["chosen_from"]) == ("val_loss", 4)  # what the two share counts once


def test_detectors_are_compared_by_pseudo_anomalies_where_nothing_else_tells():
    losses = sweep("rates", learning_rate=[0.1, 0.01], val_loss=[1.0, 2.0], pseudo_auc=[0.6, 0.7])
    other = sweep("other", detector=["knn"], epochs=np.nan, pseudo_auc=[0.8])
    row = overall_choice([losses, other]).iloc[0]
    assert (row["trial"], row["criterion"], row["chosen_from"]) == ("other_0", "pseudo_auc", 3)


def test_losses_are_compared_by_ids_left_out_and_trials_of_a_loss_by_it():
    rates = sweep("rates", learning_rate=[0.1, 0.01], val_loss=[2.0, 1.0], pseudo_auc=[0.9, 0.9], leave_id_out=0.8)
    windows = sweep("windows", window=[8, 8], seed=[0, 1], val_loss=[0.3, 0.2], pseudo_auc=[0.6, 0.5], leave_id_out=0.9)
    other = sweep("other", detector=["knn"], epochs=np.nan, pseudo_auc=[1.0], leave_id_out=0.7)
    row = overall_choice([rates, windows, other]).iloc[0]
    assert (row["trial"], row["criterion"], row["chosen_from"]) == ("windows_1", "leave_id_out", 5)
    assert chosen(rates, other) == ["rates_1"]
    assert overall_choice([rates]).iloc[0]["criterion"] == "val_loss"


def test_a_loss_of_which_all_trials_diverged_or_none_is_judged_is_not_chosen():
    rates = sweep("rates", seed=[0, 1], val_loss=[0.1, 0.2], diverged=[True, True], leave_id_out=0.9)
    other = sweep("other", detector=["knn", "gmm"], pseudo_auc=[0.8, 0.7], leave_id_out=[np.nan, 0.6])
    assert chosen(rates, other) == ["other_1"]


def test_poolings_of_one_model_are_compared_by_ids_left_out():
    assert chosen(sweep(trial=["a", "a"], score=["mean", "std"], val_loss=[1.0, 1.0], leave_id_out=[0.6, 0.7])) == ["a"]
    found = overall_choice(
        [sweep(trial=["a", "a"], score=["mean", "std"], val_loss=[1.0, 1.0], leave_id_out=[0.6, 0.7])]
    )
    assert found["score"].item() == "std"


def test_each_machine_type_has_its_own_choice():
    one = sweep(machine_type=["fan", "fan", "pump", "pump"], trial=["a", "b", "a", "b"], val_loss=[1.0, 2.0, 2.0, 1.0])
    found = overall_choice([one])
    assert found.set_index("machine_type")["trial"].to_dict() == {"fan": "a", "pump": "b"}
    assert found["chosen_from"].tolist() == [2, 2]


def test_what_diverged_is_never_chosen():
    assert chosen(sweep(seed=[0, 1], val_loss=[0.1, 2.0], diverged=[True, False])) == ["one_1"]
    assert chosen(sweep(seed=[0, 1], val_loss=[0.1, np.inf], diverged=[True, False])) == []
    assert chosen(sweep(seed=[0, 1], diverged=[True, True])) == []


def test_an_ensemble_can_be_chosen():
    members = sweep("members", detector=["knn", "gmm"], pseudo_auc=[0.7, 0.6])
    ensemble = sweep("members", trial=["ensemble-both"], detector=["both"], feature=[None], pseudo_auc=[0.9])
    assert chosen(pd.concat([ensemble, members], ignore_index=True)) == ["ensemble-both"]


def test_of_one_sweep_its_own_choice_stands_among_equals():
    """A sweep chooses by all digits; its table has six."""
    assert chosen(sweep(seed=[0, 1, 2], val_loss=[1.0, 1.0, 2.0], selected=[False, True, False])) == ["one_1"]


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("detector", ["vae", ["vae", "knn", "gmm", "idnn"]])
def test_labels_have_no_influence(detector, judged):
    """Whatever the labels make of the trials, the choice is the same."""
    rng = np.random.default_rng(0)
    table = sweep(seed=[0, 1, 2, 3], detector=detector, val_loss=[*rng.random(4)], pseudo_auc=[*rng.random(4)])
    if judged:
        table["leave_id_out"] = rng.random(4)
    found = {
        tuple(
            chosen(table.assign(auc=aucs, pauc=aucs, auc_low=aucs, auc_high=aucs, best_by_labels=np.equal(aucs, 1.0)))
        )
        for aucs in itertools.permutations([0.0, 0.5, 1.0, np.nan])
    }
    parameters = ["detector", "seed"]
    assert found == {(table.loc[choose(table, parameters), "trial"],)}


def test_the_best_loss_is_chosen_from_where_no_clip_is_held_out():
    rows = sweep("k", detector=["knn", "gmm", "gmm"], epochs=np.nan, leave_id_out=[0.7, 0.9, 0.9], seed=[0, 0, 1])
    assert chosen(rows) == ["k_1"]
    assert chosen(rows.assign(diverged=[False, True, False])) == ["k_2"]
    assert chosen(rows.assign(diverged=[False, True, True])) == ["k_0"]
    assert chosen(rows.assign(diverged=True)) == []
