import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf, ShrunkCovariance, ledoit_wolf_shrinkage
from sklearn.metrics import roc_auc_score

from humwatch.detectors import base
from humwatch.detectors.backends import SHRINKAGES, gaussian, ledoit_wolf
from humwatch.detectors.base import FitContext, detector_class
from humwatch.detectors.clip_statistics import ClipStatistics
from humwatch.detectors.gmm import time_weighted
from humwatch.detectors.networks.members import Members
from humwatch.errors import InputError
from humwatch.features import store
from humwatch.features.held_out import split_validation
from humwatch.features.store import Features

SMALL = {
    "mahalanobis": {},
    "knn": {},
    "gmm": {"r": [0.0, 0.9, 1.0]},
    "id_classifier": {"hidden": [32], "embedding": 16, "subclusters": 2, "batch_size": 32, "learning_rate": 0.01},
}
EPOCHS = 10
MACHINES = [("fan", "00"), ("fan", "02"), ("pump", "00"), ("pump", "02")]
BINS, FRAMES = 12, 20

every = pytest.mark.parametrize("name", SMALL)


def toy(machines, clips, seed, label=0, frames=FRAMES, energies=False) -> Features:
    """Each machine has a spectrum of its own, correlated noise on it, and a level; anomalies have a raised band."""
    draw = np.random.default_rng(seed)
    values, rows = [], []
    for machine_type, machine_id in machines:
        own = np.random.default_rng([*machine_type.encode(), int(machine_id)])
        spectrum, mixing = own.normal(-40, 6, BINS), own.normal(0, 0.3, (BINS, BINS))
        for i in range(clips):
            clip = spectrum + mixing @ draw.normal(0, 1, BINS) + draw.normal(0, 1, (frames, BINS))
            if label:
                clip[:, 3:5] += 8 * np.array([1, -1])
            values.append(clip)
            split = "test" if label else "train"
            rows.append(
                (f"{machine_type}/{split}/{label}_id_{machine_id}_{i}.wav", machine_type, machine_id, split, label)
            )
    array = np.array(values, np.float32)
    table = pd.DataFrame(rows, columns=store.CLIP_COLUMNS).astype({"label": "Int8"})
    return Features.of(10 ** (array / 10) if energies else array, table, {"source": "toy"})


def fitted(name, train=None, seed=0, epochs=EPOCHS, **hyperparameters):
    detector = detector_class(name)(**SMALL[name] | hyperparameters)
    train = toy(MACHINES, 60, 0) if train is None else train
    detector.fit(train, toy(MACHINES, 15, 1), FitContext(seed=seed, epochs=epochs))
    return detector


@every
def test_anomalies_score_higher(name):
    detector = fitted(name)
    normal, anomalous = (detector.score(toy(MACHINES, 30, 2, label)) for label in (0, 1))
    assert detector.default_score in normal
    for score in normal:
        auc = roc_auc_score(np.repeat([0, 1], [120, 120]), np.concatenate([normal[score], anomalous[score]]))
        assert auc > 0.9, score


@every
def test_saved_and_loaded_scores_the_same(name, tmp_path):
    detector, test = fitted(name), toy(MACHINES, 5, 3)
    detector.save(tmp_path)
    loaded = base.load(tmp_path).score(test)
    for score, values in detector.score(test).items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, loaded[score])


@every
def test_a_seed_is_a_result(name):
    test = toy(MACHINES, 5, 3)
    first, second = (fitted(name, seed=4).score(test) for _ in range(2))
    for score in first:
        np.testing.assert_array_equal(first[score], second[score])


@every
def test_scores_do_not_depend_on_the_other_clips(name):
    detector, test = fitted(name), toy(MACHINES, 5, 3)
    backwards = np.arange(len(test))[::-1]
    shuffled = Features.of([test.clip(i) for i in backwards], test.clips.iloc[backwards].reset_index(), {})
    np.testing.assert_allclose(
        detector.score(shuffled)["score"], detector.score(test)["score"][::-1], rtol=1e-4, atol=1e-4
    )


@every
def test_machine_never_heard(name):
    detector = fitted(name)
    heard, unheard = toy(MACHINES[:1], 20, 5), toy(MACHINES[:1], 20, 5)
    unheard.clips["machine_id"] = "06"  # sounds like fan 00, which is found
    for score, values in detector.score(unheard).items():
        assert (values <= detector.score(heard)[score]).all()
    unheard.clips["machine_type"] = "valve"
    assert all(np.isfinite(values).all() for values in detector.score(unheard).values())


@every
def test_machine_with_one_clip(name):
    train = toy(MACHINES, 20, 0)
    keep = (train.clips["machine_type"] != "pump") | (train.clips["machine_id"] != "02")
    keep[len(keep) - 1] = True
    detector = detector_class(name)(**SMALL[name])
    detector.fit(train.select(keep.to_numpy()), toy(MACHINES[:3], 5, 1), FitContext(epochs=2))
    assert all(np.isfinite(values).all() for values in detector.score(toy(MACHINES, 5, 2)).values())


@every
def test_no_validation_clips(name):
    train = toy(MACHINES, 20, 0)
    detector = detector_class(name)(**SMALL[name])
    detector.fit(train, train.select(np.zeros(len(train), bool)), FitContext(epochs=1))
    assert all(np.isfinite(values).all() for values in detector.score(toy(MACHINES, 5, 2)).values())


def alike(kind, clips, machines, energies=False) -> Features:
    """Clips that are all the same: copies of one, silence, or a constant."""
    made = toy(machines, clips, 0, energies=energies)
    copies = np.tile(made.clip(0), (len(made), 1))
    level = {"silent": 0.0 if energies else -156.5, "constant": 1e-4 if energies else -40.0}
    values = copies if kind == "copies" else np.full_like(copies, level[kind])
    return Features(values, made.starts, made.clips, made.parameters)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("kind", ["copies", "silent", "constant"])
@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [(name, {}) for name in SMALL] + [("mahalanobis", {"shrinkage": "held_out"}), ("gmm", {"regularisation": "paper"})],
)
def test_training_clips_that_are_all_alike_give_finite_scores(name, hyperparameters, kind, energies):
    for clips, held_out in ((1, 0), (2, 1), (6, 2)):
        train = alike(kind, clips, MACHINES[:2], energies)
        validation = alike(kind, max(held_out, 1), MACHINES[:2], energies).select(
            np.full(2 * max(held_out, 1), held_out > 0)
        )
        detector = detector_class(name)(**SMALL[name] | hyperparameters)
        detector.fit(train, validation, FitContext(epochs=1))
        for scores in (detector.score(train), detector.score(toy(MACHINES[:2], 3, 2, energies=energies))):
            assert all(np.isfinite(values).all() for values in scores.values())


@pytest.mark.parametrize("kind", ["copies", "silent"])
def test_what_differs_from_copies_is_anomalous(kind):
    train, other = alike(kind, 6, MACHINES[:1]), toy(MACHINES[:1], 5, 2, label=1)
    for name in ("mahalanobis", "knn", "gmm"):
        detector = fitted_on(name, train)
        assert detector.score(other)["score"].min() > detector.score(train)["score"].max() + 1


def fitted_on(name, train):
    detector = detector_class(name)(**SMALL[name])
    detector.fit(train, train.select(np.zeros(len(train), bool)), FitContext())
    return detector


@every
def test_a_constant_bin_that_changes_is_an_anomaly(name):
    train, normal, anomalous = toy(MACHINES, 60, 0), toy(MACHINES, 10, 2), toy(MACHINES, 10, 2)
    for features, value in ((train, -50), (normal, -50), (anomalous, -10)):
        features.values[:, 7] = value
    detector = fitted(name, train)
    normal, anomalous = (detector.score(features)["score"] for features in (normal, anomalous))
    assert np.isfinite(normal).all()
    assert np.isfinite(anomalous).all()
    assert np.median(anomalous) > np.quantile(normal, 0.9)


@every
def test_energies_are_taken_as_logarithms(name):
    """By themselves where no value is negative; then their unit does not matter."""
    scores = []
    for unit in (1, 1e-6):
        train, test = (toy(MACHINES, 20, seed, energies=True) for seed in (0, 2))
        for features in (train, test):
            features.values *= unit
        detector = detector_class(name)(**SMALL[name])
        detector.fit(train, test, FitContext(epochs=1))
        scores.append(detector.score(test)["score"])
    np.testing.assert_allclose(*scores, rtol=0.01, atol=0.01)
    with pytest.raises(InputError, match="transform is 'log'"):
        fitted(name, transform="log")


def test_mahalanobis_is_the_distance():
    train, test = toy(MACHINES[:1], 60, 0), toy(MACHINES[:1], 10, 2)
    detector = detector_class("mahalanobis")(statistics="moments")
    detector.fit(train, toy(MACHINES[:1], 10, 1), FitContext())

    def moments(features):
        return np.array(
            [
                np.r_[frames.mean(axis=0), frames.std(axis=0)]
                for frames in np.split(features.values, features.starts[1:-1])
            ]
        )

    x, y = moments(train).astype(np.float64), moments(test).astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0)
    expected = LedoitWolf(assume_centered=True).fit((x - mean) / std).mahalanobis((y - mean) / std)
    score = detector.score(test)["score"]
    slope = np.polyfit(expected, score, 1)
    np.testing.assert_allclose(
        score, np.polyval(slope, expected), atol=1e-4
    )  # calibration is a shift and a positive scale
    assert slope[0] > 0


@pytest.mark.parametrize("shape", [(9, 1), (40, 30), (20, 1024)])
def test_shrinkage_is_that_of_scikit_learn(shape):
    x = np.random.default_rng(0).normal(size=shape) @ np.diag(np.linspace(0.1, 3, shape[1]))
    assert ledoit_wolf(x) == ledoit_wolf_shrinkage(x, assume_centered=True)


def test_held_out_shrinkage_is_the_likeliest():
    """Against scikit-learn's estimates, on clips that nobody had."""
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(30, 30)) / 5 + np.eye(30)
    few, fresh = (draw.normal(size=(n, 30)) @ mixing for n in (60, 5000))
    few, fresh = few / few.std(axis=0), fresh / few.std(axis=0)
    mean, whiten = gaussian(few, "held_out")
    chosen = multivariate_normal(mean, np.linalg.inv(whiten @ whiten.T)).logpdf(fresh).mean()
    shrunk = [ShrunkCovariance(shrinkage=s).fit(few).score(fresh) for s in SHRINKAGES]
    assert chosen > np.sort(shrunk)[-3]


def test_time_weights_follow_the_formula():
    frames = np.array([[3.0, 0.0], [1.0, 5.0], [2.0, 4.0]])
    maximum, half, mean = time_weighted(frames, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(maximum, [3, 5])
    np.testing.assert_allclose(half, [(3 + 2 / 2 + 1 / 4) / 1.75, (5 + 4 / 2 + 0) / 1.75])
    np.testing.assert_allclose(mean, [2, 3])


def test_gmm_is_minus_the_log_density_of_the_best_component():
    train, test = toy(MACHINES[:1], 200, 0), toy(MACHINES[:1], 10, 2)
    detector = detector_class("gmm")(r=[1.0], components=2, regularisation="paper")
    detector.fit(train, toy(MACHINES[:1], 10, 1), FitContext())
    model = detector.models["fan/00"]
    means = np.array([frames.mean(axis=0) for frames in np.split(test.values, test.starts[1:-1])], np.float64)
    x = (means - model["mean"][0]) / model["std"][0]
    precisions = [whiten @ whiten.T for whiten in model["whiten"][0]]
    densities = [
        multivariate_normal(centre, np.linalg.inv(precision)).logpdf(x)
        for centre, precision in zip(model["centres"][0], precisions, strict=True)
    ]
    median, std = model["normal"][:, 0]
    np.testing.assert_allclose(detector.score(test)["r_1.00"] * std + median, -np.max(densities, axis=0), rtol=1e-5)


def test_best_r_is_chosen_by_normal_clips():
    """Fans differ in short clicks, which the maximum hears; pumps in the level of a sound whose frames vary greatly."""

    def features(clips, seed):
        draw = np.random.default_rng(seed)
        made = toy(MACHINES, clips, seed)
        for i in range(len(made)):
            machine_type, machine_id = made.clips.loc[i, ["machine_type", "machine_id"]]
            clip = made.clip(i)
            clip[:] = draw.normal(-40, 1 if machine_type == "fan" else 10, clip.shape)
            if machine_type == "fan" and machine_id == "02":
                clip[draw.integers(FRAMES)] += 6
            if machine_type == "pump" and machine_id == "02":
                clip += 10
        return made

    detector = detector_class("gmm")(r=[0.0, 1.0])
    detector.fit(features(60, 0), features(30, 1), FitContext())
    assert [detector.kinds[int(detector.models[f"{t}/00"]["kind"])] for t in ("fan", "pump")] == ["r_0.00", "r_1.00"]


def test_calibrated_scores_share_a_threshold():
    """Held-out normal clips of every machine: median 0, spread 1."""
    detector = fitted("knn")
    held_out = toy(MACHINES, 15, 1)
    scores = detector.score(held_out)["distance"].reshape(len(MACHINES), 15)
    np.testing.assert_allclose(np.median(scores, axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(scores.std(axis=1), 1, atol=1e-5)


def test_statistics_flatten_few_frames_and_summarise_many():
    few, many = toy(MACHINES, 2, 0, frames=8), toy(MACHINES, 2, 0, frames=17)
    np.testing.assert_array_equal(ClipStatistics("none", "auto").fit(few)(few)[1], few.clip(1).reshape(-1))
    vector = ClipStatistics("none", "auto").fit(many)(many)[1]
    frames = many.clip(1).astype(np.float64)
    expected = [frames.mean(axis=0), frames.std(axis=0), *np.quantile(frames, [0.05, 0.5, 0.95], axis=0)]
    np.testing.assert_allclose(vector, np.concatenate(expected))
    with pytest.raises(InputError, match="has 17 frames"):
        ClipStatistics("none", "auto").fit(few)(many)


def test_scales_are_deviations_of_means_over_blocks():
    rng = np.random.default_rng(0)
    long, short = (rng.normal(size=(frames, 3)).astype(np.float32) for frames in (133, 10))
    features = Features.of([long, short], toy(MACHINES[:1], 2, 0).clips, {})
    found = ClipStatistics("none", "scales").fit(features)(features).reshape(2, 5, 3)
    for vector, frames in zip(found, (features.clip(0), features.clip(1)), strict=True):
        np.testing.assert_allclose(vector[0], frames.mean(axis=0), rtol=1e-5, atol=1e-6)
        for row, scale in zip(vector[1:], (1, 4, 16, 64), strict=True):
            means = [frames[i : i + scale].mean(axis=0) for i in range(0, len(frames) - scale + 1, scale)]
            np.testing.assert_allclose(row, np.std(means, axis=0) if means else 0, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", [4, 8])
def test_relative_deviation_pooling_weights_frames_by_their_distance_from_the_mean(gamma):
    frames = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    features = Features.of([frames, np.ones((5, 3), np.float32)], toy(MACHINES[:1], 2, 0).clips, {})
    found = ClipStatistics("none", f"rdp_{gamma}").fit(features)(features)
    distance = np.sqrt(((frames - frames.mean(axis=0)) ** 2).sum(axis=1))
    expected = np.average(frames, axis=0, weights=distance**gamma)
    np.testing.assert_allclose(found, [expected, np.ones(3)], rtol=1e-5, atol=1e-6)


def test_training_that_goes_on_ends_where_a_straight_one_does(tmp_path):
    straight = fitted("id_classifier", epochs=4)
    fitted("id_classifier", epochs=2).save(tmp_path)
    went_on = base.load(tmp_path, to_train=True)
    went_on.fit(toy(MACHINES, 60, 0), toy(MACHINES, 15, 1), FitContext(epochs=4))
    assert straight.state().keys() == went_on.state().keys()
    for key, array in straight.state().items():
        np.testing.assert_array_equal(array, went_on.state()[key], err_msg=key)


@pytest.mark.parametrize("head", ["subcluster_adacos", "arcface"])
@pytest.mark.parametrize("sizes", [{"hidden": [32, 16]}, {"hidden": [], "members": 3, "subclusters": 1}])
def test_the_mlp_scores_as_torch_does(head, sizes, monkeypatch):
    """Scores are computed by numpy from the saved arrays; what torch trained must give the same."""
    detector, test = fitted("id_classifier", head=head, **sizes), toy(MACHINES, 10, 3)
    embeddings, scores = detector.embed(test), detector.score(test)
    monkeypatch.setattr(detector, "_embed", detector._embed_by_torch)
    np.testing.assert_allclose(embeddings, detector.embed(test), rtol=1e-5, atol=1e-6)
    for kind, expected in detector.score(test).items():
        # Logits of float32 up to the scale, 30, are exact to 2e-6, and differ by more where processors sum in another order.
        np.testing.assert_allclose(scores[kind], expected, rtol=1e-5, atol=1e-4, err_msg=kind)


def test_parts_of_a_clip_count_as_much_as_what_the_network_tells():
    """Local density, of bands and of groups, is two of the five that the score is the mean of."""
    scores = fitted("id_classifier").score(toy(MACHINES, 10, 3))
    of_network = [scores[kind] for kind in ("log_probability", "embedding_density", "whitened_density")]
    five = [*of_network, scores["local_density"], scores["local_density"]]
    np.testing.assert_allclose(scores["score"], np.mean(five, axis=0))


def test_each_epoch_is_reported_and_an_easy_task_is_warned_of(caplog):
    rows = []
    train = toy(MACHINES, 60, 0)
    validation = train.select(np.arange(len(train)) % 5 == 0)
    detector = detector_class("id_classifier")(**SMALL["id_classifier"], averaging=0.9)
    with caplog.at_level(logging.WARNING):
        detector.fit(train, validation, FitContext(epochs=3, on_epoch=lambda epoch, row: rows.append((epoch, row))))
    assert [epoch for epoch, _ in rows] == [1, 2, 3]
    assert all(set(row) == {"train_loss", "val_loss", "seconds"} for _, row in rows)
    assert caplog.text.count("too easy") == 1


def waveforms(machines, clips):
    """Frames are pieces of the waveform: 8000 samples as 16 of 500."""
    rows = toy(machines, clips, 0).clips
    draw = np.random.default_rng(0)
    return Features.of(draw.normal(0, 0.1, (len(rows), 16, 500)).astype(np.float32), rows, {})


@pytest.mark.parametrize("network", ["stgram", "dual_branch"])
@pytest.mark.parametrize("ids", [1, 2])
def test_waveform_networks_hear_the_clips(network, ids, tmp_path):
    features = waveforms(MACHINES[:ids], 4)
    detector = detector_class("id_classifier")(network=network, batch_size=4, subclusters=3)
    detector.fit(features, features.select(np.arange(len(features)) % 2 == 0), FitContext(epochs=1))
    detector.save(tmp_path)
    scores = detector.score(features)
    assert set(scores) == {"score", "log_probability", "embedding_density", "whitened_density"}
    assert all(np.isfinite(values).all() for values in scores.values())
    np.testing.assert_array_equal(base.load(tmp_path).score(features)["score"], scores["score"])


def test_pseudo_classes_of_each_id():
    """The slowed and the hastened clips are classes of their own; the clips as they are stay as they are."""
    p = detector_class("id_classifier")(network="stgram").hyperparameters
    x, labels = torch.sin(torch.arange(8000) * 0.1).repeat(60, 1), torch.arange(60) % 2
    varied, targets = Members(p, (8000,), 16_000, 2, "speed").varied(x, labels, torch.Generator().manual_seed(0))
    assert set(targets.tolist()) == {*range(6)} and torch.equal(targets // 3, labels)
    turns = {
        i: (varied[targets % 3 == i].diff(dim=1).sign().diff(dim=1) != 0).sum(dim=1).float().mean() for i in range(3)
    }
    assert torch.equal(varied[targets % 3 == 0], x[targets % 3 == 0])
    assert turns[1] < 0.95 * turns[0] and turns[2] > 1.05 * turns[0], "slower, faster"


@pytest.mark.parametrize(("ids", "classes"), [(2, 6), (10, 10)])
def test_few_ids_become_pseudo_classes(ids, classes):
    """Ten ids are hard enough to tell apart; of fewer, each is three classes. What is saved has a centre for each."""
    features = waveforms([("fan", f"{i:02d}") for i in range(ids)], 2)
    detector = detector_class("id_classifier")(network="stgram", subclusters=2)
    detector.fit(features, features.select(np.zeros(len(features), bool)), FitContext(epochs=1))
    (centres,) = [array for name, array in detector.state().items() if name.endswith("head.centres")]
    assert centres.shape == (classes, 2, 128)


@pytest.mark.parametrize("name", ["mahalanobis", "gmm", "id_classifier", "vae"])
def test_what_a_hyper_parameter_may_be(name):
    with pytest.raises(InputError, match=r"^transform is 'mel', it must be one of .*log"):
        detector_class(name)(transform="mel")


@pytest.mark.parametrize(("network", "pseudo_classes"), [("mlp", "speed"), ("stgram", "feature_exchange")])
def test_pseudo_classes_need_their_network(network, pseudo_classes):
    detector = detector_class("id_classifier")(network=network, pseudo_classes=pseudo_classes)
    with pytest.raises(InputError, match=f"pseudo_classes is '{pseudo_classes}', which needs the network"):
        detector.fit(waveforms(MACHINES[:2], 2), waveforms(MACHINES[:2], 2), FitContext(epochs=1))


def test_id_classifier_needs_two_ids():
    with pytest.raises(InputError, match="only fan/00"):
        fitted("id_classifier", toy(MACHINES[:1], 20, 0))


DATA = os.environ.get("HUMWATCH_DATA")


@pytest.mark.skipif(not DATA, reason="HUMWATCH_DATA names no folder of real recordings")
@pytest.mark.parametrize(("name", "machine_type", "floor"), [("mahalanobis", "valve", 0.95), ("knn", "pump", 0.8)])
def test_real_machines(name, machine_type, floor):
    path = Path(DATA) / "dcase2020_dev_modspec" / f"{machine_type}.parquet"
    if not path.exists():
        pytest.skip(f"HUMWATCH_DATA holds no dcase2020_dev_modspec/{machine_type}.parquet")
    clips = store.read([path], foreign=True)
    train, test = (clips.select((clips.clips["split"] == split).to_numpy()) for split in ("train", "test"))
    held_out = split_validation(train.clips, 0.1, 0)
    detector = detector_class(name)()
    detector.fit(train.select(~held_out), train.select(held_out), FitContext())
    score = detector.score(test)["score"]
    aucs = [
        roc_auc_score(test.clips["label"][rows].astype(int), score[rows])
        for rows in test.clips.groupby("machine_id").indices.values()
    ]
    assert np.mean(aucs) > floor


def test_gmm_of_a_machine_that_is_silent_or_repeats_itself_in_clips_of_several_lengths():
    """As many components for each r, though the frames' mean has more distinct values than their maximum, or rounding says so."""
    draw = np.random.default_rng(0)
    loop = draw.normal(size=(3, 4))
    silent = [np.full((20 + i, 4), -81.37, np.float32) for i in range(12)]
    looped = [np.concatenate([loop] * 10)[: 20 + i].astype(np.float32) for i in range(12)]
    for clips in (silent, looped):
        features = Features.of(clips, toy(MACHINES[:1], 12, 0).clips, {})
        detector = base.make("gmm", {"components": 3})
        detector.fit(features, features, FitContext())
        assert np.isfinite(detector.score(features)["score"]).all()


@pytest.mark.parametrize("name", ["gmm", "mahalanobis", "knn"])
def test_values_that_are_small_throughout_are_no_constants(name):
    """Energies of quiet recordings, taken as they are: the same clips a billion times softer are told as well."""
    found = []
    for factor in (1.0, 1e-12):
        train, test = (toy(MACHINES[:1], 40, seed, energies=True) for seed in (0, 1))
        strange = toy(MACHINES[:1], 40, 2, label=1, energies=True)
        detector = base.make(name, {"transform": "none"})
        for features in (train, test, strange):
            features.values = features.values * np.float32(factor)
        detector.fit(train, test, FitContext())
        scores = [detector.score(features)["score"] for features in (test, strange)]
        found.append(roc_auc_score(np.repeat([0, 1], 40), np.concatenate(scores)))
    assert found[0] == pytest.approx(found[1], abs=0.01) and found[0] > 0.6
