"""Scores made comparable between machines and detectors, by the scores of held-out normal clips."""

import numpy as np
import pandas as pd

MACHINE = ["machine_type", "machine_id"]
SMALLEST_VARIANCE = 1e-24  # of scores that do not differ at all
PRIOR_CLIPS = 5  # weight of the spread of all ids in the spread of one


def rows_by(clips: pd.DataFrame, columns: list[str]) -> dict[tuple, np.ndarray]:
    """Row numbers of each combination of values, sorted; what groupby(columns).indices gives, in a tenth of its time."""
    rows: dict[tuple, list[int]] = {}
    for i, key in enumerate(zip(*(clips[column].to_numpy(object) for column in columns), strict=True)):
        rows.setdefault(key, []).append(i)
    return {key: np.array(rows[key]) for key in sorted(rows)}


def standardise(scores: pd.DataFrame, held_out: pd.DataFrame, column: str) -> np.ndarray:
    """(score - mean) / deviation of the held-out normal clips of the same machine id: (clips,) float64.

    An id's variance is drawn towards that of all ids within (weight of 5 clips), since few clips are held out. Ids without any
    are standardised by all held-out clips of their machine type, or else of all types.
    """
    values, normal = scores[column].to_numpy(float), held_out[column].to_numpy(float)
    known = {machine: normal[rows] for machine, rows in rows_by(held_out, MACHINE).items()}
    squares = {machine: np.square(own - own.mean()).sum() for machine, own in known.items()}
    within = sum(squares.values()) / max(sum(len(own) - 1 for own in known.values()), 1)
    result = np.empty(len(scores))
    for machine, rows in rows_by(scores, MACHINE).items():
        if machine in known:
            mean, freedom = known[machine].mean(), len(known[machine]) - 1
            variance = (squares[machine] + within * PRIOR_CLIPS) / (freedom + PRIOR_CLIPS)
        else:
            same_type = [own for (machine_type, _), own in known.items() if machine_type == machine[0]]
            others = np.concatenate(same_type) if same_type else normal
            mean, variance = others.mean(), others.var()
        result[rows] = (values[rows] - mean) / np.sqrt(max(variance, SMALLEST_VARIANCE))
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
