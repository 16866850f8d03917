"""A configuration expanded: models, files and estimates, without Snakemake."""

import pytest
from conftest import load_script, write_clip

from humwatch.study import plan
from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study

SCHEMA = read_schema()


def of(config: dict) -> Study:
    return Study(validate({"dataset": {"name": "x", "source": "demo"}} | config, SCHEMA), SCHEMA)


def test_models_and_their_files():
    study = of({"sweeps": {"epochs": {"epochs": [2, 5]}, "scores": {"epochs": [2], "score": ["mean", "std"]}}})
    assert study.trained == [f"results/x/models/slider/vae_seed-0/epochs-{n}/model.json" for n in (2, 5, 2)]
    assert study.poolings == {("vae_seed-0", 2): ["mean", "std"], ("vae_seed-0", 5): ["mean"]}
    assert [study.previous("vae_seed-0", n) for n in (2, 5)] == [0, 2]
    assert study.previous_files("slider", "vae_seed-0", 2) == []
    before = study.previous_files("slider", "vae_seed-0", 5)
    assert "results/x/models/slider/vae_seed-0/epochs-2/training.safetensors" in before
    assert study.feature_files("slider", "vae_seed-0", "test") == ["results/x/features/logmel/slider/test.parquet"]
    assert {path.rsplit("/", 1)[1] for path in study.measured} >= {"epochs-2.parquet", "log.csv", "validation.parquet"}


def test_a_model_per_machine_id_with_masks():
    config = {"augmentations": {"spec": {}}, "trial": {"scope": "machine_id", "augmentation": "spec"}}
    study = of(config)
    assert [scope.name for scope in study.scopes["machine_id"]] == ["slider_id_00", "slider_id_02", "slider_id_04"]
    name = next(iter(study.models))
    assert study.mask_files("slider_id_02", name) == ["results/x/masks/spec/logmel/slider/masks.parquet"]
    assert len(study.scored) == 3


@pytest.mark.parametrize("channel", [{"near": 3, "far": 1}, [3, 1], [3, 1, 0], 3, "mix"])
def test_only_features_that_need_it_hear_the_far_microphone(channel):
    features = {"near": {}} | ({} if channel in (3, "mix") else {"clean": {"source": "noise_aware"}})
    study = of(
        {
            "dataset": {"name": "x", "source": "demo", "channel": channel},
            "features": features,
            "trial": {"feature": "near"},
        }
    )
    assert study.channel("near") == ("mix" if channel == "mix" else 3)
    if "clean" in features:
        assert study.channel("clean") == ([3, 1] if isinstance(channel, dict) else channel)


def test_members_of_an_ensemble():
    study = of({"ensembles": {"both": [{"detector": "knn", "scope": "machine_id"}, {"detector": "gmm"}]}})
    members = [
        (t.parameters["detector"], [s.name for s in scopes]) for t, scopes in study.members("ensemble-both", "slider")
    ]
    assert members == [("knn", ["slider_id_00", "slider_id_02", "slider_id_04"]), ("gmm", ["slider"])]


def test_a_scope_for_one_detector_only():
    config = {
        "detectors": {"id_classifier": {"scope": "all"}},
        "sweeps": {"both": {"detector": ["id_classifier", "knn"]}},
    }
    study = of(config)
    scopes = {t.parameters["detector"]: t.parameters["scope"] for t in study.trials}
    assert scopes == {"id_classifier": "all", "knn": "machine_type"}
    assert [path.split("/")[3] for path in study.trained] == ["all", "slider"]


def judged(study: Study) -> list[str]:
    return [path.removeprefix("results/x/models/").removesuffix("/leave_id_out.parquet") for path in study.judged]


def test_nothing_is_judged_where_all_trials_have_one_loss():
    assert (
        judged(of({"sweeps": {"a": {"learning_rate": [0.1, 0.01]}, "b": {"epochs": [2, 5], "hidden": [[8], [16]]}}}))
        == []
    )
    assert judged(of({})) == []
    one_id = {"dataset": {"name": "x", "source": "demo", "machine_ids": ["00"]}}
    assert judged(of(one_id | {"sweeps": {"a": {"detector": ["vae", "knn"]}}})) == []


def test_one_trial_of_each_loss_is_judged():
    """The most usual, in each of its scopes; it stands for all of its loss, whatever their pooling."""
    sweeps = {
        "rates": {"learning_rate": [0.1, 0.001], "seed": [1, 0], "score": ["mean", "std"]},
        "windows": {"window": 8, "learning_rate": [0.001, 0.1], "batch_size": 256},
        "gaussians": {"detector": "mahalanobis", "scope": "machine_id"},
    }
    study = of({"detectors": {"vae": {"epochs": 3, "learning_rate": 0.1}}, "sweeps": sweeps})
    assert judged(study) == [
        "slider/vae_learning_rate-0.1_seed-0/epochs-3",
        "slider/vae_learning_rate-0.1_batch_size-256_window-8_seed-0/epochs-3",
        *(f"slider_id_{i}/mahalanobis_scope-machine.id_seed-0/epochs-0" for i in ("00", "02", "04")),
    ]
    rates = [t for t in study.trials if t.parameters.get("window") == 5]
    assert len(rates) == 8 and {study.judges[t.key][0].name for t in rates} == {"vae_learning_rate-0.1_seed-0"}


def test_an_ensemble_is_judged_by_all_its_members():
    study = of({"ensembles": {"seeds": [{"detector": "gmm", "seed": [0, 1]}]}})
    assert judged(study) == [
        "slider/ensemble-seeds/epochs-0",
        "slider/gmm_seed-0/epochs-0",
        "slider/gmm_seed-1/epochs-0",
    ]
    assert study.trainings == 2  # the ensemble is none


def test_an_ensemble_is_no_training(tmp_path, monkeypatch):
    """Of those that a job counts: training 2 of 3."""
    monkeypatch.setenv("HUMWATCH_TRAININGS", "3")
    for trial in ("knn_seed-0", "ensemble-both"):
        (tmp_path / f"slider/{trial}/epochs-0").mkdir(parents=True)
        (tmp_path / f"slider/{trial}/epochs-0/model.json").touch()
    assert load_script("train").position(tmp_path / "slider/gmm_seed-0/epochs-0") == "2 of 3"


def test_machines_without_training_or_test_clips(tmp_path):
    write_clip(tmp_path / "fan/train/normal_id_00_0.wav")
    write_clip(tmp_path / "fan/test/normal_id_00_1.wav")
    write_clip(tmp_path / "pump/train/normal_id_00_0.wav")
    write_clip(tmp_path / "valve/test/normal_id_00_0.wav")
    study = of({"dataset": {"name": "x", "source": "directory", "path": str(tmp_path)}})
    assert study.unheard == ["valve"] and study.scored_types == ["fan"]
    assert len(study.trained) == 2 and len(study.scored) == 1


@pytest.mark.parametrize("copies", [1, 3])
def test_a_training_goes_on_from_the_milestone_before(copies):
    config = {"augmentations": {"spec": {"copies": copies}}, "trial": {"augmentation": "spec"}}
    study = of(config | {"sweeps": {"epochs": {"epochs": [5, 20]}}})
    name = next(iter(study.models))
    first, second = (plan.training_seconds(study, name, epochs, 1e5, gpu=False) for epochs in (5, 20))
    assert second == pytest.approx(3 * first)
    plain = of({"sweeps": {"epochs": {"epochs": [5]}}})
    assert first == pytest.approx((1 + copies) * plan.training_seconds(plain, "vae_seed-0", 5, 1e5, gpu=False))
