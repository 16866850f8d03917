"""The names of DCASE 2021 to 2026.

    <machine>/**/section_<id>[_<source|target>][_<train|test>][_<normal|anomaly>]_<index>[_<attributes>].wav

What a name leaves out, its folders may say: train, test, source_test, target_test, normal, anomaly.
"""

import re

from humwatch.datasets.clip_name import SPLITS, ClipName
from humwatch.datasets.names import ClipError
from humwatch.datasets.recordings import LayoutError, agreeing, checked, label_word, stem

LABELS = {"normal": 0, "anomaly": 1}
SECTION = re.compile(
    r"section_(?P<id>[^_]+)(?:_(?P<domain>source|target))?(?:_(?P<split>train|test))?(?:_(?P<label>normal|anomaly|abnormal))?"
    r"_\d+(?:_(?P<attributes>.*))?",
    re.IGNORECASE,
)
SECTION_FOLDER = re.compile(r"(?:(?P<domain>source|target)_)?(?P<split>train|test)|(?P<label>normal|anomaly|abnormal)")


def is_section(clip: str) -> bool:
    """Whether a clip's name begins as these names do."""
    return stem(clip).casefold().startswith("section_")


def parse(clip: str) -> ClipName:
    """Read a clip's path relative to the data folder.

    Raises
    ------
    LayoutError
        It does not fit.
    ClipError
        Its name contradicts its folder.
    """
    machine, *middle = clip.split("/")[:-1]
    folders = "/".join(middle).casefold()
    match = SECTION.fullmatch(stem(clip))
    # A label after the index would be taken for an attribute, and the clip for unlabelled.
    if not match or (not match["label"] and label_word(match["attributes"] or "")):
        raise LayoutError(
            clip,
            "begins with section_ but does not fit section_<id>[_<source|target>][_<train|test>][_<normal|anomaly>]_<index>"
            "[_<attributes>].wav, the names of DCASE 2021 to 2026: rename it",
        )
    said = {key: _word(match[key]) for key in ("domain", "split", "label")}
    for part in folders.split("/"):
        if in_folder := SECTION_FOLDER.fullmatch(part):
            for key, value in in_folder.groupdict().items():
                value = _word(value)
                if value and said[key] not in (None, value):
                    raise ClipError(
                        clip, f"says {said[key]} in its name and {value} in its folder: move it to another or rename it"
                    )
                said[key] = said[key] or value
    in_folders = (s for s in SPLITS if any(s in part.split("_") for part in folders.split("/")))
    split = said["split"] or ("train" if folders == "normal" else next(in_folders, "test"))
    label = LABELS[said["label"]] if said["label"] else (0 if split == "train" else None)
    parsed = ClipName(clip, machine, match["id"], split, label, said["domain"], match["attributes"] or None)
    return checked(agreeing(parsed, "its label", "correct the label"))


def _word(text: str | None) -> str | None:
    return text.casefold().replace("abnormal", "anomaly") if text else None
