"""Networks that learn side by side to tell classes of clips apart, and the running average of their weights."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from humwatch.detectors.gradient_descent import Optimizer, generator_for, initialisation, tensors
from humwatch.detectors.networks.dual_branch import DualBranch
from humwatch.detectors.networks.heads import (
    ArcFace,
    SubclusterAdaCos,
    feature_exchange,
    mixup,
    pitch_shift,
    speed_change,
)
from humwatch.detectors.networks.mlp import MLP
from humwatch.detectors.networks.stgram import STgramMFN

# What makes a clip another class; the first leaves it as it is.
Change = Callable[[Tensor, float], Tensor]
VARIANTS: dict[str, tuple[Change | None, tuple[float, ...]]] = {
    "speed": (speed_change, (1.0, 0.9, 1.1)),
    "pitch": (pitch_shift, (0.0, -2.0, 2.0)),
}
EXCHANGED = 0.5  # share of clips whose embedding is half another's

# A new network is a line here, and its name among those of id_classifier. Each is made from the detector's hyper-parameters, the
# shape of one input, and the sample rate, and embeds a batch.
NETWORKS: dict[str, Callable[[Any, tuple[int, ...], int], nn.Module]] = {
    "mlp": lambda p, shape, rate: MLP(shape[0], p.hidden, p.embedding),
    "stgram": lambda p, shape, rate: STgramMFN(shape[0], rate),
    "dual_branch": lambda p, shape, rate: DualBranch(shape[0], rate),
}


class Members:
    """The networks of an id_classifier with their heads: trained together, averaged over the steps, asked for embeddings.

    Parameters
    ----------
    p
        The detector's hyper-parameters.
    shape
        Of one input.
    sample_rate
        In Hz.
    ids
        Number of machine ids, which are the classes.
    pseudo_classes
        "none", or what makes further classes of each id.
    seed
        Of the weights.
    """

    def __init__(
        self, p: Any, shape: tuple[int, ...], sample_rate: int, ids: int, pseudo_classes: str, seed: int = 0
    ) -> None:
        self.p = p
        self.change, self.amounts = VARIANTS.get(pseudo_classes, (None, (0.0,)))
        self.variants = len(self.amounts)  # classes of each id, the clips as they are being the first
        self.classes = ids * self.variants
        exchange = pseudo_classes == "feature_exchange"
        with initialisation(seed):
            self.trained = nn.ModuleList(
                Member(p, shape, sample_rate, self.classes, exchange) for _ in range(p.members)
            )
        average = partial(running_average, p.averaging)
        self.average = AveragedModel(self.trained, multi_avg_fn=average, use_buffers=True)
        self.optimizer: Optimizer | None = None
        self.saved: dict[str, np.ndarray] = {}  # the optimiser's state, until a training goes on

    def begin(self, device: str) -> None:
        """Make ready to train epochs on a device."""
        for module in (self.trained, self.average):
            module.to(device)
        if self.optimizer is None:
            self.optimizer = Optimizer(self.trained, self.p.learning_rate, weight_decay=self.p.weight_decay)
            self.optimizer.set_state(self.saved)

    def train_epoch(self, inputs: np.ndarray, ids: np.ndarray, seed: int, epoch: int) -> float:
        """Train one epoch.

        Parameters
        ----------
        inputs : (clips, ...) float32
        ids : (clips,) int64
            The number of each clip's id.

        Returns
        -------
        float
            The mean loss per clip and member.
        """
        generator = generator_for(seed, epoch)  # on the CPU, the only source of chance
        x, labels = torch.from_numpy(inputs), torch.from_numpy(ids)
        self.trained.train()
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        order = torch.randperm(len(x), generator=generator)
        # No last batch of one: batch norm needs two.
        for batch in order.tensor_split(math.ceil(len(x) / self.p.batch_size)):
            varied, targets = self.varied(x[batch], labels[batch], generator)
            varied = varied.to(self._device)
            one_hot = F.one_hot(targets, self.classes).float().to(self._device)
            loss = torch.zeros((), device=self._device)
            for member in cast(list[Member], list(self.trained)):
                mixed, soft = mixup(varied, one_hot, self.p.mixup, generator)
                loss = loss + member.loss(mixed, soft, generator)
            loss.backward()
            self.optimizer.step()  # type: ignore[union-attr]
            self.average.update_parameters(self.trained)
            total += loss.detach() * len(batch)
        return total.item() / len(x) / self.p.members

    def varied(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each clip made one of its id's variants by chance.

        Parameters
        ----------
        x : (batch, ...)
        labels : (batch,) int64
            Numbers of ids.

        Returns
        -------
        x : (batch, ...)
        labels : (batch,) int64
            Numbers of classes.
        """
        if self.change is None:
            return x, labels
        variant = torch.randint(self.variants, (len(x),), generator=generator)
        x = x.clone()
        for i, amount in enumerate(self.amounts[1:], 1):
            if (rows := variant == i).any():
                x[rows] = self.change(x[rows], amount)
        return x, labels * self.variants + variant

    @torch.no_grad()
    def embed(self, inputs: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Embed clips by all members, and classify them.

        Parameters
        ----------
        inputs : (clips, ...) float32

        Returns
        -------
        embeddings : (clips, size)
            The members' unit embeddings side by side.
        log_probability : (clips, classes)
            The mean over members.
        """
        members = cast(list[Member], list(self.average.eval().module.children()))
        embeddings, log_probabilities = [], []
        for batch in torch.from_numpy(inputs).split(batch_size):
            each = [member.network(batch.to(self._device)) for member in members]
            logits = [member.head(e).double() for member, e in zip(members, each, strict=True)]
            log_probabilities.append(torch.stack(logits).log_softmax(dim=2).mean(dim=0).cpu().numpy())
            unit = torch.cat([F.normalize(e) for e in each], dim=1) / math.sqrt(len(each))
            embeddings.append(unit.cpu().numpy())
        return np.concatenate(embeddings), np.concatenate(log_probabilities)

    def state(self) -> dict[str, np.ndarray]:
        return {f"average.{name}": tensor.cpu().numpy() for name, tensor in self.average.state_dict().items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.average.load_state_dict(tensors(state, "average."))

    def training_state(self) -> dict[str, np.ndarray]:
        """The weights before averaging, and the optimiser's moments and step counts."""
        weights = {f"members.{name}": tensor.cpu().numpy() for name, tensor in self.trained.state_dict().items()}
        moments = self.optimizer.state() if self.optimizer else self.saved
        return weights | {f"optimizer.{name}": array for name, array in moments.items()}

    def set_training_state(self, state: dict[str, np.ndarray]) -> None:
        self.trained.load_state_dict(tensors(state, "members."))
        self.saved = {key.removeprefix("optimizer."): a for key, a in state.items() if key.startswith("optimizer.")}

    @property
    def _device(self) -> torch.device:
        return next(self.average.parameters()).device


class Member(nn.Module):
    """A network and its head, and a second head for exchanged embeddings."""

    def __init__(self, p: Any, shape: tuple[int, ...], sample_rate: int, classes: int, exchange: bool) -> None:
        super().__init__()
        self.network = NETWORKS[p.network](p, shape, sample_rate)
        with torch.no_grad():
            size = self.network.eval()(torch.zeros(1, *shape)).shape[1]
        if p.head == "arcface":
            self.head: nn.Module = ArcFace(size, classes, p.margin, p.scale, p.subclusters)
        else:
            self.head = SubclusterAdaCos(size, classes, p.subclusters)
        self.exchange_head = SubclusterAdaCos(size, 3 * classes, p.subclusters) if exchange else None

    def loss(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Cross-entropy, with exchanged embeddings the sum of both heads'.

        Parameters
        ----------
        x : (batch, ...)
        labels : (batch, classes)
            Soft.
        """
        embedding = self.network(x)
        loss = F.cross_entropy(self.head(embedding, labels), labels)
        if self.exchange_head is not None:
            exchanged, halves = feature_exchange(embedding, labels, EXCHANGED, generator)
            loss = loss + F.cross_entropy(self.exchange_head(exchanged, halves), halves)
        return loss


def running_average(keep: float, averaged: Any, current: Any, steps: Tensor) -> None:
    """Update the exponential average; at first it spans a tenth of the steps, so that it forgets how the weights began."""
    get_ema_multi_avg_fn(min(keep, (1 + steps.item()) / (10 + steps.item())))(averaged, current, steps)
