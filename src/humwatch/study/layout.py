"""Where everything lies below results/<name>: every path that a rule, a script or the report makes is made here."""

import re
from dataclasses import dataclass

from humwatch.slugs import slug

ALL = "all"
TOLD = ("log.csv", "validation.parquet", "calibration.parquet")  # what is known of a model without labels
MODEL_FILES = ("model.json", "model.safetensors", "training.safetensors", *TOLD)
CHECKSUMS, TIMES = "sha256sums.txt", "times.csv"  # in tables/; the former in detectors/ too
FIGURES = "figures.txt"  # the checksums of figures/
# Columns of tables that are text whatever they hold: a machine may be called 3, 1e5 or NA.
TEXT_COLUMNS = ["sweep", "trial", "machine_type", "machine_id", "machine_ids", "domain", "note", "detector", "feature"]
TEXT_COLUMNS += ["scope", "augmentation", "score", "criterion", "reference", "set", "method", "source"]
TEXT_COLUMNS += [f"{kind}_{column}" for kind in ("selected", "best_by_labels") for column in ("trial", "score")]


@dataclass(frozen=True)
class Scope:
    """The machines that one model hears: a machine type, one machine id of it, or, where both are None, all."""

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


@dataclass(frozen=True)
class Layout:
    """Paths below the folder of one data set's results, `root`.

    Arguments are names of folders as they are on the disk: slugs, names of scopes and trials. An argument that is left out is
    a wildcard of Snakemake, so that the same methods make the patterns of rules.
    """

    root: str

    def clip_table(self, machine_type: str = "{machine_type}", split: str = "{split}") -> str:
        return f"{self.root}/clips/{machine_type}/{split}.parquet"

    def features(self, feature: str = "{feature}", machine_type: str = "{machine_type}", split: str = "{split}") -> str:
        return f"{self.root}/features/{feature}/{machine_type}/{split}.parquet"

    def masks(
        self, augmentation: str = "{augmentation}", feature: str = "{feature}", machine_type: str = "{machine_type}"
    ) -> str:
        return f"{self.root}/masks/{augmentation}/{feature}/{machine_type}/masks.parquet"

    def model(self, scope: str = "{scope}", trial: str = "{trial}", epochs: int | str = "{epochs}") -> str:
        """The folder of one model at one milestone, with the files `MODEL_FILES`."""
        return f"{self.root}/models/{scope}/{trial}/epochs-{epochs}"

    def leave_id_out(self, scope: str = "{scope}", trial: str = "{trial}", epochs: int | str = "{epochs}") -> str:
        """What a trial that is judged without labels makes of machine ids that were left out of its training."""
        return f"{self.model(scope, trial, epochs)}/leave_id_out.parquet"

    def scores(self, scope: str = "{scope}", trial: str = "{trial}", epochs: int | str = "{epochs}") -> str:
        return f"{self.root}/scores/{scope}/{trial}/epochs-{epochs}.parquet"

    def of_model(
        self, kind: str, scope: str = "{scope}", trial: str = "{trial}", epochs: int | str = "{epochs}"
    ) -> str:
        """The path, without a suffix, of what else belongs to a model: `kind` is interim, submission, logs/train, ..."""
        return f"{self.root}/{kind}/{scope}/{trial}/epochs-{epochs}"
