"""What detectors can be chosen by where there are no anomalies, judged on training clips of machine types with several ids.

By how many rounds of leaving an id out; what to fuse; by which stand-ins where a type has one id. With --test, what a choice is
worth on labelled test clips, which nothing before has read.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from common import parser, write

from humwatch.detectors import auto, base, leave_id_out
from humwatch.detectors.pseudo_anomalies import cut_paste, mixtures
from humwatch.detectors.scoring import scores_beside
from humwatch.evaluation.metrics import auc, pauc
from humwatch.features import store
from humwatch.features.held_out import every_other, split_validation
from humwatch.features.store import Features

CANDIDATES = auto.Hyperparameters().candidates
PAIRS = ["machine_type", "machine_id"]


def extrapolated(normal: Features) -> Features:
    """Each clip of energies, moved away from another of its machine by a quarter of their difference in decibels."""
    made, draw = normal.select(np.ones(len(normal), bool)), np.random.default_rng(0)
    for rows in normal.clips.groupby(PAIRS).indices.values():
        order = draw.permutation(rows)
        for own, other in zip(order, np.roll(order, 1), strict=True):
            made.clip(own)[:] = normal.clip(own) ** 1.25 / normal.clip(other) ** 0.25
    return made


def louder(normal: Features, decibels: float) -> Features:
    """Each clip of energies with a quarter of its bins louder or softer."""
    made, draw = normal.select(np.ones(len(normal), bool)), np.random.default_rng(0)
    wide = normal.values.shape[1] // 4
    for i in range(len(normal)):
        first = draw.integers(normal.values.shape[1] - wide + 1)
        made.clip(i)[:, first : first + wide] *= 10 ** (draw.choice([-1, 1]) * decibels / 10)
    return made


STAND_INS = {
    "cut and paste": [cut_paste],
    "mean of two clips": [mixtures],
    "both": [cut_paste, mixtures],  # as pseudo_auc has it
    "extrapolated from another": [extrapolated],
    "a quarter of the bins, 1 dB": [lambda normal: louder(normal, 1)],
}


def by_rounds(judged: dict[str, list[pd.DataFrame]], types: list[str]) -> pd.DataFrame:
    rows = []
    for rounds, (name, tables) in itertools.product((1, 2, 4), judged.items()):
        own = {t: leave_id_out.mean_auc(tables[:rounds], t, "score") for t in types}
        rows.append({"rounds": rounds, "detector": name, **own, "mean": np.mean([*own.values()])})
    return pd.DataFrame(rows)


def fused(judged: dict[str, list[pd.DataFrame]], names: list[str], rounds: list[int], machine_type: str) -> float:
    together = [leave_id_out.combined([(judged[n][r], "score") for n in names]) for r in rounds]
    return leave_id_out.mean_auc(together, machine_type, "score")


def fusing(judged: dict[str, list[pd.DataFrame]], types: list[str]) -> pd.DataFrame:
    """Chosen in one round, judged in the others."""
    rows = []
    for machine_type in types:
        known = [r for r in range(4) if (judged[CANDIDATES[0]][r]["machine_type"] == machine_type).any()]
        for one in known:
            others = [r for r in known if r != one]
            alone = {n: fused(judged, [n], [one], machine_type) for n in CANDIDATES}
            best = auto.best_together({n: judged[n][one] for n in CANDIDATES}, machine_type)
            free = [n for n in CANDIDATES if not base.detector_class(n).epochs]
            chosen = {"the best alone": [max(alone, key=alone.get)], "as auto": best, "all": CANDIDATES}
            chosen |= {"the best without a network": [max(free, key=alone.get)], "all without a network": free}
            rows += [
                {"machine_type": machine_type, "kept": how, "leave_id_out": fused(judged, names, others, machine_type)}
                for how, names in chosen.items()
            ]
    by_type = pd.DataFrame(rows).groupby(["kept", "machine_type"], sort=False)["leave_id_out"].mean().unstack()
    return by_type.assign(mean=by_type.mean(axis=1)).reset_index()


def standing_in(
    judged: dict[str, list[pd.DataFrame]], fitted: dict[str, base.BaseDetector], normal: Features, types: list[str]
) -> pd.DataFrame:
    """How much lower the LIO of what each kind of stand-in chooses is than the best's: of detectors, and of all their scores."""
    scores = {name: [*tables[0].columns[len(leave_id_out.COLUMNS) :]] for name, tables in judged.items()}
    every = [(name, score) for name in judged for score in scores[name]]
    usual = [(name, base.detector_class(name).default_score) for name in judged]
    free = [(name, score) for name, score in usual if not base.detector_class(name).epochs]
    lio = {(n, s): {t: leave_id_out.mean_auc(judged[n], t, s) for t in types} for n, s in every}
    rows = []
    for kind, makers in STAND_INS.items():
        strange = [make(normal) for make in makers]
        found = {}
        for name, detector in fitted.items():
            table = scores_beside(detector, normal, strange)
            found |= {(name, s): {t: leave_id_out.pseudo_auc(table, t, s) for t in types} for s in scores[name]}
        for among, keys in {"detectors": usual, "without a network": free, "all scores": every}.items():
            chosen = {t: max(keys, key=lambda key, t=t: found[key][t]) for t in types}
            lost = {t: max(lio[key][t] for key in keys) - lio[chosen[t]][t] for t in types}
            rows.append({"stand-in": kind, "among": among, **lost, "mean": np.mean([*lost.values()])})
    return pd.DataFrame(rows)


def tested(
    judged: dict[str, list[pd.DataFrame]], fitted: dict[str, base.BaseDetector], normal: Features, test: Features
) -> pd.DataFrame:
    """AUC and pAUC of each detector, of auto, and of what LIO chooses (one round), by machine type: means over ids."""
    values = {name: (d.score(normal)["score"], d.score(test)["score"]) for name, d in fitted.items()}
    rows = []
    for (machine_type, machine_id), index in test.clips.groupby(PAIRS).indices.items():
        own = normal.clips[PAIRS].eq([machine_type, machine_id]).all(axis=1).to_numpy()
        z = {name: (scores[index] - held[own].mean()) / held[own].std() for name, (held, scores) in values.items()}
        alone = {name: leave_id_out.mean_auc(tables[:1], machine_type, "score") for name, tables in judged.items()}
        kept = auto.best_together({name: tables[0] for name, tables in judged.items()}, machine_type)
        z |= {"chosen by LIO": z[max(alone, key=alone.get)], "auto": np.mean([z[name] for name in kept], axis=0)}
        labels = test.clips["label"].to_numpy(int)[index]
        rows += [
            {"machine_type": machine_type, "detector": n, "auc": auc(labels, s), "pauc": pauc(labels, s)}
            for n, s in z.items()
        ]
    table = pd.DataFrame(rows).groupby(["detector", "machine_type"], sort=False)[["auc", "pauc"]].mean().unstack()
    table.columns = [f"{machine_type} {measure}" for measure, machine_type in table.columns]
    for measure in ("auc", "pauc"):
        table[f"mean {measure}"] = table[[c for c in table if c.endswith(f" {measure}")]].mean(axis=1)
    return table.reset_index()


def main(args: argparse.Namespace) -> None:
    features = store.read(args.features, foreign=True)
    is_train = (features.clips["split"] == "train").to_numpy()
    every, test = features.select(is_train), features.select(~is_train)
    held_out = split_validation(every.clips, 0.1, 0)
    train, rest = every.select(~held_out), every.select(held_out)
    normal = rest.select(~every_other(rest.clips, 0))  # as networks have it
    types = sorted(set(train.clips["machine_type"]))
    judged, fitted = {}, {}
    for name in CANDIDATES:
        context = base.FitContext(args.seed, base.detector_class(name).epochs)
        table = leave_id_out.leave_id_out(lambda name=name: base.make(name, {}), train, normal, context, rounds=4)
        place = table.groupby("machine_type")["left_out"].rank(method="dense")
        judged[name] = [table[place == number + 1] for number in range(4)]
        fitted[name] = base.make(name, {})
        fitted[name].fit(train, normal, context)
        print(name, "done", flush=True)
    write(by_rounds(judged, types), args.out, "choice_rounds", 3)
    write(fusing(judged, types), args.out, "choice_fusing", 3)
    write(standing_in(judged, fitted, normal, types), args.out, "choice_stand_ins", 3)
    if args.test:
        write(tested(judged, fitted, normal, test), args.out, "choice_tested", 3)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("features", type=Path, nargs="+", help="feature files with both splits, of energies")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--test", action="store_true", help="last, what the choice is worth on labelled test clips")
    main(arguments.parse_args())
