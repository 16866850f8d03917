"""Scores made comparable between machines and detectors, by the scores of held-out normal clips."""

import numpy as np
import pandas as pd

MACHINE = ["machine_type", "machine_id"]
SMALLEST_VARIANCE = 1e-24  # of scores that do not differ at all
PRIOR_CLIPS = 5  # weight of the spread of all ids in the spread of one


def standardise(scores: pd.DataFrame, held_out: pd.DataFrame, column: str) -> np.ndarray:
    """(score - mean) / deviation of the held-out normal clips of the same machine id: (clips,) float64.

    An id's variance is drawn towards that of all ids within (weight of 5 clips), since few clips are held out. Ids without any
    are standardised by all held-out clips of their machine type, or else of all types.
    """
    by_id = held_out.groupby(MACHINE)[column].agg(["mean", "var", "size"])
    freedom = (by_id["size"] - 1).clip(lower=0)
    within = (by_id["var"].fillna(0) * freedom).sum() / max(freedom.sum(), 1)
    variance = (by_id["var"].fillna(0) * freedom + within * PRIOR_CLIPS) / (freedom + PRIOR_CLIPS)
    result = np.empty(len(scores))
    for machine, rows in scores.groupby(MACHINE).indices.items():
        if machine in by_id.index:
            mean, var = by_id.loc[machine, "mean"], variance.loc[machine]
        else:
            same_type = held_out[held_out["machine_type"] == machine[0]]
            others = (same_type if len(same_type) else held_out)[column]
            mean, var = others.mean(), others.var(ddof=0)
        result[rows] = (scores[column].to_numpy(float)[rows] - mean) / np.sqrt(max(var, SMALLEST_VARIANCE))
    return result


def combine(members: list[tuple[pd.DataFrame, pd.DataFrame, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The mean of several detectors' standardised scores: for the test clips and for the held-out ones.

    members: (scores, held-out scores, column) of each, for the same clips in any order. Returns both tables with a column per
    member and `score`.
    """
    combined = []
    for which in (0, 1):
        base: pd.DataFrame = (members[0][0], members[0][1])[which]
        keys = [c for c in (*MACHINE, "clip", "split", "label", "domain", "heard", "pseudo") if c in base]
        table = base[keys].copy()
        order = ["clip", "pseudo"] if which else ["clip"]
        for number, (scores, held_out, column) in enumerate(members):
            own = (scores, held_out)[which]
            normal = held_out[~held_out["pseudo"]]
            own = own[order].assign(**{f"member_{number}": standardise(own, normal, column)})
            own["copy"] = own.groupby(order).cumcount()
            table["copy"] = table.groupby(order).cumcount()
            table = table.merge(own, on=[*order, "copy"], how="left", validate="one_to_one")
        table["score"] = table[[c for c in table if c.startswith("member_")]].mean(axis=1, skipna=False)
        combined.append(table.drop(columns="copy"))
    return combined[0], combined[1]


def threshold(held_out: np.ndarray, false_alarm_rate: float) -> float:
    """The score that this share of the held-out normal clips exceeds (their empirical quantile)."""
    return float(np.quantile(held_out, 1 - false_alarm_rate))
