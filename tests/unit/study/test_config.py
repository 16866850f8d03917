"""Bad configurations: one short sentence for each mistake, before anything runs; good ones mean what they say."""

import copy
import datetime
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

import humwatch.detectors
from humwatch import __main__
from humwatch.detectors import base, pseudo_anomalies
from humwatch.errors import InputError
from humwatch.features.logmel import Feature as LogMel
from humwatch.features.store import Features
from humwatch.study import config, costs, plan, trials
from humwatch.study.config import read_schema, validate
from humwatch.study.reading import check_files, read

SCHEMA = read_schema()
DEMO = {"dataset": {"name": "x", "source": "demo"}}
FOLDER = {"dataset": {"name": "x", "source": "folder", "path": "recordings"}}


def check(config) -> dict[str, list[trials.Trial]]:
    """What is checked before anything is planned."""
    return trials.sweeps(validate(config, SCHEMA), SCHEMA)


def refused(config) -> str:
    with pytest.raises(InputError) as error:
        check(config)
    said = str(error.value)
    assert all(0 < len(line) < 500 and line.isprintable() for line in said.splitlines()), said
    return said


# Reading


def write(tmp_path, content, name="c.yaml"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


GOOD = b"dataset: {name: x, source: demo}\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", " is empty"),
        (b"# nothing\n---\n", " is empty"),
        (b"- a\n- b\n", " holds a list, it must be a mapping"),
        (b"just text", " holds a single value, it must be a mapping"),
        (GOOD + "# für Übung\n".encode("latin-1"), ", line 2: the byte 0xfc is not UTF-8"),
        ("dataset: {name: x}\n".encode("utf-16"), " is in UTF-16: save it as UTF-8"),
        ("dataset: {name: x}\n".encode("utf-16-le"), ", line 1: there is a NUL byte"),
        (GOOD + b"trial: {detector: v\x00ae}\n", ", line 2: there is a NUL byte"),
        (GOOD + b"trial: {detector: v\x07ae}\n", ", line 2: the character U+0007 is not allowed"),
        (GOOD + b"trial:\n  a: b: c\n", ", line 3, column 7: mapping values are not allowed here in 'a: b: c'"),
        (GOOD + b"trial: {a: [1, 2}\n", ", line 2, column 17: "),
        (GOOD + b"trial:\n\tdetector: vae\n", "indent with spaces, not with tabs"),
        (GOOD + b"trial: *nowhere\n", ", line 2, column 8: found undefined alias"),
        (GOOD + b"trial: {seed: 1}\ntrial: {seed: 2}\n", ", lines 2 and 3: trial is given twice"),
        (GOOD + b"sweeps:\n  a: {seed: 1}\n  b: {seed: 1}\n  a: {seed: 2}\n", ", lines 3 and 5: sweeps.a is given twice"),
        (GOOD + b"ensembles:\n  e:\n  - seed: 1\n    seed: 2\n", ", lines 4 and 5: ensembles.e.0.seed is given twice"),
        (b'{"dataset": {"name": "x",\n"name": "y"}}', ", lines 1 and 2: dataset.name is given twice"),
        (GOOD + b"---\n" + GOOD, ", line 2: a second document begins"),
        (GOOD + b"trial: !!python/object/apply:os.system [ls]\n", ", line 2: the tag 'tag:yaml.org,2002:python/object"),
        (GOOD + b"trial: !!python/tuple [1]\n", ", line 2: the tag "),
        (GOOD + b"trial: !x y\n", ", line 2: the tag '!x' is not allowed"),
        (GOOD + b"trial: {seed: !!bool maybe}\n", ", line 2: the tag "),
        (GOOD + b"trial: {seed: !!int maybe}\n", ", line 2: 'maybe' cannot be read"),
        (GOOD + b"trial: {seed: 2020-13-45}\n", ", line 2: '2020-13-45' cannot be read (month must be in 1..12)"),
        (GOOD + b"trial: {seed: " + 5000 * b"9" + b"}\n", ", line 2: '999"),
        (GOOD + b"trial: {seed: =}\n", ", line 2, column 15: "),
        (GOOD + b"trial: {[1]: 2}\n", ", line 2, column 9: found unhashable key"),
        (GOOD + b"<<: 5\n", ", line 2, column "),
        (GOOD + b"trial: " + 30 * b"[" + 30 * b"]", ", line 2: there are more than 20 lists or mappings in each other"),
        (GOOD + b"trial: " + 100_000 * b"[", ", line 2: there are more than 20 lists or mappings in each other"),
        (GOOD + b"trial: &a [*a]\n", ", line 2: there are more than 20 lists or mappings in each other, by aliases"),
        (b"a: &a [x, x]\n" + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b", ".join([b"*%c" % c] * 9)) for c in b"abcdefgh"),
         ": there are more than 100000 values"),
        (b"a: &a {k: v}\n" + b"".join(b"%c: &%c {<<: [%s]}\n" % (c + 1, c + 1, b", ".join([b"*%c" % c] * 9)) for c in b"abcde"),
         ": there are more than 100000 values"),
        (GOOD + 1_000_000 * b"#", " has more than 1 MB"),
    ],
)  # fmt: skip
def test_files_that_are_no_configuration(tmp_path, content, sentence):
    path = write(tmp_path, content)
    for function in (read, check_files):
        begun = time.monotonic()
        with pytest.raises(InputError) as error:
            function([path])
        assert str(error.value).startswith(str(path) + sentence) or f"{path}, line" in str(error.value)
        assert sentence in str(error.value) and len(str(error.value)) < len(str(path)) + 300
        assert time.monotonic() - begun < 5


def test_paths_that_are_no_file(tmp_path):
    for path, sentence in (
        (tmp_path / "nowhere.yaml", "is not there: correct --configfile"),
        (tmp_path, "is a folder"),
        (write(tmp_path, GOOD) / "below.yaml", "cannot be read (Not a directory)"),
        ("a\0b", "cannot be read (embedded null byte)"),
    ):
        with pytest.raises(InputError, match=re.escape(sentence)):
            read([path])


def test_read_as_snakemake_reads(tmp_path):
    """Later files override earlier ones, mappings merge; JSON by its own rules; all against Snakemake's own functions."""
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    paths = [
        write(
            tmp_path,
            "\ufeffdataset: {name: x, source: demo}\ntrial: &t {seed: 1, hidden: [1, 2]}\nsweeps: 5\n",
            "a.yaml",
        ),
        write(
            tmp_path, "---\ntrial: {<<: {seed: 0}, hidden: [3], score: 'mean'}\r\nsweeps: {a: {seed: 1}}\r\n", "b.yaml"
        ),
        write(tmp_path, '{"trial":\n\t{"learning_rate": 1e-3, "name": "\\u00fc\\/"},\t"e": {}}', "c.json"),
    ]
    theirs: dict = {}
    for path in paths:
        update_config(theirs, load_configfile(path))
    assert read(paths) == json.loads(json.dumps(theirs))
    assert read(paths)["trial"]["learning_rate"] == 0.001
    check_files(paths)
    for path in (ROOT / "config").glob("*.yaml"):
        assert read([path]) == yaml.safe_load(path.read_text())


# Checking


def placed(*path, value) -> dict:
    """The smallest configuration in which `value` stands at `path`."""
    config: dict = {"dataset": dict(DEMO["dataset"])}
    here = config
    for key in path[:-1]:
        here = here.setdefault(key, {})
    here[path[-1]] = value
    return config


def leaves() -> list[tuple]:
    """A path to every key of the schema, each hyper-parameter at one of the places where it may stand, in turn."""
    properties = SCHEMA["properties"]
    found = [(section,) for section in properties]
    found += [("dataset", key) for key in properties["dataset"]["properties"]]
    found += [("dataset", "size", key) for key in ("train", "test_normal", "test_anomaly")]
    for section in ("validation", "bootstrap", "trial"):
        found += [(section, key) for key in properties[section]["properties"]]
    found += [("augmentations", "a", key) for key in properties["augmentations"]["additionalProperties"]["properties"]]
    found += [
        ("features", "logmel", source, key) for source, keys in SCHEMA["$defs"]["features"].items() for key in keys
    ]
    found += [(section, "a") for section in ("features", "augmentations", "detectors", "sweeps", "ensembles")]
    found += [
        ("features", "logmel", "source"),
        ("trial", "detector"),
        ("sweeps", "a", "detector"),
        ("trial", "unknown"),
    ]
    for detector, keys in SCHEMA["$defs"]["detectors"].items():
        for i, key in enumerate(keys):
            found.append([("trial", detector, key), ("detectors", detector, key), ("sweeps", detector, key),
                          ("ensembles", detector, key)][i % 4])  # fmt: skip
    return found


def with_value(path: tuple, value) -> dict:
    section, *rest = path
    if section == "features" and len(rest) == 3:
        return placed("features", "logmel", value={"source": rest[1], rest[2]: value})
    if len(rest) < 2 or section in ("dataset", "augmentations", "features") or rest[0] == "a":
        return placed(*path, value=value)
    detector, key = rest
    config = {**DEMO, "trial": {"detector": detector}}
    if section == "trial":
        config["trial"][key] = value
    elif section == "detectors":
        config["detectors"] = {detector: {key: value}}
    else:
        grid = {key: value, "seed": [0, 1]}
        config[section] = {"s": grid if section == "sweeps" else [grid]}
    return config


STRANGE = [
    None, True, -1, 0, 1.5, 2.0, math.nan, math.inf, -math.inf, 10**30, 16**6000, 1e300, "", "x", "5", "1e-3", "..", "a\nb",
    "\ud800", "x" * 10_000, [], [[]], [1, "a", None], {}, {"x" * 10_000: {}}, {1: 2}, datetime.date(2020, 1, 1), b"x", (1,),
]  # fmt: skip


@pytest.mark.parametrize("path", leaves(), ids=".".join)
def test_any_value_anywhere(path):
    """A value is taken, or refused with one short sentence each; whatever it is, nothing else happens, and at once."""
    for value in STRANGE:
        begun = time.process_time()
        try:
            sweeps = check(with_value(path, value))
        except InputError as error:
            lines = str(error).splitlines()
            assert lines and all(len(line) < 500 and line.isprintable() for line in lines), (path, value)
            assert all(line.startswith("config: ") or "the configuration is" in line for line in lines), lines
        else:
            for trial in (trial for sweep in sweeps.values() for trial in sweep):
                assert json.loads(json.dumps(trial.parameters)) == trial.parameters
        assert time.process_time() - begun < 1


@pytest.mark.parametrize("config", [None, [], "x", 5, math.nan, {}, {1: 2}, {"dataset": None}, {"dataset": []}])
def test_no_configuration_at_all(config):
    refused(config)


def test_every_number_has_its_limits():
    """So that no number is too large for what it is given to."""

    def numbers(part, path=()):
        if isinstance(part, dict):
            kinds = part.get("type", [])
            if {"integer", "number"} & {*([kinds] if isinstance(kinds, str) else kinds)}:
                yield path, part
            for key, inner in part.items():
                yield from numbers(inner, (*path, key))
        elif isinstance(part, list):
            for i, inner in enumerate(part):
                yield from numbers(inner, (*path, i))

    found = dict(numbers(SCHEMA))
    assert len(found) > 60
    for path, part in found.items():
        assert {"minimum", "exclusiveMinimum"} & part.keys() and {"maximum", "exclusiveMaximum"} & part.keys(), path


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"trial": {"learning_rate": math.nan}}, "config: trial.learning_rate is nan, it must be a finite number"),
        ({"sweeps": {"a": {"learning_rate": [0.1, math.inf]}}}, "config: sweeps.a.learning_rate.1 is inf, it must be a finite"),
        ({"validation": {"fraction": math.nan}}, "config: validation.fraction is nan, it must be a finite number"),
        ({"validation": {"fraction": 0}}, "config: validation.fraction is 0, it must be a number and above 0 and at most 0.5"),
        ({"validation": math.nan}, "config: validation is nan"),
        ({"trial": {"epochs": "5"}}, "whole number and at least 1 and at most 100000 (YAML reads it as text: write 5)"),
        ({"trial": {"epochs": "5.5"}}, "config: trial.epochs is '5.5', it must be a whole number"),
        ({"trial": {"epochs": True}}, "config: trial.epochs is True, it must be a whole number"),
        ({"trial": {"epochs": 2.5}}, "config: trial.epochs is 2.5, it must be a whole number"),
        ({"trial": {"seed": 10**30}}, "config: trial.seed is 10^30 or so, it must be a whole number and at least 0 and below 92"),
        ({"trial": {"seed": -1}}, "config: trial.seed is -1, it must be a whole number and at least 0"),
        ({"bootstrap": {"samples": 10**9}}, "config: bootstrap.samples is 1000000000, it must be a whole number and at least 10"),
        ({"trial": {"latent": 10**9}}, "config: trial.latent is 1000000000, it must be"),
        ({"trial": {"hidden": [10**8, 10**8]}}, "config: trial.hidden.0 is 100000000, it must be"),
        ({"trial": {"hidden": [10**6, 10**6]}}, "config: a trial of vae needs about 64,"),
        ({"trial": {"hidden": [10**6, 10**6]}}, "GB of memory, at most 64 are allowed: lower trial.hidden [1000000, 1000000]"),
        ({"sweeps": {"a": {"window": [5, 10000]}}, **FOLDER}, "at most 64 are allowed: lower sweeps.a.window 10000"),
        ({"features": {"logmel": {"n_fft": 10**8}}}, "config: features.logmel.n_fft is 100000000, it must be"),
        ({"features": {"logmel": {"n_mels": 100_000}}}, "config: features.logmel.n_mels is 100000, it must be"),
        ({"features": {"logmel": {"n_mels": 4096, "hop_length": 1}}}, "config: features.logmel needs about 503 GB of memory"),
        ({"features": {"m": {"source": "modspec", "bands": 10**7}}}, "config: features.m.bands is 10000000, it must be"),
        ({"trial": {"detector": "mahalanobis", "statistics": "flatten"}}, "a trial of mahalanobis needs about 129 GB"),
        ({"trial": {"detector": "id_classifier", "members": 1000, "subclusters": 100}}, "subclusters 100 or trial.members 1000"),
        ({"features": {"logmel": {"fmin": 5000, "fmax": 5000.0}}}, "config: features.logmel.fmin is 5000 Hz, it must be below"),
        ({"features": {"logmel": {"fmin": 8000}}}, "features.logmel.fmin is 8000 Hz, it must be below half the sample rate, 8"),
        ({"features": {"logmel": {"fmax": 8001}}}, "features.logmel.fmax is 8001 Hz, above half the sample rate, 8000 Hz"),
        ({"dataset": FOLDER["dataset"] | {"sample_rate": 44100}, "features": {"logmel": {"fmax": 23000}}}, "22050 Hz: lower it"),
        ({"features": {"m": {"source": "modspec", "fmin": 9000}}}, "config: features.m.fmin is 9000 Hz, it must be below half"),
        ({"features": {"m": {"source": "modspec", "modulation_low": 9, "modulation_high": 5}}}, "m.modulation_low is 9 Hz, it"),
        ({"features": {"logmel": {}, "m": {"source": "modspec", "modulation_high": 199.9}}, **FOLDER}, None),
        ({"dataset": FOLDER["dataset"] | {"sample_rate": 700}, "features": {"m": {"source": "modspec", "modulation_high": 180}}},
         "features.m.modulation_high is 180 Hz, at a sample rate of 700 Hz it must be below 175 Hz"),
        ({"features": {"logmel": {"hop_length": 1025}}}, "config: features.logmel.hop_length is 1025, more than n_fft, 1024"),
        ({"features": {"w": {"source": "waveform", "hop_length": 200_000}}}, "w.hop_length is 200000, longer than a clip of 1"),
        ({"trial": {"clip_low": 24}}, "config: trial.clip_low is 24, it must be below clip_high, 24: correct it"),
        ({"sweeps": {"a": {"clip_low": [-90, 0], "clip_high": [10, -5]}}}, "config: sweeps.a.clip_low is 0, it must be below"),
        ({"trial": {"transform": "log"}}, "config: trial.transform is log, for energies, but the feature logmel"),
        ({"trial": {"detector": "id_classifier", "network": "stgram"}}, "config: trial.network is stgram, which hears"),
        ({"detectors": {"id_classifier": {"network": "dual_branch"}}, "sweeps": {"a": {"detector": ["vae", "id_classifier"]}}},
         "config: detectors.id_classifier.network is dual_branch, which hears the recording itself"),
        ({"trial": {"detector": "id_classifier", "pseudo_classes": "speed"}}, "trial.pseudo_classes is speed, which needs"),
        ({"trial": {"detector": "id_classifier", "scope": "machine_id"}}, "config: trial.scope is machine_id, but id_classifier"),
        ({"detectors": {"auto": {"candidates": ["id_classifier"], "scope": "machine_id"}}, "sweeps": {"a": {"detector": "auto"}}},
         "config: detectors.auto.candidates are such that none can be fitted: id_classifier: scope is machine_id, but id_clas"),
        ({"trial": {"detector": "idnn", "window": 4}}, "config: trial.window is 4, for idnn it must be an odd number and at l"),
        ({"detectors": {"idnn": {"window": 4}}}, "config: detectors.idnn.window is 4, it must be an odd number"),
        ({"trial": {"window": 314}}, "config: trial.window is 314, longer than the 313 frames of a clip (logmel): lower it"),
        ({"trial": {"window": 9, "feature": "m"}, "features": {"m": {"source": "modspec"}}}, "longer than the 8 frames of a c"),
        ({"trial": {"detector": "gmm", "score": "r_0.33"}}, "config: trial.score is r_0.33, which r does not make: it must be"),
        ({"trial": {"detector": "gmm", "r": [0.5, 0.501]}}, "config: trial.r is [0.5, 0.501], of which several are the same"),
        ({"trial": {"detector": "gmm", "r": [0.33], "score": "r_0.33"}}, None),
        ({"trial": {"transform": "decibel"}, "sweeps": {"a": {"detector": ["vae", "knn"]}}},
         "config: trial.transform is 'decibel', for knn it must be one of auto, log, none: correct it, or set detectors.knn.tr"),
        ({"trial": {"detector": "knn", "kl_weight": 0.1}}, "config: trial.kl_weight is no parameter of knn: remove it"),
        ({"trial": {"kl_weight": 0.1}, "sweeps": {"a": {"detector": "knn"}}}, "config: trial.kl_weight is no parameter of knn"),
        ({"trial": {"kl_weight": 0.1}, "sweeps": {"a": {"detector": ["knn", "vae"]}}}, None),
        ({"trial": {"kl_weight": 0.1, "detector": "knn"}, "ensembles": {"a": [{"detector": "vae"}]}}, None),
        ({"augmentations": {"a": {"frequency_width": 129}}, "trial": {"augmentation": "a"}},
         "augmentations.a.frequency_width is 129, a clip has only 128 bins (logmel): lower it"),
        ({"augmentations": {"a": {"time_width": 314}}, "trial": {"augmentation": "a"}}, "has only 313 frames (logmel): lower it"),
        ({"augmentations": {"none": {}}}, "config: augmentations.none has the name that means no augmentation: rename it"),
        ({"sweeps": {"ensembles": {"seed": 0}}, "ensembles": {"e": [{"seed": 0}]}}, "sweeps.ensembles has the name of the ens"),
        ({"sweeps": {"ensembles": {"seed": 0}}}, None),
        ({"sweeps": {"x": {"seed": 0}, "x_report": {"seed": 0}}}, "config: sweeps.x_report has the name of another table of x"),
        ({"sweeps": {"ensembles_report": {"seed": 0}}, "ensembles": {"e": [{"seed": 0}]}}, "sweeps.ensembles_report has the n"),
        ({"sweeps": {"x": {"seed": 0}, "X": {"seed": 0}}}, "config: sweeps.x and sweeps.X differ in case only: rename one"),
        ({"features": {"logmel": {}, "LogMel": {}}}, "config: features.logmel and features.LogMel differ in case only"),
        ({"features": {"..": {}}}, "config: features has the name '..', it must be letters, digits and '.' (not first)"),
        ({"sweeps": {"a b": {"seed": 0}}}, "config: sweeps has the name 'a b', it must be letters, digits and '_'"),
        ({"sweeps": {"a" * 101: {"seed": 0}}}, "at most 100 characters long"),
        ({"sweeps": {"a": {"seed": "5"}}}, "config: sweeps.a.seed.0 is '5'"),
        ({"trial": {"hidden": []}}, "config: trial.hidden is [], for vae it must be a list and not empty and of at most 100"),
        ({"sweeps": {"a": {"hidden": [9]}}}, "sweeps.a.hidden.0 is 9, it must be a list and of at most 100 values (each"),
        ({"sweeps": {"a": []}}, "config: sweeps.a is [], it must be a mapping"),
        ({"sweeps": [{"seed": 1}]}, "config: sweeps is [{'seed': 1}], it must be a mapping"),
        ({"ensembles": {"e": {"seed": 1}}}, "config: ensembles.e is {'seed': 1}, it must be a list"),
        ({True: 1}, "config: the configuration has the key true, which YAML does not read as text: put it in quotes"),
        ({"sweeps": {None: {}}}, "config: sweeps has the key null, which YAML does not read as text"),
        ({"dataset": {"name": "x", "source": "demo", "machine_ids": [0]}}, "it must be text and not empty (YAML reads it as s"),
        ({"dataset": {"name": "x", "source": "demo", "path": "y"}}, "dataset.path is for source folder or directory or mimii"),
        ({"dataset": {"name": "x", "source": "directory", "path": "y", "csv": "z"}}, "config: dataset.csv is for source folde"),
        ({"dataset": {"name": "x", "source": "demo", "sample_rate": 8000}}, "config: dataset.sample_rate is for source folder"),
        ({"dataset": {"name": "x", "source": "demo", "ground_truth": True}}, None),
        ({"dataset": {"name": "x", "source": "folder", "path": ""}}, "config: dataset.path is '', it must be text and not empty"),
        ({"dataset": {"name": "x", "source": "demo", "size": {"train": 0}}}, "config: dataset.size lacks test_normal, test_an"),
        ({"dataset": {"name": "x", "source": "demo", "size": {"train": 0, "test_normal": 1, "test_anomaly": 1}}},
         "config: dataset.size.train is 0, it must be a whole number and at least 1"),
        ({"trial": {"detector": "vae\n"}}, "config: trial.detector is 'vae\\n', with a control character in it: remove that"),
        ({"dataset": {"name": "x", "source": "demo", "machine_ids": ["00", "00"]}}, "it must be a list and without repetitions"),
        ({"dataset": {"name": "x", "source": "dcase", "year": 2019}}, "dataset.year is 2019, it must be a whole number and"),
        ({"dataset": {"name": "x", "source": "dcase"}}, "config: dataset lacks year: give one of 2020, 2021"),
        ({"dataset": {"name": "x", "source": "dcase2020", "year": 2023}}, "dataset.year is 2023: set dataset.source to dcase"),
        ({"dataset": {"name": "x", "source": "dcase", "year": 2023, "parts": ["test"]}}, "it must be one of dev, additional, ev"),
        ({"dataset": {"name": "x", "source": "demo", "channel": {"near": 1, "far": 1}}}, "near and far are both 1: give two"),
        ({"dataset": {"name": "x", "source": "demo", "channel": {"near": 1}}}, "config: dataset.channel lacks far: add it"),
        ({"dataset": {"name": "x", "source": "demo", "channel": [1]}}, "config: dataset.channel is [1], it must be"),
        ({"features": {"logmel": {}, "clean": {"source": "noise_aware"}}},
         "config: features.clean.source is noise_aware, which hears a far microphone too: set dataset.channel to {near:"),
        ({"dataset": DEMO["dataset"] | {"channel": [0, 2]}, "features": {"logmel": {"source": "noise_aware"}}}, None),
        ({"dataset": {"name": "x", "source": "demo", "noise": {"snr": 3}}}, "config: dataset.noise.snr is unknown (did you me"),
        ({"device": "cuda:0"}, "config: device is 'cuda:0', it must be one of auto, cpu, cuda"),
    ],
)  # fmt: skip
def test_what_is_refused(config, sentence):
    if sentence is None:
        check(DEMO | config)
    else:
        assert sentence in refused(DEMO | config)


@pytest.mark.parametrize("band", [{"fmin": 4000}, {"fmax": 4001}, {"fmin": 3000, "fmax": 3000}])
def test_bands_of_clips_whose_rate_is_found_later(band):
    with pytest.raises(InputError, match="must rise, up to 4000 Hz, half the sample rate"):
        LogMel(**band).parameters(8000)
    LogMel().parameters(8000)


@pytest.mark.parametrize("name", [".", "..", "-x", ".x", "a/b", "a b", "a\n", "", "x" * 101, "ü", 5, True, None])
def test_names_of_data_sets(name):
    refused({"dataset": {"name": name, "source": "demo"}})


def test_names_that_snakemake_takes_for_patterns_that_run_wild():
    refused({"dataset": {"name": "a" * 40, "source": "demo"}})
    for section in (
        {"features": {"b" * 32: {}}},
        {"ensembles": {"c" * 32: [{"seed": [0, 1]}]}},
        {"augmentations": {"d" * 32: {}}},
    ):
        assert "repeats itself" in refused(DEMO | section)


@pytest.mark.parametrize("name", ["x", "X.1-2_3", "_", "x1-y2.z_3" * 11, "2024"])
def test_good_names_of_data_sets(name):
    check({"dataset": {"name": name, "source": "demo"}})


def test_whole_numbers_are_integers_everywhere():
    """Of 2.0, folders and wildcards would have other names."""
    config = {
        "dataset": {"name": "x", "source": "demo", "channel": 0.0, "seed": 3.0,
                    "size": {"train": 4.0, "test_normal": 1.0, "test_anomaly": 1.0}},
        "features": {"logmel": {"n_mels": 64.0, "fmax": 4000}},
        "trial": {"epochs": 2.0, "hidden": [16.0, 8], "seed": 1.0},
        "detectors": {"vae": {"latent": 4.0}},
        "sweeps": {"a": {"epochs": [2, 5.0], "hidden": [[16.0], [8.0]]}, "b": {"batch_size": 100.0}},
        "ensembles": {"e": [{"window": [3.0, 5]}]},
        "bootstrap": {"samples": 100.0},
    }  # fmt: skip
    checked = validate(config, SCHEMA)
    floats = re.findall(r"[ \[]\d+\.0\b", json.dumps({k: v for k, v in checked.items() if k != "features"}))
    assert floats == [] and checked["features"]["logmel"]["n_mels"] == 64
    names = {t.name for sweep in check(config).values() for t in sweep}
    assert "vae_hidden-16_latent-4_seed-1" in names and not [name for name in names if ".0" in name]
    assert config["trial"]["epochs"] == 2.0 and isinstance(
        config["trial"]["epochs"], float
    )  # the caller's is left alone


def test_a_million_trials_are_refused_at_once():
    begun = time.monotonic()
    said = refused(
        DEMO | {"sweeps": {"a": {"seed": [*range(1000)], "learning_rate": [0.001 * (i + 1) for i in range(1000)]}}}
    )
    assert "there are 1,000,000 trials, 1,000,000 of them in sweeps.a, at most 20,000 are planned" in said
    assert "several configurations" in said and time.monotonic() - begun < 1
    ensembles = {"e": [{"seed": [*range(1000)]}, {"seed": [*range(1000)], "latent": [*range(1, 21)]}]}
    assert "21,000 trials, 20,000 of them in ensembles.e.1" in refused(DEMO | {"ensembles": ensembles})


def test_too_many_problems_and_values():
    lines = refused(DEMO | {f"key{i}": 0 for i in range(10_000)}).splitlines()
    assert len(lines) == 21 and lines[-1] == "config: there are more problems than these 20: correct them first"
    assert "more than 100000 values" in refused(DEMO | {"sweeps": {"a": {"seed": [0] * 100_001}}})
    shared: list = []
    for _ in range(15):
        shared = [shared] * 10_000
    assert "more than 100000 values" in refused(DEMO | {"trial": {"hidden": shared}})


def test_configurations_of_the_project_are_good():
    for path in (ROOT / "config").glob("*.yaml"):
        assert check(read([path]))


def test_a_gpu_that_torch_cannot_use(monkeypatch):
    monkeypatch.setattr(plan, "version", lambda name: "2.13.0+cpu")
    with pytest.raises(InputError, match=r"device is 'cuda', but torch 2\.13\.0\+cpu is built without CUDA"):
        plan.check_device("cuda")
    plan.check_device("auto")
    monkeypatch.setattr(plan, "version", lambda name: "2.13.0")
    plan.check_device("cuda")


# Memory


@pytest.mark.parametrize("detector", ["vae", "autoencoder", "idnn"])
def test_memory_of_a_trial_covers_its_weights(detector):
    made = base.detector_class(detector)(hidden=[2000, 2000])
    weights = sum(p.numel() for p in made.build(128).parameters())
    needed = made.training_bytes(vars(made.hyperparameters), 313, 128)
    assert 16 * weights < needed < 60 * weights + 1e9  # float32: weight, gradient and Adam's two moments


def test_defaults_need_little_memory():
    for detector in SCHEMA["$defs"]["detectors"]:
        for source in ("logmel", "modspec"):
            made = validate(
                DEMO | {"features": {"f": {"source": source}}, "trial": {"detector": detector, "feature": "f"}}, SCHEMA
            )
            (trial,) = trials.sweeps(made, SCHEMA)["trial"]
            shape = costs.frame_shape(made["features"]["f"])
            assert base.detector_class(detector).training_bytes(trial.parameters, *shape) < 1e9


# A new detector, a new feature


@pytest.fixture
def detectors_folder(tmp_path, monkeypatch):
    """A folder whose files count as detectors."""
    monkeypatch.setattr(humwatch.detectors, "__path__", [*humwatch.detectors.__path__, str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"humwatch.detectors.{path.stem}", None)


MINE = "from humwatch.detectors.base import BaseDetector\n\n\nclass Detector(BaseDetector):\n    epochs = 0\n"


def entered(**entries) -> dict:
    """The schema with more detectors."""
    schema = copy.deepcopy(SCHEMA)
    schema["$defs"]["detectors"] |= entries
    return schema


@pytest.mark.parametrize(
    ("file", "entry", "sentence"),
    [
        (MINE, ..., "(of detectors/mine.py the schema knows nothing yet: run `make schema`)"),
        (None, {}, "src/humwatch/study/config.schema.yaml names a detector mine, but there is no src/humwatch/detectors/mine.p"),
        ("class Detector:", {}, "mine.py cannot be imported (expected an indented block"),
        ("import nowhere_at_all", {}, "mine.py cannot be imported (No module named 'nowhere_at_all'): correct it"),
        ("x = 1", {}, "mine.py cannot be imported (module 'humwatch.detectors.mine' has no attribute 'Detector'): correct it"),
        ("class Detector: ...", {}, "mine.py: Detector must be a BaseDetector: write class Detector(BaseDetector)"),
        (MINE, {"size": 5}, "src/humwatch/study/config.schema.yaml: $defs.detectors.mine.size is 5, it must be"),
        (MINE, [], "src/humwatch/study/config.schema.yaml: $defs.detectors.mine is [], it must be a mapping"),
        (MINE, {"size": {"type": "int"}}, "src/humwatch/study/config.schema.yaml: 'int' is no type, of {"),
        (MINE, {}, None),
        (MINE + "    default_score = 'mean'", None, None),
        (MINE, {"size": {"type": "integer"}, "score": {"enum": ["score", "other"]}}, None),
    ],
)  # fmt: skip
def test_a_detector_begun(detectors_folder, file, entry, sentence):
    """A newcomer's own file and entry, whole or not."""
    if file:
        (detectors_folder / "mine.py").write_text(file)
    schema = SCHEMA if entry is ... else entered(mine=entry)
    config = DEMO | {
        "trial": {"detector": "mine", **({"size": 3} if isinstance(entry, dict) and entry.get("size") else {})}
    }
    if sentence:
        with pytest.raises(InputError) as error:
            trials.sweeps(validate(config, schema), schema)
        assert sentence in str(error.value)
    else:
        (trial,) = trials.sweeps(validate(config, schema), schema)["trial"]
        assert trial.parameters["score"] == ("mean" if "mean" in file else "score")
        assert trial.hyperparameters == ({"size": 3} if entry and "size" in entry else {})


def test_a_parameter_without_default_is_left_to_the_class(detectors_folder):
    (detectors_folder / "mine.py").write_text(MINE)
    schema = entered(mine={"size": {"type": "integer"}})
    (trial,) = trials.sweeps(validate(DEMO | {"trial": {"detector": "mine"}}, schema), schema)["trial"]
    assert trial.hyperparameters == {} and trial.name == "mine_seed-0"


def test_a_schema_with_a_slip(tmp_path, monkeypatch):
    path = write(tmp_path, config.SCHEMA.read_text() + "    mine: {size: 5\n", "config.schema.yaml")
    monkeypatch.setattr(config, "SCHEMA", path)
    with pytest.raises(InputError, match=r"config\.schema\.yaml, line \d+, column \d+: "):
        read_schema()


# The command line


@pytest.mark.parametrize("command", ["plan", "data"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "is not there: correct --configfile"), (b"a: [", "line 1, column 5: "), (b"a: 1", "config: a is unknown, allowed")],
)  # fmt: skip
def test_bad_files_on_the_command_line(tmp_path, capsys, command, content, sentence):
    path = tmp_path / "c.yaml" if content is None else write(tmp_path, content)
    with pytest.raises(SystemExit):
        __main__.main([command, "--configfile", str(path)])
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def test_several_files_are_planned_as_one(tmp_path, capsys):
    more = write(tmp_path, "dataset: {name: other}\nsweeps: {a: {seed: [0, 1, 2]}}\n")
    __main__.main(["plan", "--configfile", str(write(tmp_path, GOOD, "d.yaml")), str(more), "--gpus", "1"])
    assert capsys.readouterr().out.startswith("other: 3 trials,")


def test_the_schema_is_in_the_wheel(tmp_path):
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
    ]
    source = tmp_path / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*pip, str(source)], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    for command in (["plan", "--gpus", "1"], ["data"]):
        done = subprocess.run(
            [sys.executable, "-m", "humwatch", *command, "--configfile", str(write(tmp_path, GOOD))],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "unpacked")}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0 and "x" in done.stdout, done.stderr


# After a fit


def test_cut_paste_of_small_features():
    """Nothing after a fit may lose it: one bin is moved in time, one frame over bins, one value not at all."""
    for frames, bins in ((40, 1), (1, 40), (1, 1), (2, 1), (1, 2), (3, 3)):
        clips = pd.DataFrame({"clip": [f"{i}.wav" for i in range(5)]})
        values = np.arange(5 * frames * bins, dtype=np.float32).reshape(5, frames, bins)
        features = Features.of(values, clips, {})
        pseudo = pseudo_anomalies.cut_paste(features, 2)
        assert len(pseudo) == 10 and np.isin(pseudo.values, values).all()
        for i in range(10):
            assert (pseudo.clip(i) != features.clip(i % 5)).any() == (frames * bins > 1), (frames, bins)


def test_mixtures_of_few_and_unequal_clips():
    """Nothing after a fit may lose it: a machine's only clip has no other to be mixed with, and clips may differ in length."""
    clips = pd.DataFrame({"clip": [f"{i}.wav" for i in range(3)], "machine_type": "fan", "machine_id": list("aab")})
    features = Features.of([np.full((n, 2), n, np.float32) for n in (1, 4, 2)], clips, {})
    mixed = pseudo_anomalies.mixtures(features)
    made = {name: mixed.clip(i)[:, 0].tolist() for i, name in enumerate(mixed.clips["clip"])}
    assert made == {"0.wav + 1.wav": [2.5], "1.wav + 0.wav": [2.5, 4, 4, 4]}
    assert len(pseudo_anomalies.mixtures(features.select(np.array([2])))) == 0
    assert [len(part) for part in pseudo_anomalies.pseudo_anomalies(features.select(np.array([0, 2])))] == [4, 0]
