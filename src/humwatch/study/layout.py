"""Names as their owners have them, and the names of folders and models that they become below results/<name>.

Users' names never reach a shell, a Snakemake pattern or a path as they are: their `slug` does. Tables state the names themselves.
"""

import hashlib
import re
import urllib.parse
from dataclasses import dataclass

LONGEST = 80
ALL = "all"
CHECKSUMS, TIMES = "sha256sums.txt", "times.csv"  # in tables/
# Columns of tables that are text whatever stands in them: a machine may be called 3, 1e5 or NA.
TEXT_COLUMNS = ["sweep", "trial", "machine_type", "machine_id", "machine_ids", "domain", "note", "detector", "feature"]
TEXT_COLUMNS += ["scope", "augmentation", "score", "criterion", "reference", "set", "method", "source"]
TEXT_COLUMNS += [f"{kind}_{column}" for kind in ("selected", "best_by_labels") for column in ("trial", "score")]
FIGURES = "figures.txt"  # the checksums of figures/
# Snakemake takes what ends in 20 repetitions for a pattern that runs wild.
PERIODIC = re.compile(r"(.+?)\1{19,}$")


def slug(name: str) -> str:
    """The form of a name that is safe in paths, patterns and command lines; no two names share one.

    ASCII letters, digits and `_.-~+` stay, other bytes of its UTF-8 become =XX, as a leading dot, dash or tilde does: the escapes
    of URLs, with a sign that Slurm does not replace in names of files. Long or periodic names end in a checksum.
    """
    quoted = urllib.parse.quote(name, safe="+").replace("%", "=")
    if quoted[:1] in (".", "-", "~"):
        quoted = f"={ord(quoted[0]):02X}{quoted[1:]}"
    if len(quoted) > LONGEST or PERIODIC.search(quoted):
        quoted = f"{quoted[:20]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return quoted


def readable(text: str) -> str:
    """A text with slugs in it, as a person would write it."""
    return urllib.parse.unquote(text.replace("=", "%"))


@dataclass(frozen=True)
class Scope:
    """What one model hears: a machine type, one machine id of it, or (None) all."""

    machine_type: str | None = None
    machine_id: str | None = None

    @property
    def name(self) -> str:
        """Its folder below models/ and scores/."""
        if self.machine_type is None:
            return ALL
        if self.machine_id is None:
            return slug(self.machine_type)
        # A type that ends in _id, and an id that begins with it, are told apart.
        return re.sub("_id$", "_i=64", slug(self.machine_type)) + f"_id_{slug(self.machine_id)}"

    def hears(self, machine_type: str, machine_id: str | None = None) -> bool:
        """Whether the model is of this machine type and, if one is given, id."""
        if self.machine_type is None:
            return True
        return self.machine_type == machine_type and (machine_id is None or self.machine_id in (None, machine_id))
