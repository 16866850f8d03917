"""A network learns to tell machine ids apart; a clip that does not look like its own id is anomalous."""

import itertools
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from humwatch.detectors import knn
from humwatch.detectors.backends import Standardiser, calibrated, center_and_spread, log_distances
from humwatch.detectors.base import CLIPS, LEARNING_RATE, WEIGHT_BYTES, BaseDetector, FitContext
from humwatch.detectors.clip_statistics import STATISTICS, TRANSFORM, ClipStatistics, vector_size
from humwatch.detectors.inference import angular_logits, log_softmax, sequential, unit
from humwatch.detectors.local_density import LocalDensity
from humwatch.detectors.machines import domains_of, machine_names, machines, similar
from humwatch.detectors.models import under
from humwatch.detectors.per_machine import DOMAINS
from humwatch.errors import InputError
from humwatch.features.store import Features
from humwatch.parameters import parameter

if TYPE_CHECKING:
    from humwatch.detectors.networks.members import Members
    from humwatch.features.base import BaseFeature

log = logging.getLogger(__name__)

# Of the networks that hear the clip itself: the pseudo-classes that make few ids hard enough to tell apart.
WAVEFORM_NETWORKS = {"stgram": "speed", "dual_branch": "feature_exchange"}
MEMORIES = {"embedding_density": LocalDensity(whitening="none"), "whitened_density": LocalDensity()}  # of embeddings
KINDS = ("log_probability", *MEMORIES)
WEIGHTS = {"local_density": 2.0}  # the mean of bands and of groups, each of which counts as one of KINDS does
BATCH, WAVEFORM_BATCH = 1024, 32  # clips that torch embeds at once
TOO_EASY = 3  # epochs
TOO_EASY_WARNING = (
    "all held-out clips are recognised after epoch %d: %d classes are too easy to tell apart for the network to hear much; "
    "train on more machine types (scope all), or, from the waveform, on pseudo-classes"
)
FEW_CLASSES = 10
SAMPLE_RATE = 16_000  # Hz, where the feature does not say
MACHINES = 40  # that one model may hear, for the estimate of its memory
WAVEFORM_BYTES = 600  # per sample of a batch, of the networks that hear recordings: measured, stgram


@dataclass
class Hyperparameters:
    """The network, its head and its training.

    The transform, the statistics (see `ClipStatistics`) and the sizes of the hidden layers and the embedding matter to the
    network "mlp" alone, margin and scale to the head "arcface" alone. Clips are scored with the averaged weights.

    The pseudo-classes "speed" and "pitch" make three classes of each id, the clips as they are, slower and faster (or lower and
    higher); "feature_exchange" (FeatEx) asks whose the halves of an exchanged embedding are.
    """

    network: str = parameter(
        "mlp",
        "mlp: an MLP on clip-level statistics. stgram (STgram-MFN) and dual_branch hear the recording itself: they need a "
        "feature of source waveform.",
        enum=["mlp", *WAVEFORM_NETWORKS],
    )
    pseudo_classes: str = parameter(
        "auto",
        "Of stgram and dual_branch: each id at three speeds or pitches is three classes; feature_exchange (dual_branch) "
        "asks whose the halves of an embedding are. auto does so with fewer than 10 ids.",
        enum=["auto", "none", "speed", "pitch", "feature_exchange"],
    )
    classes: str = parameter(
        "ids",
        "What it learns to tell apart: machine ids; or attributes, each combination that names of an id's clips state, which are "
        "classes enough where a machine has one id.",
        enum=["ids", "attributes"],
    )
    transform: str = parameter(**TRANSFORM)
    statistics: str = parameter(**STATISTICS)
    hidden: list[int] = parameter(
        [256, 256],
        "Sizes of the hidden layers.",
        maxItems=100,
        items={"type": "integer", "minimum": 1, "maximum": 1_000_000},
    )
    embedding: int = parameter(128, "Size of the embedding.", minimum=2, maximum=1_000_000)
    head: str = parameter("subcluster_adacos", "The angular loss.", enum=["subcluster_adacos", "arcface"])
    subclusters: int = parameter(16, "Centres per class.", minimum=1, maximum=10_000)
    margin: float = parameter(0.5, "Of ArcFace.", minimum=0, maximum=3.2)
    scale: float = parameter(30.0, "Of ArcFace.", exclusiveMinimum=0, maximum=100_000)
    mixup: float = parameter(0.5, "Share of the clips that are mixed.", minimum=0, maximum=1)
    learning_rate: float = parameter(**LEARNING_RATE)
    weight_decay: float = parameter(0.01, "Of AdamW.", minimum=0, maximum=1000)
    batch_size: int = parameter(256, "Clips per step.", minimum=1, maximum=1_000_000)
    averaging: float = parameter(0.99, "Of the weights' moving average.", minimum=0, maximum=1)
    members: int = parameter(1, "Networks whose scores are averaged.", minimum=1, maximum=1000)
    domains: str = parameter(**DOMAINS)


class Detector(BaseDetector):
    """Auxiliary classification of machine ids.

    All machine ids seen in training, of all types in the trial's scope, are the classes of an angular head. The more
    there are the better: with one type's few ids the task is too easy and the embedding learns little.

    Scores, each in units of the id's held-out normal clips: "log_probability", the logarithm of minus the log softmax of the id
    (mean over members; of several classes of an id, the likeliest); "embedding_density", local density (see LocalDensity) of the
    members' unit embeddings side by side; "whitened_density", the same where the correlations of these are taken out;
    "local_density", that of knn.Detector, on the clip statistics themselves (mlp alone); "score", the mean of all, of which
    local_density counts twice. A clip of an id that training has not seen gets the least over the known ids of its type, or of
    all types if the type is new.

    The score and the number of epochs were chosen without an anomaly (benchmarks/leave_id_out.py, docs/detectors.md): one id of
    each type is left out of training altogether, and its clips are scored as if they came from each of its siblings, whose
    held-out clips are the normal ones. It must be ids left out: those trained on are told apart perfectly. What the network
    learns to overlook, since it tells no id, the statistics still measure.

    References
    ----------
    Giri et al. 2020, "Self-supervised classification for detecting anomalous sounds".
    Wilkinghoff 2021, "Sub-cluster AdaCos: Learning representations for anomalous sound detection".
    Wilkinghoff 2023, "Design choices for learning embeddings from auxiliary tasks for domain generalization in anomalous sound
    detection".
    Liu et al. 2022, "Anomalous sound detection using spectral-temporal information fusion" (STgram-MFN).
    """

    Hyperparameters = Hyperparameters
    epochs = 40
    scores: ClassVar[dict[str, Any]] = {
        "description": "Which evidence of anomaly; score combines them.",
        "enum": ["score", *KINDS, "local_density"],
    }

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self.members: Any = None  # networks.members.Members, while torch trains them or scores with them
        self.saved: dict[str, np.ndarray] = {}  # what they have learnt, where torch does not
        self.saved_training: dict[str, np.ndarray] = {}  # and what they need to go on with their training
        self.memory: dict[str, dict[str, np.ndarray]] = {}  # what the normal clips of each machine id look like
        p = self.hyperparameters
        self.hears = p.network in WAVEFORM_NETWORKS
        self.neighbours = (
            None if self.hears else knn.Detector(transform=p.transform, statistics=p.statistics, domains=p.domains)
        )

    @classmethod
    def problems(
        cls, parameters: Mapping[str, Any], feature: "BaseFeature", frames: int | None
    ) -> Iterator[tuple[str, str]]:
        yield from super().problems(parameters, feature, frames)
        network, pseudo = parameters["network"], parameters["pseudo_classes"]
        hears = network in WAVEFORM_NETWORKS
        if hears and not feature.is_waveform:
            yield (
                "network",
                f"is {network}, which hears the recording itself: set feature to one of source waveform, "
                f"{parameters['feature']} is of source {feature.name}",
            )
        if needed := network_needed(network, pseudo):
            yield (
                "pseudo_classes",
                f"is {pseudo}, which needs the network {needed}, not {network}: set it, or auto",
            )
        few = pseudo == "none" or not hears
        if parameters["scope"] == "machine_id" and few and parameters["classes"] == "ids":
            yield (
                "scope",
                "is machine_id, but id_classifier tells machine ids apart: set scope to machine_type or all, "
                "hear the waveform with pseudo_classes, or use another detector",
            )

    @classmethod
    def scores_by_torch(cls, parameters: Mapping[str, Any]) -> bool:
        return parameters["network"] in WAVEFORM_NETWORKS

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        members, embedding, subclusters = (parameters[key] for key in ("members", "embedding", "subclusters"))
        head = MACHINES * subclusters * embedding
        if parameters["network"] in WAVEFORM_NETWORKS:
            batch = WAVEFORM_BYTES * frames * bins * members * parameters["batch_size"]
            return batch + WEIGHT_BYTES * members * head + 4 * CLIPS * frames * bins
        vector = vector_size(parameters["statistics"], frames, bins)
        mlp = [vector, *parameters["hidden"], embedding]
        weights = sum(a * b for a, b in itertools.pairwise(mlp)) + head
        batch = 12 * min(max(parameters["batch_size"], BATCH), CLIPS) * (sum(mlp) + MACHINES * subclusters)
        whiten = 8 * MACHINES * (members * embedding) ** 2
        return members * (WEIGHT_BYTES * weights + batch + 16 * CLIPS * embedding) + whiten + 40 * CLIPS * vector

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        """Train up to `context.epochs`, going on from `self.epoch` where this detector was trained before."""
        if self.epoch == 0:
            self._prepare(train, context.seed)
        self.memory = {}
        members = self._members()
        members.begin(context.device)
        inputs, ids = self._inputs(train), self._ids(train)
        held_out, held_out_ids = self._inputs(validation), self._ids(validation)
        known = held_out_ids >= 0  # classes that training has
        compared, compared_ids = held_out[known], held_out_ids[known]
        warned = False
        for epoch in range(self.epoch + 1, context.epochs + 1):
            begun = time.perf_counter()
            train_loss = members.train_epoch(inputs, ids, context.seed, epoch)
            val_loss, accuracy = self._validate(compared, compared_ids)
            self.epoch, self.diverged = epoch, not math.isfinite(train_loss)
            seconds = time.perf_counter() - begun
            context.on_epoch(epoch, {"train_loss": train_loss, "val_loss": val_loss, "seconds": seconds})
            if accuracy == 1 and epoch <= TOO_EASY and self._pseudo == "none" and not warned:
                log.warning(TOO_EASY_WARNING, epoch, len(self.classes))
                warned = True
            if self.diverged:
                return
        self._remember(train, inputs, validation, held_out)
        if self.neighbours:
            self.neighbours.fit(train, validation, context)

    def score(self, features: Features) -> dict[str, np.ndarray]:
        if self.diverged:
            statistics = ("local_density",) if self.neighbours else ()
            return {name: np.full(len(features), np.nan) for name in ("score", *KINDS, *statistics)}
        embeddings, log_probability = self._embed(self._inputs(features))
        kinds = np.empty((len(features), len(KINDS)))
        for machine, rows in machines(features.clips):
            known = [self._kinds(m, embeddings[rows], log_probability[rows]) for m in similar(machine, self.memory)]
            kinds[rows] = np.min(known, axis=0)
        scores = dict(zip(KINDS, kinds.T.copy(), strict=True))
        if self.neighbours:
            scores["local_density"] = self.neighbours.score(features)["local_density"]
        weights = [WEIGHTS.get(name, 1.0) for name in scores]
        return {"score": np.average([*scores.values()], axis=0, weights=weights), **scores}

    def embed(self, features: Features) -> np.ndarray:
        return self._embed(self._inputs(features))[0]

    def state(self) -> dict[str, np.ndarray]:
        arrays = {**self._averages()}
        for machine, memory in self.memory.items():
            arrays |= {f"{machine}.{name}": array for name, array in memory.items()}
        own = {"classes": np.frombuffer(json.dumps(self.classes).encode(), np.uint8), "shape": np.array(self.shape)}
        inputs = {"mean": self.mean, "std": self.std, **self.statistics.state()}
        neighbours = self.neighbours.state() if self.neighbours and self.memory else {}
        return {**arrays, **own, **inputs, **{f"neighbours.{name}": array for name, array in neighbours.items()}}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.classes = [(machine, attributes) for machine, attributes in json.loads(state["classes"].tobytes())]
        self.shape = tuple(state["shape"].tolist())
        self.statistics = self._statistics()
        self.statistics.set_state(state)
        self.mean, self.std = state["mean"], state["std"]
        self.members, self.saved = None, {k: array for k, array in state.items() if k.startswith("average.")}
        known = {machine for machine, _ in self.classes}
        for key, array in state.items():
            machine, _, name = key.rpartition(".")
            if machine in known:
                self.memory.setdefault(machine, {})[name] = array
        if self.neighbours and self.memory:
            self.neighbours.set_state(under("neighbours.", state))

    def training_state(self) -> dict[str, np.ndarray]:
        return self.members.training_state() if self.members else self.saved_training

    def set_training_state(self, state: dict[str, np.ndarray]) -> None:
        self.saved_training = dict(state)

    def _statistics(self) -> ClipStatistics:
        return ClipStatistics(self.hyperparameters.transform, self.hyperparameters.statistics)

    def _prepare(self, train: Features, seed: int) -> None:
        self.feature = train.parameters
        p = self.hyperparameters
        if p.classes == "attributes" and ("attributes" not in train.clips or train.clips["attributes"].isna().all()):
            raise InputError("classes is 'attributes', but no name of a training clip states any: set it to ids")
        self.classes = sorted(set(self._classes(train)))
        if needed := network_needed(p.network, p.pseudo_classes):
            raise InputError(
                f"pseudo_classes is {p.pseudo_classes!r}, which needs the network {needed}: set it, or auto"
            )
        if not self.classes or (len(self.classes) == 1 and self._pseudo == "none"):
            raise InputError(
                f"id_classifier tells machine ids apart, but there is only {' '.join(sum(self.classes, ())).strip() or 'none'}: "
                "set scope to machine_type or all, hear the waveform with pseudo_classes, or use another detector"
            )
        self.statistics = self._statistics()
        self.mean = self.std = np.zeros(0)
        if not self.hears:
            standardise = Standardiser.fit(self.statistics.fit(train)(train))
            self.mean, self.std = standardise.mean, standardise.std
        self.shape = tuple(self._inputs(train).shape[1:])
        self._members(seed)

    def _members(self, seed: int = 0) -> "Members":
        """The networks of torch: as they were saved, or, if they were not, with weights that follow from the seed."""
        from humwatch.detectors.networks.members import Members

        if self.members is None:
            rate = self.feature.get("sample_rate", SAMPLE_RATE)
            self.members = Members(self.hyperparameters, self.shape, rate, len(self.classes), self._pseudo, seed)
            if self.saved:
                self.members.set_state(self.saved)
            if self.saved_training:
                self.members.set_training_state(self.saved_training)
        return self.members

    def _averages(self) -> dict[str, np.ndarray]:
        """The averaged weights of the networks, by their names in torch."""
        return self.members.state() if self.members else self.saved

    @property
    def _pseudo(self) -> str:
        """The pseudo-classes in use."""
        p, few = self.hyperparameters, len(self.classes) < FEW_CLASSES
        auto = WAVEFORM_NETWORKS.get(p.network, "none") if few else "none"
        return auto if p.pseudo_classes == "auto" else p.pseudo_classes

    def _inputs(self, features: Features) -> np.ndarray:
        """What the network is given: (clips, ...) float32."""
        if self.hears:
            if len(set(np.diff(features.starts))) > 1:
                raise InputError(
                    f"network {self.hyperparameters.network} needs clips of one length: set `seconds` of the waveform feature"
                )
            # Row groups are read-only views of a file; torch wants its own memory.
            shape = [-1] if len(features) else self.shape
            return np.require(features.values, requirements="W").reshape(len(features), *shape)
        vectors = Standardiser(self.mean, self.std)(self.statistics(features))
        return vectors.astype(np.float32)

    def _classes(self, features: Features) -> list[tuple[str, str]]:
        """Machine and attributes of each clip."""
        names = machine_names(features.clips)
        if self.hyperparameters.classes == "ids":
            return [(name, "") for name in names]
        attributes = features.clips["attributes"] if "attributes" in features.clips else np.full(len(names), "")
        return [*zip(names, pd.Series(attributes).fillna(""), strict=True)]

    def _ids(self, features: Features) -> np.ndarray:
        """The number of each clip's class, (clips,) int64; -1 where training had none of it."""
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number.get(name, -1) for name in self._classes(features)], np.int64)

    def _embed(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Members.embed`; of the network mlp by numpy, so that scoring loads no torch."""
        if self.hears:
            return self._embed_by_torch(inputs)
        p, weights = self.hyperparameters, self._averages()
        embeddings, log_probabilities = [], []
        for i in range(p.members):
            network, head = (under(f"average.module.{i}.{part}.", weights) for part in ("network", "head"))
            embeddings.append(unit(sequential(network, "layers", inputs)))
            logits = angular_logits(head, embeddings[-1], p.scale if p.head == "arcface" else None)
            log_probabilities.append(log_softmax(logits.astype(np.float64)))
        return np.concatenate(embeddings, axis=1) / np.float32(math.sqrt(p.members)), np.mean(log_probabilities, axis=0)

    def _embed_by_torch(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._members().embed(inputs, WAVEFORM_BATCH if self.hears else BATCH)

    def _validate(self, inputs: np.ndarray, ids: np.ndarray) -> tuple[float, float]:
        """Mean loss and accuracy on clips as they are."""
        if not len(inputs):
            return math.nan, math.nan
        _, log_probability = self._embed_by_torch(inputs)
        classes = ids * (log_probability.shape[1] // len(self.classes))
        accuracy = (log_probability.argmax(axis=1) == classes).mean()
        return -float(log_probability[np.arange(len(inputs)), classes].mean()), float(accuracy)

    def _remember(self, train: Features, inputs: np.ndarray, validation: Features, held_out_inputs: np.ndarray) -> None:
        """Keep the embeddings of each machine's normal clips, and what scores its held-out ones get."""
        embeddings, log_probability = self._embed_by_torch(inputs)
        held_out_rows = dict(machines(validation.clips))
        held_out = self._embed_by_torch(held_out_inputs) if held_out_rows else ()
        domains = domains_of(train.clips) * (self.hyperparameters.domains == "apart")
        for machine, rows in machines(train.clips):
            self.memory[machine] = {
                f"{kind}_{name}": array
                for kind, memory in MEMORIES.items()
                for name, array in memory.fit(embeddings[rows].astype(np.float64), domains[rows]).items()
            }
            if machine in held_out_rows:
                raw = self._raw(machine, *(part[held_out_rows[machine]] for part in held_out))
            else:
                raw = self._raw(machine, embeddings[rows], log_probability[rows])
            self.memory[machine]["normal"] = center_and_spread(raw)

    def _kinds(self, machine: str, embeddings: np.ndarray, log_probability: np.ndarray) -> np.ndarray:
        return calibrated(self._raw(machine, embeddings, log_probability), self.memory[machine]["normal"])

    def _raw(self, machine: str, embeddings: np.ndarray, log_probability: np.ndarray) -> np.ndarray:
        """The kinds of score, (clips, kinds)."""
        variants = log_probability.shape[1] // len(self.classes)  # of each class, the clips as they are being the first
        own = [i * variants for i, (name, _) in enumerate(self.classes) if name == machine]
        unlikely = log_distances(-log_probability[:, own].max(axis=1))
        known = self.memory[machine]
        far = [memory.score(under(f"{kind}_", known), embeddings)[:, 0] for kind, memory in MEMORIES.items()]
        return np.column_stack([unlikely, *far])


def network_needed(network: str, pseudo_classes: str) -> str | None:
    """The networks that could make these pseudo-classes, where this one cannot."""
    if pseudo_classes == "feature_exchange" and network != "dual_branch":
        return "dual_branch"
    if pseudo_classes in ("speed", "pitch") and network not in WAVEFORM_NETWORKS:
        return " or ".join(WAVEFORM_NETWORKS)
    return None
