"""A network learns to tell machine ids apart; a clip that does not look like its own id is anomalous."""

import itertools
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from humwatch.detectors import knn
from humwatch.detectors.base import BaseDetector, FitContext
from humwatch.detectors.clip_statistics import ClipStatistics, Standardiser, machine_names, machines, one_of, similar
from humwatch.detectors.mahalanobis import gaussian, squared_distance
from humwatch.detectors.networks.dual_branch import DualBranch
from humwatch.detectors.networks.heads import (
    ArcFace,
    SubclusterAdaCos,
    feature_exchange,
    mixup,
    pitch_shift,
    speed_change,
)
from humwatch.detectors.networks.stgram import STgramMFN
from humwatch.detectors.reconstruction.training import Optimizer, generator_for
from humwatch.errors import InputError
from humwatch.features.store import Features

log = logging.getLogger(__name__)

KINDS = ("log_probability", "cosine", "mahalanobis")
SMALLEST = 1e-9
SCORING_BATCH, SCORING_WAVEFORMS = 1024, 32  # clips
TOO_EASY = 3  # epochs
TOO_EASY_WARNING = (
    "all held-out clips are recognised after epoch %d: %d classes are too easy to tell apart for the network to hear much; "
    "train on more machine types (scope all), or, from the waveform, on pseudo-classes"
)
FEW_CLASSES = 10
# What makes a clip another class; the first leaves it as it is.
VARIANTS: dict[str, tuple[Callable[[Tensor, float], Tensor], tuple[float, ...]]] = {
    "speed": (speed_change, (1.0, 0.9, 1.1)),
    "pitch": (pitch_shift, (0.0, -2.0, 2.0)),
}
EXCHANGED = 0.5  # share of clips whose embedding is half another's
SAMPLE_RATE = 16_000  # Hz, where the feature does not say


@dataclass
class Hyperparameters:
    """network: a name in NETWORKS. pseudo_classes, of networks that hear the waveform: "speed" and "pitch" make three
    classes of each id, the clips as they are, slower and faster (or lower and higher); "feature_exchange" (FeatEx,
    dual_branch alone) asks whose the halves of an exchanged embedding are; "auto" does one of them where there are fewer
    than 10 ids, which alone would be too easy to tell apart; "none". transform, statistics: see ClipStatistics; they,
    hidden and embedding (layer sizes) matter to "mlp" alone. head: "subcluster_adacos" or "arcface", to which alone
    margin and scale matter. mixup: the probability that a clip is mixed with another. averaging: the share that the
    averaged weights, which are the ones used, keep at each step. members: networks trained side by side.
    """

    network: str = "mlp"
    pseudo_classes: str = "auto"
    transform: str = "auto"
    statistics: str = "auto"
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    embedding: int = 128
    head: str = "subcluster_adacos"
    subclusters: int = 16
    margin: float = 0.5
    scale: float = 30.0
    mixup: float = 0.5
    learning_rate: float = 0.001
    weight_decay: float = 0.01
    batch_size: int = 256
    averaging: float = 0.99
    members: int = 1


class MLP(nn.Module):
    """(batch, inputs) -> (batch, embedding)."""

    def __init__(self, inputs: int, hidden: list[int], embedding: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for size, width in itertools.pairwise([inputs, *hidden]):
            self.layers.extend([nn.Linear(size, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()])
        self.layers.append(nn.Linear(hidden[-1] if hidden else inputs, embedding, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Network(NamedTuple):
    """build: (hyper-parameters, shape of one input, sample rate) -> module that embeds a batch.

    waveform: it hears the clip itself. pseudo_classes: those that make few ids hard enough to tell apart.
    """

    build: Callable[[Hyperparameters, tuple[int, ...], int], nn.Module]
    waveform: bool = False
    pseudo_classes: str = "none"


# A new network is a line here, and its name in the config schema.
NETWORKS = {
    "mlp": Network(lambda p, shape, rate: MLP(shape[0], p.hidden, p.embedding)),
    "stgram": Network(lambda p, shape, rate: STgramMFN(shape[0], rate), waveform=True, pseudo_classes="speed"),
    "dual_branch": Network(
        lambda p, shape, rate: DualBranch(shape[0], rate), waveform=True, pseudo_classes="feature_exchange"
    ),
}


class Detector(BaseDetector):
    """Auxiliary classification of machine ids (Giri et al. 2020; Wilkinghoff 2021, 2023; STgram-MFN, Liu et al. 2022).

    All machine ids heard in training, of all types in the trial's scope, are the classes of an angular head. The more
    there are the better: with one type's few ids the task is too easy and the embedding learns little.

    Scores, each the logarithm of a distance from the clip's own id, in units of that id's held-out normal clips:
    "log_probability", minus the log softmax of the id (mean over members); "cosine", distance to the nearest training
    clip's embedding (the members' unit embeddings side by side); "mahalanobis", in the space of the embeddings;
    "local_density", that of knn.Detector, on the clip statistics themselves, without the network;
    "score", the mean of them all. A clip of an id never heard gets the least over the known ids of its
    type, or of all types if the type is new.

    The score and the number of epochs were chosen without an anomaly (benchmarks/leave_id_out.py): one id of each type is
    left out of training altogether, and its clips are scored as if they came from each of its siblings, whose held-out
    clips are the normal ones. It must be ids left out: those trained on are told apart perfectly. On six machine types
    the mean of all four ranks above any subset of them. What the network learns to overlook, since it tells no id, the
    local density still measures.
    """

    Hyperparameters = Hyperparameters
    default_score = "score"

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self.device = "cpu"
        self.optimizer: Optimizer | None = None
        self.saved: dict[str, np.ndarray] = {}  # the optimiser's state, until a training goes on
        self.memory: dict[str, dict[str, np.ndarray]] = {}  # what the normal clips of each machine id look like
        p = self.hyperparameters
        self.neighbours = (
            None if self._network.waveform else knn.Detector(transform=p.transform, statistics=p.statistics)
        )

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        """Train up to `context.epochs`, going on from `self.epoch` where this detector was trained before."""
        self.device = context.device
        if self.epoch == 0:
            self._prepare(train, context.seed)
        self.memory = {}
        for module in (self.members, self.average):
            module.to(self.device)
        if self.optimizer is None:
            p = self.hyperparameters
            self.optimizer = Optimizer(self.members, p.learning_rate, weight_decay=p.weight_decay)
            self.optimizer.set_state(self.saved)
        x, labels = self._inputs(train), self._labels(train)
        x_held_out, labels_held_out = self._inputs(validation), self._labels(validation)
        warned = False
        for epoch in range(self.epoch + 1, context.epochs + 1):
            begun = time.perf_counter()
            train_loss = self._train_epoch(x, labels, self.optimizer, generator_for(context.seed, epoch))
            val_loss, accuracy = self._validate(x_held_out, labels_held_out)
            self.epoch, self.diverged = epoch, not math.isfinite(train_loss)
            seconds = time.perf_counter() - begun
            context.report(epoch, {"train_loss": train_loss, "val_loss": val_loss, "seconds": seconds})
            if accuracy == 1 and epoch <= TOO_EASY and self._pseudo == "none" and not warned:
                log.warning(TOO_EASY_WARNING, epoch, len(self.classes))
                warned = True
            if self.diverged:
                return
        self._remember(train, validation)
        if self.neighbours:
            self.neighbours.fit(train, validation, context)

    def score(self, features: Features) -> dict[str, np.ndarray]:
        if self.diverged:
            return {name: np.full(len(features), np.nan) for name in ("score", *KINDS, "local_density")}
        embeddings, log_probability = self._embed(self._inputs(features))
        kinds = np.empty((len(features), len(KINDS)))
        for machine, rows in machines(features.clips):
            known = [self._kinds(m, embeddings[rows], log_probability[rows]) for m in similar(machine, self.classes)]
            kinds[rows] = np.min(known, axis=0)
        scores = dict(zip(KINDS, kinds.T.copy(), strict=True))
        if self.neighbours:
            scores["local_density"] = self.neighbours.score(features)["local_density"]
        return {"score": np.mean([*scores.values()], axis=0), **scores}

    def embed(self, features: Features) -> np.ndarray:
        return self._embed(self._inputs(features))[0]

    def state(self) -> dict[str, np.ndarray]:
        arrays = {f"average.{name}": tensor.cpu().numpy() for name, tensor in self.average.state_dict().items()}
        for machine, memory in self.memory.items():
            arrays |= {f"{machine}.{name}": array for name, array in memory.items()}
        own = {"classes": np.frombuffer(json.dumps(self.classes).encode(), np.uint8), "shape": np.array(self.shape)}
        inputs = {"mean": self.mean, "std": self.std, **self.statistics.state()}
        neighbours = self.neighbours.state() if self.neighbours and self.memory else {}
        return {**arrays, **own, **inputs, **{f"neighbours.{name}": array for name, array in neighbours.items()}}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.classes, self.shape = json.loads(state["classes"].tobytes()), tuple(state["shape"].tolist())
        self.statistics = self._statistics()
        self.statistics.set_state(state)
        self.mean, self.std = state["mean"], state["std"]
        self._build()
        self.average.load_state_dict(_under("average.", state))
        for key, array in state.items():
            machine, _, name = key.rpartition(".")
            if machine in self.classes:
                self.memory.setdefault(machine, {})[name] = array
        if self.neighbours and self.memory:
            prefix = "neighbours."
            self.neighbours.set_state({k.removeprefix(prefix): a for k, a in state.items() if k.startswith(prefix)})

    def training_state(self) -> dict[str, np.ndarray]:
        """The weights before averaging, and the optimiser's moments and step counts."""
        weights = {f"members.{name}": tensor.cpu().numpy() for name, tensor in self.members.state_dict().items()}
        moments = self.optimizer.state() if self.optimizer else self.saved
        return weights | {f"optimizer.{name}": array for name, array in moments.items()}

    def set_training_state(self, state: dict[str, np.ndarray]) -> None:
        self.members.load_state_dict(_under("members.", state))
        self.saved = {key.removeprefix("optimizer."): a for key, a in state.items() if key.startswith("optimizer.")}

    def _statistics(self) -> ClipStatistics:
        return ClipStatistics(self.hyperparameters.transform, self.hyperparameters.statistics)

    def _prepare(self, train: Features, seed: int) -> None:
        self.feature = train.parameters
        self.classes = sorted(set(machine_names(train.clips)))
        self._check_pseudo_classes()
        if not self.classes or (len(self.classes) == 1 and self._pseudo == "none"):
            raise InputError(
                f"id_classifier tells machine ids apart, but there is only {' and '.join(self.classes) or 'none'}: "
                "set scope to machine_type or all, hear the waveform with pseudo_classes, or use another detector"
            )
        self.statistics = self._statistics()
        self.mean = self.std = np.zeros(0)
        if not self._network.waveform:
            standardise = Standardiser.fit(self.statistics.fit(train)(train))
            self.mean, self.std = standardise.mean, standardise.std
        self.shape = tuple(self._inputs(train).shape[1:])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator_for(seed, 0).initial_seed())
            self._build()

    def _build(self) -> None:
        p = self.hyperparameters
        rate = self.feature.get("sample_rate", SAMPLE_RATE)
        classes, exchange = len(self.classes) * self._variants, self._pseudo == "feature_exchange"
        self.members = nn.ModuleList(Member(p, self.shape, rate, classes, exchange) for _ in range(p.members))
        average = partial(running_average, p.averaging)
        self.average = AveragedModel(self.members, multi_avg_fn=average, use_buffers=True)

    @property
    def _network(self) -> Network:
        return NETWORKS[one_of("network", self.hyperparameters.network, NETWORKS)]

    @property
    def _pseudo(self) -> str:
        """The pseudo-classes in use."""
        asked, few = self.hyperparameters.pseudo_classes, len(self.classes) < FEW_CLASSES
        return (self._network.pseudo_classes if few else "none") if asked == "auto" else asked

    @property
    def _variants(self) -> int:
        """Classes of each id, the clips as they are being the first."""
        return len(VARIANTS[self._pseudo][1]) if self._pseudo in VARIANTS else 1

    def _check_pseudo_classes(self) -> None:
        p = self.hyperparameters
        asked = one_of("pseudo_classes", p.pseudo_classes, ("auto", "none", *VARIANTS, "feature_exchange"))
        if (asked in VARIANTS and not self._network.waveform) or (
            asked == "feature_exchange" and p.network != "dual_branch"
        ):
            needed = "dual_branch" if asked == "feature_exchange" else "stgram or dual_branch"
            raise InputError(f"pseudo_classes is {asked!r}, which needs the network {needed}: set it, or auto")

    def _varied(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each clip made one of its id's variants by chance: (batch, ...) and (batch,) -> the same shapes."""
        if self._variants == 1:
            return x, labels
        change, amounts = VARIANTS[self._pseudo]
        variant = torch.randint(len(amounts), (len(x),), generator=generator)
        x = x.clone()
        for i, amount in enumerate(amounts[1:], 1):
            if (rows := variant == i).any():
                x[rows] = change(x[rows], amount)
        return x, labels * len(amounts) + variant

    def _inputs(self, features: Features) -> Tensor:
        """What the network hears: (clips, ...) float32."""
        if self._network.waveform:
            if len(set(np.diff(features.starts))) > 1:
                raise InputError(
                    f"network {self.hyperparameters.network} needs clips of one length: set `seconds` of the waveform feature"
                )
            # Row groups are read-only views of a file; torch wants its own memory.
            return torch.from_numpy(np.require(features.values, requirements="W").reshape(len(features), -1))
        vectors = Standardiser(self.mean, self.std)(self.statistics(features))
        return torch.from_numpy(vectors.astype(np.float32))

    def _labels(self, features: Features) -> Tensor:
        number = {name: i for i, name in enumerate(self.classes)}
        return torch.tensor([number[name] for name in machine_names(features.clips)], dtype=torch.int64)

    def _train_epoch(self, x: Tensor, labels: Tensor, optimizer: Optimizer, generator: torch.Generator) -> float:
        """Mean loss per clip and member. The generator is on the CPU and the only source of chance."""
        p = self.hyperparameters
        self.members.train()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        order = torch.randperm(len(x), generator=generator)
        for batch in order.tensor_split(math.ceil(len(x) / p.batch_size)):  # no last batch of one: batch norm needs two
            inputs, targets = self._varied(x[batch], labels[batch], generator)
            inputs = inputs.to(self.device)
            one_hot = F.one_hot(targets, len(self.classes) * self._variants).float().to(self.device)
            loss = torch.zeros((), device=self.device)
            for member in cast(list[Member], list(self.members)):
                mixed, soft = mixup(inputs, one_hot, p.mixup, generator)
                loss = loss + member.loss(mixed, soft, generator)
            loss.backward()
            optimizer.step()
            self.average.update_parameters(self.members)
            total += loss.detach() * len(batch)
        return total.item() / len(x) / p.members

    def _validate(self, x: Tensor, labels: Tensor) -> tuple[float, float]:
        """Mean loss and accuracy on clips as they are."""
        if not len(x):
            return math.nan, math.nan
        _, log_probability = self._embed(x)
        labels = labels * self._variants
        accuracy = (log_probability.argmax(axis=1) == labels.numpy()).mean()
        return -float(log_probability[np.arange(len(x)), labels].mean()), float(accuracy)

    @torch.no_grad()
    def _embed(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The members' unit embeddings side by side, (clips, size), and their mean log probability, (clips, classes)."""
        members = cast(list[Member], list(self.average.eval().module.children()))
        embeddings, log_probabilities = [], []
        for batch in x.split(SCORING_WAVEFORMS if self._network.waveform else SCORING_BATCH):
            each = [member.network(batch.to(self.device)) for member in members]
            logits = [member.head(e).double() for member, e in zip(members, each, strict=True)]
            log_probabilities.append(torch.stack(logits).log_softmax(dim=2).mean(dim=0).cpu().numpy())
            unit = torch.cat([F.normalize(e) for e in each], dim=1) / math.sqrt(len(each))
            embeddings.append(unit.cpu().numpy())
        return np.concatenate(embeddings), np.concatenate(log_probabilities)

    def _remember(self, train: Features, validation: Features) -> None:
        """Keep the embeddings of each machine's normal clips, and what scores its held-out ones get."""
        embeddings, log_probability = self._embed(self._inputs(train))
        held_out = self._embed(self._inputs(validation))
        held_out_rows = dict(machines(validation.clips))
        for machine, rows in machines(train.clips):
            mean, whiten = gaussian(embeddings[rows])
            self.memory[machine] = {"embeddings": embeddings[rows], "mean": mean, "whiten": whiten}
            if machine in held_out_rows:
                raw = self._raw(machine, *(part[held_out_rows[machine]] for part in held_out))
            else:
                raw = self._raw(machine, embeddings[rows], log_probability[rows], themselves=True)
            std = raw.std(axis=0)
            self.memory[machine]["normal"] = np.stack([np.median(raw, axis=0), np.where(std > 0, std, 1)])

    def _kinds(self, machine: str, embeddings: np.ndarray, log_probability: np.ndarray) -> np.ndarray:
        median, std = self.memory[machine]["normal"]
        return (self._raw(machine, embeddings, log_probability) - median) / std

    def _raw(
        self, machine: str, embeddings: np.ndarray, log_probability: np.ndarray, themselves: bool = False
    ) -> np.ndarray:
        """Logarithms of the kinds of score, (clips, kinds). themselves: the clips are the remembered ones."""
        memory = self.memory[machine]
        distance = 1 - embeddings @ memory["embeddings"].T  # (clips, training clips)
        if themselves and len(distance) > 1:
            np.fill_diagonal(distance, np.inf)
        raw = [
            -log_probability[:, self.classes.index(machine) * self._variants],
            distance.min(axis=1),
            squared_distance(embeddings, memory["mean"], memory["whiten"]),
        ]
        return np.log(np.maximum(np.column_stack(raw), SMALLEST))


class Member(nn.Module):
    """A network and its head, and a second head for exchanged embeddings."""

    def __init__(
        self, p: Hyperparameters, shape: tuple[int, ...], sample_rate: int, classes: int, exchange: bool
    ) -> None:
        super().__init__()
        self.network = NETWORKS[p.network].build(p, shape, sample_rate)
        with torch.no_grad():
            size = self.network.eval()(torch.zeros(1, *shape)).shape[1]
        if one_of("head", p.head, ("arcface", "subcluster_adacos")) == "arcface":
            self.head: nn.Module = ArcFace(size, classes, p.margin, p.scale, p.subclusters)
        else:
            self.head = SubclusterAdaCos(size, classes, p.subclusters, trainable=True, fixed_scale=True)

        self.exchange_head = SubclusterAdaCos(size, 3 * classes, p.subclusters) if exchange else None

    def loss(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Cross-entropy of inputs (batch, ...) and soft labels (batch, classes)."""
        embedding = self.network(x)
        loss = F.cross_entropy(self.head(embedding, labels), labels)
        if self.exchange_head is not None:
            exchanged, halves = feature_exchange(embedding, labels, EXCHANGED, generator)
            loss = loss + F.cross_entropy(self.exchange_head(exchanged, halves), halves)
        return loss


def running_average(keep: float, averaged: Any, current: Any, steps: Tensor) -> None:
    """The exponential average spans a tenth of the steps at first, so that it forgets how the weights began."""
    get_ema_multi_avg_fn(min(keep, (1 + steps.item()) / (10 + steps.item())))(averaged, current, steps)


def _under(prefix: str, state: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): torch.from_numpy(a) for key, a in state.items() if key.startswith(prefix)}
