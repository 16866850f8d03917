"""Modulation spectra as computed here against those published for the same clips (Tiwari et al. 2020).

Levels in dB of every clip whose recording and published spectrum are both in the data folder: their difference, their correlation
over clips, per modulation band and per group of ten acoustic bands. Then detectors fitted on one and tested on the other:

- ids with published training clips: fitted on these, tested on the few test clips whose recordings are here, published and
  computed. "aligned": computed ones times one factor, which is that of the training clips that have both, over all cells.
- the id whose training clips have recordings: fitted on these as published and as computed, tested on all its published test
  clips (the reverse), there too with the published ones aligned.

    python benchmarks/published_modspec.py /folder/of/data
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from common import parser, write
from scipy.stats import pearsonr, spearmanr

from humwatch.datasets.clips import read_samples
from humwatch.detectors import base
from humwatch.evaluation.metrics import auc, pauc
from humwatch.features import store
from humwatch.features.held_out import split_validation
from humwatch.features.modspec import Feature
from humwatch.features.store import Features

DETECTORS = ("knn", "mahalanobis")
GROUP = 10  # acoustic bands


def main(args: argparse.Namespace) -> None:
    recordings, feature = args.data / "dcase2020_dev_subset", Feature()
    published = store.read(sorted((args.data / "dcase2020_dev_modspec").glob("*.parquet")), foreign=True)
    here = np.array([(recordings / clip).is_file() for clip in published.clips["clip"]])
    both = published.select(here)
    computed = replaced(both, np.concatenate([feature(*read_samples(recordings / c)) for c in both.clips["clip"]]))
    is_train = (both.clips["split"] == "train").to_numpy()

    difference = levels(both) - levels(computed)  # (clips, 8, 60)
    factor = 10 ** (difference[is_train].mean() / 10)
    rows = []
    for machine_type, of_type in both.clips.groupby("machine_type").indices.items():
        for split in ("train", "test"):
            rows += compared(
                machine_type, split, of_type[(both.clips["split"] == split).to_numpy()[of_type]], both, computed
            )
    write(pd.DataFrame(rows), args.out, "published_modspec_levels", 3)

    aligned = replaced(computed, computed.values * factor)
    kinds = {"published": both, "computed": computed, "aligned": aligned}
    tests = both.clips[~is_train].groupby(["machine_type", "machine_id"])["clip"]
    forward = [row for machine, clips in tests for row in tested(published, clips, *machine, kinds)]
    write(pd.DataFrame(forward), args.out, "published_modspec_forward", 3)

    machine_type, machine_id = both.clips[is_train][["machine_type", "machine_id"]].iloc[0]
    clips = published.clips
    test = published.select(
        (
            (clips["machine_type"] == machine_type) & (clips["machine_id"] == machine_id) & (clips["split"] == "test")
        ).to_numpy()
    )
    unaligned = replaced(test, test.values / factor)
    train = {"published": both.select(is_train), "computed": computed.select(is_train)}
    reverse = []
    for (fitted, features), name in itertools.product(train.items(), DETECTORS):
        score = fit(features, name)
        for what, tests in {"published": test, "published, aligned": unaligned}.items():
            if not (fitted == "published" and tests is unaligned):
                labels, scores = test.clips["label"].to_numpy(int), score(tests)
                about = {"machine_type": machine_type, "machine_id": machine_id, "detector": name}
                about |= {"fitted_on": f"{fitted}, {len(features)} clips", "tested_on": what}
                reverse.append(about | {"n_normal": (labels == 0).sum(), "n_anomaly": (labels == 1).sum()})
                reverse[-1] |= {"auc": auc(labels, scores), "pauc": pauc(labels, scores)}
    write(pd.DataFrame(reverse), args.out, "published_modspec_reverse", 3)


def levels(features: Features) -> np.ndarray:
    """In dB, (clips, modulation bands, acoustic bands)."""
    frames = len(features.values) // len(features)
    return 10 * np.log10(np.maximum(features.values, np.finfo(np.float32).tiny)).reshape(len(features), frames, -1)


def replaced(features: Features, values: np.ndarray) -> Features:
    """The same clips with other frames."""
    return Features(values.astype(np.float32), features.starts, features.clips, features.parameters)


def compared(machine_type: str, split: str, rows: np.ndarray, published: Features, computed: Features) -> list[dict]:
    """Of some clips: a row for all cells, for each modulation band, and for each group of acoustic bands."""
    if len(rows) < 3:
        return []
    theirs, ours = levels(published)[rows], levels(computed)[rows]
    frequencies, modulations = Feature().frequencies(16000), Feature().modulation_frequencies()
    parts = {"all": np.s_[:, :, :]}
    parts |= {f"modulation {modulations[i]:.0f} Hz": np.s_[:, i : i + 1, :] for i in range(len(modulations))}
    for first in range(0, len(frequencies), GROUP):
        last = min(first + GROUP, len(frequencies)) - 1
        parts[f"acoustic {frequencies[first]:.0f}-{frequencies[last]:.0f} Hz"] = np.s_[:, :, first : last + 1]
    found = []
    for part, cells in parts.items():
        x, y = theirs[cells].reshape(len(rows), -1), ours[cells].reshape(len(rows), -1)
        each = [pearsonr(x[:, i], y[:, i]).statistic for i in range(x.shape[1])]  # over clips
        found.append(
            {
                "machine_type": machine_type,
                "split": split,
                "clips": len(rows),
                "part": part,
                "correlation": np.mean(each),
                "lowest": np.min(each),
                "published_minus_computed_dB": (x - y).mean(),
                "spread_dB": (x - y).std(),
            }
        )
    return found


def tested(
    published: Features, clips: pd.Series, machine_type: str, machine_id: str, tests: dict[str, Features]
) -> list[dict]:
    """Detectors of a machine's published training clips on some test clips, whose spectra are of several kinds."""
    of_machine = (published.clips["machine_type"] == machine_type) & (published.clips["machine_id"] == machine_id)
    train = published.select((of_machine & (published.clips["split"] == "train")).to_numpy())
    found = []
    for name in DETECTORS:
        score = fit(train, name)
        rows = {kind: test.select(test.clips["clip"].isin(clips).to_numpy()) for kind, test in tests.items()}
        scores = {kind: score(test) for kind, test in rows.items()}
        labels = rows["published"].clips["label"].to_numpy(int)
        about = {"machine_type": machine_type, "machine_id": machine_id, "detector": name, "fitted_on": len(train)}
        about |= {"n_normal": (labels == 0).sum(), "n_anomaly": (labels == 1).sum()}
        if 0 < labels.sum() < len(labels):
            about |= {f"auc_{kind}": auc(labels, values) for kind, values in scores.items()}
        if len(labels) > 2:
            about["spearman_computed"] = spearmanr(scores["published"], scores["computed"]).statistic
            about["spearman_aligned"] = spearmanr(scores["published"], scores["aligned"]).statistic
        found.append(about | {f"mean_score_{kind}": values.mean() for kind, values in scores.items()})
    return found


def fit(train: Features, name: str):
    """What scores clips, with a detector fitted on these."""
    held_out = split_validation(train.clips, 0.1, 0)
    detector = base.make(name, {})
    detector.fit(train.select(~held_out), train.select(held_out), base.FitContext())
    return lambda features: detector.score(features)[detector.default_score]


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("data", type=Path, help="folder with dcase2020_dev_subset and dcase2020_dev_modspec")
    main(arguments.parse_args())
