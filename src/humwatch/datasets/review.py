"""What a person should know of a whole data set, from its clip table: sample rates that differ, equal clips, what there is."""

import pandas as pd

from humwatch.errors import InputError

FEW = 3  # pairs of equal clips that are named


def check_sample_rates(table: pd.DataFrame) -> None:
    """Check that all machine types and splits have one sample rate.

    Raises
    ------
    InputError
        They differ, though each machine type and split has one sample rate by itself.
    """
    counts = table["sample_rate"].value_counts()  # features that were computed elsewhere have none
    if len(counts) < 2:
        return
    most = counts.index[0]
    others = table[table["sample_rate"].notna() & (table["sample_rate"] != most)]
    where = sorted({f"{row.machine_type} {row.split}" for row in others.itertuples()})
    rates = " or ".join(map(str, sorted(others["sample_rate"].unique())))
    raise InputError(
        f"{len(others)} clips ({', '.join(where)}) have {rates} Hz, the other {counts.iloc[0]} have {most} Hz: resample them, or "
        "make a data set of each"
    )


def equal_clips(table: pd.DataFrame) -> list[str]:
    """A sentence for each way in which one recording is there twice: in training and test, or in one of them."""
    sentences = []
    train, test = (table[table["split"] == split] for split in ("train", "test"))
    leaks = test.merge(train.drop_duplicates("sha256"), on="sha256", suffixes=("", "_train"))
    if len(leaks):
        pairs = [f"{row.clip} is {row.clip_train}" for row in leaks.itertuples()]
        sentences.append(
            f"{_count(len(leaks), 'test clip')} {_are(len(leaks))} equal to training clips, byte for byte, so that figures look "
            f"better than they are ({_some(pairs)}): remove one of each pair"
        )
    for split, part in (("train", train), ("test", test)):
        copies = part[part["sha256"].duplicated()]
        if len(copies):
            first = part.drop_duplicates("sha256").set_index("sha256")["clip"]
            pairs = [f"{row.clip} is {first[row.sha256]}" for row in copies.itertuples()]
            sentences.append(
                f"{_count(len(copies), f'{split} clip')} {_are(len(copies))} there twice, byte for byte ({_some(pairs)}): remove "
                "one of each pair"
            )
    return sentences


def machine_lines(table: pd.DataFrame) -> list[str]:
    """For each machine type: ids, training clips, test clips by label."""
    lines = []
    for machine_type, clips in table.groupby("machine_type", sort=True):
        labels = clips.loc[clips["split"] == "test", "label"].astype("Int8")
        normal, anomalous, unlabelled = (int(n) for n in (labels.eq(0).sum(), labels.eq(1).sum(), labels.isna().sum()))
        line = (
            f"{machine_type}: {_count(clips['machine_id'].nunique(), 'id')}, {(clips['split'] == 'train').sum()} train"
        )
        if len(labels) == 0:
            line += ", no test clips: nothing is scored"
        elif normal or anomalous:
            line += f", {normal} normal and {anomalous} anomalous test clips"
            line += f", {unlabelled} unlabelled" if unlabelled else ""
            line += "" if normal and anomalous else ": nothing is measured, as an AUC needs both"
        else:
            line += f", {unlabelled} unlabelled test clips: scored, not measured"
        lines.append(line)
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _some(texts: list[str]) -> str:
    more = f", and {len(texts) - FEW} more" if len(texts) > FEW else ""
    return ", ".join(texts[:FEW]) + more
