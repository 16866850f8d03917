import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from humwatch.detectors import base
from humwatch.detectors.base import FitContext, detector_class
from humwatch.detectors.local_density import LocalDensity, parts
from humwatch.errors import InputError
from humwatch.evaluation.calibration_clips import cross_conformal
from humwatch.features import store
from humwatch.features.store import Features

ROWS, BINS = 8, 12
SMALL = {"hidden": [32], "embedding": 16, "subclusters": 2, "batch_size": 64, "learning_rate": 0.01}  # a network


def drawn(clips, seed, size=ROWS * BINS):
    """Correlated normal vectors, (clips, size)."""
    mixing = np.random.default_rng(99).normal(0, 0.1, (size, size)) + np.eye(size)
    return np.random.default_rng(seed).normal(size=(clips, size)) @ mixing


def one_domain(clips):
    return np.zeros(len(clips), int)


def as_features(vectors, **columns) -> Features:
    """Clips of few frames, which are laid out one after the other; all of one machine unless columns say otherwise."""
    names = [f"{columns.get('split', 'train')}_{i}.wav" for i in range(len(vectors))]
    about = {"clip": names, "machine_type": "fan", "machine_id": "00", "split": "train", "label": 0} | columns
    clips = pd.DataFrame(about, columns=[*store.CLIP_COLUMNS, *(set(about) - set(store.CLIP_COLUMNS))])
    return Features.of(list(vectors.reshape(len(vectors), ROWS, BINS).astype(np.float32)), clips, {"source": "toy"})


def none_of(features):
    return features.select(np.zeros(len(features), bool))


def test_ratios_follow_the_formula():
    """Against scikit-learn's covariance and neighbours."""
    train, test = drawn(200, 0, 10), drawn(20, 1, 10)
    standardised = (train - train.mean(axis=0)) / train.std(axis=0)
    inverse = LedoitWolf(assume_centered=True).fit(standardised).precision_
    whiten = np.linalg.cholesky(inverse) / train.std(axis=0)[:, None]  # any root gives the same distances
    x, y = train @ whiten, test @ whiten
    spacing = NearestNeighbors(n_neighbors=7).fit(x).kneighbors(return_distance=True)[0].mean(axis=1)

    def score(found):
        return np.log(np.sort(found / spacing, axis=1)[:, :3].mean(axis=1))

    among = np.linalg.norm(x[:, None] - x, axis=2)
    np.fill_diagonal(among, np.inf)
    own, expected = score(among), score(np.linalg.norm(y[:, None] - x, axis=2))
    backend = LocalDensity(neighbours=3, density_neighbours=7, whitening="ledoit_wolf")
    found = backend.score(backend.fit(train, one_domain(train)), test)[:, 0]
    np.testing.assert_allclose(found, (expected - np.median(own)) / own.std(), rtol=1e-4, atol=1e-4)


def test_shrinkage_one_is_standardising():
    train, test = drawn(100, 0, 10), drawn(20, 1, 10)
    scores = []
    for backend in (LocalDensity(shrinkage=1), LocalDensity(whitening="standardise")):
        scores.append(backend.score(backend.fit(train, one_domain(train)), test))
    np.testing.assert_array_equal(*scores)


def test_varmin_makes_normal_scores_most_alike():
    """Two kinds of normal sound, one a hundred times as varied: neither no rescaling nor the whole of it is best."""
    train = np.concatenate([drawn(150, 0, 10), 5 + 0.01 * drawn(150, 1, 10)])
    spread = {}
    for rescaling in ("none", "local_density", "varmin"):
        backend = LocalDensity(rescaling=rescaling, whitening="none")
        spread[rescaling] = backend.fit(train, one_domain(train))["own"][1, 0]
    assert spread["varmin"] <= min(spread["none"], spread["local_density"])


def test_parts_of_a_vector():
    index = np.arange(ROWS * BINS).reshape(ROWS, BINS)
    found = parts(ROWS, BINS, "both", 3)
    np.testing.assert_array_equal(found["bands"], index)
    np.testing.assert_array_equal(found["groups"][1], index[:, 4:8].reshape(-1))
    assert {name: array.shape for name, array in parts(5, 128, "both", 6).items()} == {
        "bands": (5, 128),
        "groups": (6, 110),
    }
    assert set(parts(5, 128, "groups", 6)["groups"].reshape(-1)) == set(range(640))  # none is left out
    assert parts(5, 2, "groups", 6)["groups"].shape == (2, 5)
    assert parts(1, 7, "none", 6)["whole"].shape == (1, 7)


def test_a_fault_in_one_band_is_not_lost_among_all():
    draw = np.random.default_rng(0)
    train, normal, faulty = (draw.normal(size=(clips, ROWS * BINS)) for clips in (300, 200, 200))
    faulty.reshape(-1, ROWS, BINS)[:, 1] *= 1.6
    aucs = {}
    for which in ("none", "bands"):
        detector = detector_class("knn")(parts=which, top=1, transform="none")
        detector.fit(as_features(train), as_features(normal[:50]), FitContext())
        scores = [detector.score(as_features(vectors))["score"] for vectors in (normal[50:], faulty)]
        aucs[which] = roc_auc_score(np.repeat([0, 1], [150, 200]), np.concatenate(scores))
    assert aucs["bands"] > aucs["none"] + 0.02


def shifted(clips, seed, share=0.0):
    """Vectors of the source domain, and after them a share of the target domain's: louder in some bins; and their domains."""
    vectors = drawn(clips, seed)
    targets = round(share * clips)
    if targets:
        vectors[-targets:, ::3] += 6
    return vectors, np.repeat(["source", "target"], [clips - targets, targets])


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("knn", {}),
        ("mahalanobis", {}),
        ("gmm", {"r": [1.0], "components": 1}),
        ("id_classifier", {"classes": "attributes"} | SMALL),
    ],
)
def test_normal_clips_of_a_domain_with_few_do_not_look_strange(name, hyperparameters):
    """990 training clips of the source domain, 10 of the target domain."""
    vectors, domain = shifted(1000, 0, 0.01)
    attributes = np.array(["slow", "fast"], object)[(vectors[:, 0] > 0).astype(int)]
    columns = {"domain": domain, "attributes": attributes}
    train, validation = (
        as_features(vectors, **columns),
        as_features(shifted(100, 1)[0], domain="source", attributes="slow"),
    )
    source, target = (as_features(shifted(300, 2, share)[0]) for share in (0, 1))
    gap = {}
    for domains in ("joint", "apart"):
        detector = detector_class(name)(transform="none", domains=domains, **hyperparameters)
        detector.fit(train, validation, FitContext(epochs=3))
        ours, theirs = (detector.score(features)["score"] for features in (source, target))
        gap[domains] = (np.median(theirs) - np.median(ours)) / ours.std()
    assert gap["apart"] < 1
    assert gap["apart"] < gap["joint"] / 2


def test_few_are_kept_and_of_every_domain():
    vectors, domain = shifted(400, 0, 0.05)
    detector = detector_class("knn")(most=100, transform="none")
    detector.fit(as_features(vectors, domain=domain), as_features(drawn(50, 1)), FitContext())
    kept = detector.models["fan/00"]["bands_domain"][0]
    assert np.bincount(kept).tolist() == [50, 20]
    strange = drawn(100, 2)
    strange[:, 5:8] += 6
    assert np.median(detector.score(as_features(strange))["score"]) > 1


def test_vectors_are_computed_once(monkeypatch):
    detector, asked = detector_class("knn")(), []
    original = detector.vectors
    monkeypatch.setattr(detector, "vectors", lambda features: asked.append(len(features)) or original(features))
    train, validation = as_features(drawn(60, 0)), as_features(drawn(10, 1))
    detector.fit(train, validation, FitContext())
    cross_conformal(detector, train, validation, FitContext())
    assert asked == [60, 10]


def test_attributes_are_classes_where_a_machine_has_one_id(tmp_path):
    """Two speeds of one machine; a sound between them is none of them."""

    def clips(seed, speed):
        vectors = drawn(len(speed), seed)
        vectors[:, :12] += 8 * np.asarray(speed)[:, None]
        return vectors

    speed = np.tile([-1, 1], 100)
    features = as_features(clips(0, speed), attributes=np.where(speed > 0, "vel_9", "vel_3"))
    detector = detector_class("id_classifier")(classes="attributes", transform="none", **SMALL)
    held_out = as_features(clips(1, speed[:20]), attributes="vel_never_heard")
    detector.fit(features, held_out, FitContext(epochs=10))
    normal, between = (
        detector.score(as_features(clips(2, sounds), attributes=None)) for sounds in (speed[:50], np.zeros(50))
    )
    for kind in ("log_probability", "embedding_density", "whitened_density"):
        assert roc_auc_score(np.repeat([0, 1], 50), np.concatenate([normal[kind], between[kind]])) > 0.9, kind
    detector.save(tmp_path)
    loaded = base.load(tmp_path).score(as_features(clips(2, speed[:50])))
    np.testing.assert_array_equal(loaded["score"], normal["score"])
    with pytest.raises(InputError, match="classes is 'attributes', but no name of a training clip states any"):
        detector_class("id_classifier")(classes="attributes").fit(as_features(clips(0, speed)), held_out, FitContext())


@pytest.mark.parametrize("clips", [3, 5, 6])
def test_normal_clips_that_are_all_alike_have_no_unit(clips):
    """Few clips, or copies of one: scores differ by rounding alone, which must not become their unit."""
    for seed in range(5):
        copies = np.tile(drawn(1, seed), (clips, 1))
        for train in (drawn(clips, seed), copies):
            detector = detector_class("knn")(transform="none")
            detector.fit(as_features(train), none_of(as_features(train)), FitContext())
            scores = detector.score(as_features(np.concatenate([train, drawn(10, 9)])))
            assert all(np.abs(values).max() < 1e4 for values in scores.values())


def test_without_shrinkage_what_never_changes_is_no_division_by_zero():
    train = drawn(200, 0)
    train[:, 4] = 1.0
    detector = detector_class("knn")(transform="none", shrinkage=0.0)
    detector.fit(as_features(train), as_features(drawn(20, 1)), FitContext())
    assert all(np.isfinite(values).all() for values in detector.score(as_features(drawn(20, 2))).values())
