"""Scores made comparable between machines and detectors, by the scores of held-out normal clips."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from humwatch.evaluation.calibration_clips import OWN

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

    An id's variance is drawn towards the variance within all ids (with the weight of 5 clips), since few clips are held out;
    where each id has one, it is that of these. Scores that do not differ at all are only centred.
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
    freedom_within = sum(len(own) - 1 for own in known.values())
    between = normal.var() if len(normal) else 0.0  # of single clips, that of the ids
    within = sum(squares.values()) / freedom_within if freedom_within else between
    found = {}
    for machine in machines:
        if machine in known:
            mean, freedom = known[machine].mean(), len(known[machine]) - 1
            variance = (squares[machine] + within * PRIOR_CLIPS) / (freedom + PRIOR_CLIPS)
        else:
            same_type = [own for (machine_type, _), own in known.items() if machine_type == machine[0]]
            others = np.concatenate(same_type) if same_type else normal
            mean, variance = others.mean(), others.var()
        found[machine] = (mean, np.sqrt(variance) if variance > SMALLEST_VARIANCE else 1.0)
    return found


@dataclass(frozen=True)
class Member:
    """One of the trials that an ensemble combines, as tables of one machine type.

    Attributes
    ----------
    scores
        Of the test clips.
    held_out
        Of the held-out clips, which standardise, and of strange copies of them (`pseudo`).
    calibration
        Of the clips that thresholds are taken from.
    column
        Which of the tables' scores is the trial's.
    """

    scores: pd.DataFrame
    held_out: pd.DataFrame
    calibration: pd.DataFrame
    column: str

    @property
    def normal(self) -> pd.DataFrame:
        """The held-out clips alone."""
        return self.held_out[~self.held_out["pseudo"]].reset_index(drop=True)


def in_common(members: Sequence[Member]) -> list[Member]:
    """The members with the clips that all of them hold out; those that only some do join these members' calibration clips."""
    clips = set.intersection(*({*member.held_out["clip"]} for member in members))
    found = []
    for member in members:
        ours = member.held_out["clip"].isin(clips)
        others = member.normal[~member.normal["clip"].isin(clips)].drop(columns="pseudo").assign(method=OWN)
        calibration = pd.concat([member.calibration, others], ignore_index=True) if len(others) else member.calibration
        found.append(replace(member, held_out=member.held_out[ours].reset_index(drop=True), calibration=calibration))
    return found


def combine(members: Sequence[Member]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average the members' standardised scores.

    Parameters
    ----------
    members
        As `in_common` returns them; test clips may be in any order.

    Returns
    -------
    scores, held_out
        Of the test clips and of the held-out ones, with a column per member, and their mean in the column `score`.
    """
    combined = []
    for which in ("scores", "held_out"):
        base: pd.DataFrame = getattr(members[0], which)
        keys = [c for c in (*MACHINE, "clip", "split", "label", "domain", "heard", "pseudo") if c in base]
        table = base[keys].copy()
        order = ["clip", "pseudo"] if which == "held_out" else ["clip"]
        for number, member in enumerate(members):
            own = getattr(member, which)
            own = own[order].assign(**{f"member_{number}": standardise(own, member.normal, member.column)})
            own["copy"] = own.groupby(order).cumcount()
            table["copy"] = table.groupby(order).cumcount()
            table = table.merge(own, on=[*order, "copy"], how="left", validate="one_to_one")
        table["score"] = table[[c for c in table if c.startswith("member_")]].mean(axis=1, skipna=False)
        combined.append(table.drop(columns="copy"))
    return combined[0], combined[1]


def combined_calibration(members: Sequence[Member]) -> pd.DataFrame:
    """The calibration table of an ensemble: the mean of its members' standardised scores, in the column `score`.

    It has the clips that are calibration clips of every member. Where there are none, the held-out clips serve, each
    standardised by the others: by itself as well, it would look more normal than a new clip does.

    Parameters
    ----------
    members
        As `in_common` returns them.
    """
    clips = set.intersection(*({*member.calibration["clip"]} for member in members))
    clips -= {*members[0].held_out["clip"]}
    values = []
    for member in members:
        table = member.calibration[member.calibration["clip"].isin(clips)] if clips else member.normal
        own = standardise(table, member.normal, member.column) if clips else _by_the_others(table, member.column)
        values.append(pd.Series(own, table["clip"]))
    base = members[-1].calibration[members[-1].calibration["clip"].isin(clips)] if clips else members[-1].normal
    keys = [c for c in (*MACHINE, "clip", "split", "label", "domain", "attributes", "session", "method") if c in base]
    found = base[keys].assign(score=np.mean([own.loc[base["clip"]].to_numpy() for own in values], axis=0))
    found = found if clips else found.assign(method="held-out clips, each standardised by the others")
    return found.reset_index(drop=True)


def _by_the_others(normal: pd.DataFrame, column: str) -> np.ndarray:
    """Each held-out clip's score, standardised by those of all others; 0 for the only one."""
    rows = range(len(normal))
    if len(rows) < 2:
        return np.zeros(len(rows))
    return np.concatenate([standardise(normal.iloc[[i]], normal.drop(i), column) for i in rows])
