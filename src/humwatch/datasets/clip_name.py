"""What a clip's name says of it: the first columns of clip tables, features and scores."""

from typing import NamedTuple

SPLITS = ("train", "test")


class ClipName(NamedTuple):
    """What a clip's path says of it.

    Attributes
    ----------
    clip
        Its path under the data folder.
    split
        "train" or "test".
    label
        0 normal, 1 anomaly, None unknown.
    domain
        "source" or "target"; stated by DCASE 2021 to 2026, elsewhere None.
    attributes
        Of the machine and its surroundings; as with the domain.
    """

    clip: str
    machine_type: str
    machine_id: str
    split: str
    label: int | None
    domain: str | None = None
    attributes: str | None = None


OPTIONAL_COLUMNS = ["domain", "attributes"]
CLIP_COLUMNS = [name for name in ClipName._fields if name not in OPTIONAL_COLUMNS]
