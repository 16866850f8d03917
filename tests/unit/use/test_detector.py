"""A packed detector gives the workflow's scores and alarms, alone and among others."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import write_clip

import humwatch
from humwatch import parquet
from humwatch.errors import InputError
from humwatch.evaluation.decisions import calibrations
from humwatch.evaluation.thresholds import calibration_for
from humwatch.features.held_out import split_validation
from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study
from humwatch.use import pack
from humwatch.use.assemble import Finished, assemble
from humwatch.use.detector import Decision


@pytest.fixture(scope="session")
def finished_study(used):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(used.folder)
        schema = read_schema()
        yield Finished(Study(validate(used.config, schema), schema))


TRIALS = [
    "mahalanobis_seed",
    "knn",
    "gmm",
    "vae",
    "autoencoder",
    "idnn",
    "id_classifier",
    "auto",
    "mahalanobis_feature",
]
TRIALS += ["ensemble-mixed", "ensemble-fast"]


@pytest.fixture(params=TRIALS, scope="session")
def trial(request, finished_study):
    return next(trial for trial in finished_study.study.trials if trial.name.startswith(request.param))


@pytest.fixture(scope="session")
def packed(trial, finished_study, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "d.humwatch"
    assemble(finished_study, trial, finished_study.heard("slider"), path)
    return path


def workflow_scores(finished_study, trial, used):
    scopes = finished_study.scopes(trial, finished_study.machines(finished_study.heard("slider")))
    files = [finished_study.study.layout.scores(scope.name, trial.name, trial.epochs) for scope in scopes]
    return pd.concat([parquet.read(used.folder / file) for file in files], ignore_index=True)


def test_same_scores_and_alarms_as_the_workflow(packed, trial, finished_study, used, recordings):
    table = workflow_scores(finished_study, trial, used)
    detector = humwatch.load(packed)
    decisions = [detector.score(recordings.parent / clip)[0] for clip in table["clip"]]
    scores = table[trial.parameters["score"]].to_numpy()
    np.testing.assert_allclose([d.score for d in decisions], scores, rtol=1e-5, atol=1e-5 * np.std(scores))
    assert [d.machine for d in decisions] == [f"slider/{machine_id}" for machine_id in table["machine_id"]]
    decided = pd.read_csv(used.results / "tables/decisions.csv", dtype={"machine_id": str})
    decided = decided[decided["trial"] == trial.name].set_index("machine_id")
    thresholds = [decided["threshold"][machine_id] for machine_id in table["machine_id"]]
    np.testing.assert_allclose([d.threshold for d in decisions], thresholds, rtol=5e-6)
    normal, alarm = (table["label"] == 0).to_numpy(bool), np.array([d.alarm for d in decisions])
    for machine_id, row in decided.iterrows():
        own = (table["machine_id"] == machine_id).to_numpy()
        assert alarm[own & normal].mean() == pytest.approx(row["false_alarm_rate"], abs=1e-5)
        assert alarm[own & ~normal].mean() == pytest.approx(row["recall"], abs=1e-5)


def test_alone_and_among_others(packed, recordings):
    """To the last bit, and in any order."""
    paths = sorted(recordings.glob("test/*.wav"))
    together = [humwatch.load(packed).score(path) for path in paths]
    assert [humwatch.load(packed).score(path) for path in paths[::-1]] == together[::-1]


def test_same_inputs_same_bytes(packed, trial, finished_study, tmp_path):
    again = tmp_path / "again.humwatch"
    assemble(finished_study, trial, finished_study.heard("slider"), again)
    assert again.read_bytes() == packed.read_bytes()


def test_calibration_clips_were_not_fitted_on(packed, trial, used, finished_study):
    """Fast detectors: all training clips, each scored by a detector fitted without it; others: half of those held out."""
    description, arrays = pack.read(packed)
    clips = set(pack.to_texts(arrays["calibration.clips"]))
    fast = trial.name.startswith(("mahalanobis", "knn", "gmm", "ensemble-fast"))
    assert description["calibration"]["method"].startswith("cross-conformal" if fast else "calibration clips")
    first = finished_study.folder(trial, finished_study.scopes(trial, [("slider", "00")])[0])
    validation = set(parquet.read(used.folder / first / "validation.parquet")["clip"])
    assert clips and not validation & clips  # which choose and stop
    train = finished_study.train
    held_out = set(train["clip"][split_validation(train, 0.3, 0)])
    assert clips == set(train["clip"]) - held_out if fast else clips <= held_out


def test_what_is_known_of_a_detector(detector):
    found = humwatch.load(str(detector))
    assert found.machines == ["slider/00", "slider/02"]
    assert (found.sample_rate, found.seconds, found.false_alarm_rate) == (16000, 1.0, 0.1)


def test_a_decision(detector, recordings):
    found = humwatch.load(detector)
    path = recordings / "test/normal_id_00_00000000.wav"
    (decision,) = found.score(path)
    assert isinstance(decision, Decision)
    assert (decision.file, decision.start_s, decision.machine) == (str(path), 0.0, "slider/00")
    assert decision.alarm == (decision.score > decision.threshold) == (decision.p_value <= 0.1)
    samples, rate = soundfile.read(path)
    (of_samples,) = found.score(samples, rate, machine="slider/00")
    assert of_samples.score == decision.score
    (stereo,) = found.score(np.column_stack([samples, np.zeros_like(samples)]), rate, machine="slider/00")
    assert stereo.score == decision.score


def test_long_recordings_in_windows(detector, tmp_path):
    """Each window as a recording of its own; the last one ends with the recording."""
    found = humwatch.load(detector)
    path = write_clip(tmp_path / "00/long.wav", seconds=3.4)
    samples, rate = soundfile.read(path, dtype="float32")
    decisions = found.score(path)
    assert [d.start_s for d in decisions] == [0.0, 1.0, 2.0, 2.4]
    assert [d.start_s for d in found.score(path, hop=0.5)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.4]
    for decision in decisions:
        first = round(decision.start_s * rate)
        (alone,) = found.score(samples[first : first + rate], rate, machine="slider/00")
        assert alone.score == decision.score


def test_other_sample_rates(detector, tmp_path):
    found = humwatch.load(detector)
    path = write_clip(tmp_path / "00/fast.wav", sample_rate=44100)
    with pytest.raises(InputError, match=r"fast\.wav has 44100 Hz, the detector hears 16000 Hz: resample it"):
        found.score(path)
    (decision,) = found.score(path, resample=True)
    assert np.isfinite(decision.score)
    with pytest.raises(InputError, match="sample_rate"):
        found.score(np.zeros(16000, np.float32))


def test_too_short(finished_study, tmp_path):
    vae = next(trial for trial in finished_study.study.trials if trial.name.startswith("vae"))
    assemble(finished_study, vae, finished_study.heard("slider"), tmp_path / "d.humwatch")
    path = write_clip(tmp_path / "00/short.wav", seconds=0.1)
    with pytest.raises(InputError, match=r"short\.wav has 4 frame\(s\), fewer than one window of 5"):
        humwatch.load(tmp_path / "d.humwatch").score(path)


@pytest.mark.parametrize(
    ("path", "machine"),
    [
        ("slider/test/normal_id_02_00000001.wav", "slider/02"),
        ("slider/02/a.wav", "slider/02"),
        ("02/a.wav", "slider/02"),
        ("section_00_target_test_normal_0001.wav", "slider/00"),
        ("a.wav", None),
        ("id_99_1.wav", None),
        ("00/id_02_1.wav", None),  # two answers are none
    ],
)
def test_which_machine_a_path_names(detector, path, machine):
    assert humwatch.load(detector).machine_of(path) == machine


def test_unknown_machines(detector, tmp_path):
    """Without a name, the known machine to which it sounds most normal, which the output names."""
    found = humwatch.load(detector)
    path = write_clip(tmp_path / "a.wav", seed=77)
    (decision,) = found.score(path)
    each = [found.score(path, machine=machine)[0] for machine in found.machines]
    assert decision.p_value == max(one.p_value for one in each) and decision in each
    with pytest.raises(InputError, match="does not know the machine fan/1: give one of slider/00, slider/02"):
        found.score(path, machine="fan/1")


def test_another_rate(detector):
    strict = humwatch.load(detector, false_alarm_rate=0.001)
    calibration = strict.calibration(("slider", "00"))
    assert (
        calibration.extrapolated
        and calibration.threshold > humwatch.load(detector).calibration(("slider", "00")).threshold
    )
    with pytest.raises(InputError, match="between 0 and 1"):
        humwatch.load(detector, false_alarm_rate=1.5)


def test_the_workflow_packs_the_trial_chosen_without_labels(detector, used, finished_study):
    description, _ = pack.read(detector)
    chosen = finished_study.choice(finished_study.heard("slider"))
    assert description["trial"] == chosen.name
    tables = [
        parquet.read(used.folder / finished_study.folder(chosen, s) / "calibration.parquet")
        for s in finished_study.scopes(chosen, [("slider", "00"), ("slider", "02")])
    ]
    found = calibrations(tables, chosen.parameters["score"], 0.1)
    expected = calibration_for(("slider", "00"), found, 0.1)
    assert humwatch.load(detector).calibration(("slider", "00")).threshold == expected.threshold


def test_importing_humwatch_loads_nothing():
    code = "import sys, humwatch; assert not {'numpy', 'pandas', 'torch'} & {*sys.modules}; humwatch.load"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_detectors_that_need_no_torch_load_none(finished_study, tmp_path, recordings):
    """Nor scikit-learn, librosa, matplotlib: what takes seconds to load."""
    knn = next(trial for trial in finished_study.study.trials if trial.name.startswith("knn"))
    assemble(finished_study, knn, finished_study.heard("slider"), tmp_path / "d.humwatch")
    clip = recordings / "test/normal_id_00_00000000.wav"
    score = f"humwatch.load({str(tmp_path / 'd.humwatch')!r}).score({str(clip)!r}, why=0)"
    code = f"import sys, humwatch; {score}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "sklearn", "librosa", "numba", "matplotlib", "jsonschema"} & {*done.stdout.split()}
