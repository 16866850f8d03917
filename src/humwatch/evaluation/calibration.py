"""Scores made comparable between machines and detectors, by the scores of held-out normal clips."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

MACHINE = ["machine_type", "machine_id"]
SMALLEST_VARIANCE = 1e-24  # of scores that do not differ at all
PRIOR_CLIPS = 5  # weight of the spread of all ids in the spread of one


def rows_by(clips: pd.DataFrame, columns: list[str]) -> dict[tuple, np.ndarray]:
    """The row numbers of each combination of values, sorted.

    It is what `groupby(columns).indices` gives, in a tenth of the time.

    Returns
    -------
    dict
        From the combination to an array (rows,).
    """
    rows: dict[tuple, list[int]] = {}
    for i, key in enumerate(zip(*(clips[column].to_numpy(object) for column in columns), strict=True)):
        rows.setdefault(key, []).append(i)
    return {key: np.array(rows[key]) for key in sorted(rows)}


def standardise(scores: pd.DataFrame, held_out: pd.DataFrame, column: str) -> np.ndarray:
    """Standardise scores by mean and deviation of the held-out normal clips of the same machine id.

    An id's variance is drawn towards the variance within all ids (with the weight of 5 clips), since few clips are held out.
    Ids without held-out clips are standardised by those of their machine type, or else of all types.

    Parameters
    ----------
    scores
        With the columns machine_type, machine_id and `column`.
    held_out
        The same of the held-out normal clips.
    column
        The score.

    Returns
    -------
    (clips,) float64
        In the order of `scores`.
    """
    values = scores[column].to_numpy(float)
    rows_of = rows_by(scores, MACHINE)
    result = np.empty(len(scores))
    for machine, (mean, deviation) in scales(rows_of, held_out, column).items():
        result[rows_of[machine]] = (values[rows_of[machine]] - mean) / deviation
    return result


def scales(
    machines: Iterable[tuple[str, str]], held_out: pd.DataFrame, column: str
) -> dict[tuple[str, str], tuple[float, float]]:
    """The mean and the standard deviation that `standardise` uses for each machine (type, id)."""
    normal = held_out[column].to_numpy(float)
    known = {machine: normal[rows] for machine, rows in rows_by(held_out, MACHINE).items()}
    squares = {machine: np.square(own - own.mean()).sum() for machine, own in known.items()}
    within = sum(squares.values()) / max(sum(len(own) - 1 for own in known.values()), 1)
    found = {}
    for machine in machines:
        if machine in known:
            mean, freedom = known[machine].mean(), len(known[machine]) - 1
            variance = (squares[machine] + within * PRIOR_CLIPS) / (freedom + PRIOR_CLIPS)
        else:
            same_type = [own for (machine_type, _), own in known.items() if machine_type == machine[0]]
            others = np.concatenate(same_type) if same_type else normal
            mean, variance = others.mean(), others.var()
        found[machine] = (mean, np.sqrt(max(variance, SMALLEST_VARIANCE)))
    return found


def combine(members: list[tuple[pd.DataFrame, pd.DataFrame, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The mean of several detectors' standardised scores, for the test clips and for the held-out ones.

    Parameters
    ----------
    members
        Scores, held-out scores and the column to read of each member, for the same clips in any order.

    Returns
    -------
    scores, held_out
        With a column per member, and their mean in the column `score`.
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


def combined_calibration(members: list[tuple[pd.DataFrame, pd.DataFrame, str]]) -> pd.DataFrame:
    """The calibration table of an ensemble: the mean of its members' standardised scores, in the column `score`.

    Where the members' tables are not of the same clips, or are of the clips by which scores are standardised, the held-out
    clips are used, each standardised by the others: by itself as well, it would look more normal than a new clip does.

    Parameters
    ----------
    members
        The calibration table, the held-out scores and the column to read of each member.
    """
    normals = [held_out[~held_out["pseudo"]].reset_index(drop=True) for _, held_out, _ in members]
    clips = [sorted(table["clip"]) for table, _, _ in members]
    apart = all(own == clips[0] and not {*own} & {*normal["clip"]} for own, normal in zip(clips, normals, strict=True))
    tables = [table for table, _, _ in members] if apart else normals
    base = tables[0]
    keys = [c for c in (*MACHINE, "clip", "split", "label", "domain", "attributes", "session") if c in base]
    values = []
    for table, normal, (_, _, column) in zip(tables, normals, members, strict=True):
        own = standardise(table, normal, column) if apart else _by_the_others(normal, column)
        values.append(pd.Series(own, table["clip"]).loc[base["clip"]].to_numpy())
    method = members[0][0]["method"].iloc[0] if apart else "held-out clips, each standardised by the others"
    return base[keys].assign(score=np.mean(values, axis=0), method=method)


def _by_the_others(normal: pd.DataFrame, column: str) -> np.ndarray:
    """Each held-out clip's score, standardised by those of all others; 0 for the only one."""
    rows = range(len(normal))
    if len(rows) < 2:
        return np.zeros(len(rows))
    return np.concatenate([standardise(normal.iloc[[i]], normal.drop(i), column) for i in rows])
