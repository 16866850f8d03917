"""How each detector scores, as torch modules that become ONNX, made of the arrays in its file.

The networks are those that were trained (`detectors/networks`). What humwatch computes in double precision is computed so here
too. A detector of one's own registers a function with `part`, below.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import singledispatch
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from humwatch.detectors import auto, gmm, id_classifier, knn, mahalanobis
from humwatch.detectors.backends import SMALLEST
from humwatch.detectors.base import BaseDetector
from humwatch.detectors.clip_statistics import GAMMAS, QUANTILES, SCALES, ClipStatistics
from humwatch.detectors.gradient_descent import tensors
from humwatch.detectors.local_density import SHARE, LocalDensity, parts
from humwatch.detectors.machines import similar, type_of
from humwatch.detectors.models import under
from humwatch.detectors.per_machine import PerMachineDetector
from humwatch.detectors.reconstruction.base import ReconstructionDetector
from humwatch.detectors.reconstruction.pooling import TOP_SHARE
from humwatch.errors import InputError
from humwatch.features import logmel
from humwatch.use.onnx.front_ends import Magnitudes, front_end, number


class Part(nn.Module):
    """Frames of a clip, (frames, bins) float32, to its scores as a clip of each of some machines, (machines,) float64.

    Attributes
    ----------
    least, most
        Frames that a clip may have; most None: any number.
    """

    least: int = 1
    most: int | None = None


@singledispatch
def part(detector: BaseDetector, machines: Sequence[str], score: str, bins: int) -> Part:
    """The module of a detector.

    Parameters
    ----------
    machines
        "type/id" of each.
    score
        Which of the detector's scores.
    bins
        Values per frame.

    Raises
    ------
    InputError
        Nothing here says how the detector scores.
    """
    raise InputError(
        f"the detector {detector.name} cannot be exported: use/onnx/parts.py does not say how it scores; pack a trial of another "
        "detector"
    )


@part.register(ReconstructionDetector)
class Reconstruction(Part):
    """As `ReconstructionDetector.score`."""

    def __init__(self, detector: ReconstructionDetector, machines: Sequence[str], score: str, bins: int) -> None:
        from humwatch.detectors.networks.idnn import Interpolation
        from humwatch.detectors.reconstruction.network import initialised

        super().__init__()
        hp = detector.hyperparameters
        self.network = initialised(detector.build, hp, bins, 0)
        self.network.load_state_dict(tensors(detector.state()))
        self.predicted = self.network.middle if isinstance(self.network, Interpolation) else slice(None)
        self.machines, self.pool = len(machines), POOLINGS[score]
        self.least, self.hop = hp.window, detector.hop

    def forward(self, frames: Tensor) -> Tensor:
        first = torch.arange(0, frames.shape[0] - self.least + 1, self.hop)
        places = first[:, None] + torch.arange(self.least)
        windows = frames.index_select(0, places.flatten()).unflatten(0, places.shape).flatten(1)
        windows = self.network.scale(windows)
        outputs = self.network(windows, *self.network.noise(windows, None))
        made = outputs[0] if isinstance(outputs, tuple) else outputs
        errors = (made - windows[:, self.predicted]).square().mean(dim=1).double()
        return self.pool(errors).expand(self.machines)


def _median(errors: Tensor) -> Tensor:
    ordered, count = errors.sort().values, errors.shape[0]
    return ordered[(count - 1) // 2 : count // 2 + 1].mean()


def _top_k(errors: Tensor) -> Tensor:
    ordered = errors.sort(descending=True).values
    place = torch.arange(errors.shape[0])
    top = (place < (TOP_SHARE * number(errors).double()).round().clamp(min=1)).double()
    return (ordered * top).sum() / top.sum()


POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {  # as `pooling.pool`
    "mean": torch.mean,
    "median": _median,
    "std": lambda errors: errors.std(correction=0),
    "max": torch.max,
    "top_k": _top_k,
}


class Statistics(nn.Module):
    """As `ClipStatistics`: frames to (size,) float64.

    Attributes
    ----------
    frames
        That a clip must have; 0 for any number.
    """

    def __init__(self, statistics: ClipStatistics) -> None:
        super().__init__()
        self.transform = Transform(statistics.transform.floor)
        self.frames, self.kind = statistics.frames, statistics.statistics

    def forward(self, frames: Tensor) -> Tensor:
        if self.frames:
            return self.transform(exactly(frames, self.frames)).flatten()
        if gamma := GAMMAS.get(self.kind):
            values = self.transform(frames)
            distance = torch.linalg.vector_norm(values - values.mean(dim=0), dim=1)
            most = distance.max()
            weights = torch.where(most > 0, distance / torch.where(most > 0, most, 1.0), 1.0) ** gamma
            return weights @ values / weights.sum()
        ordered = self.kind in ("auto", "quantiles")
        values = self.transform(frames.T.sort(dim=1).values.T if ordered else frames)
        found = [values.mean(dim=0)]
        if self.kind == "scales":
            return torch.cat(found + [_deviation(values, scale) for scale in SCALES])
        if self.kind != "mean":
            found.append(values.std(dim=0, correction=0))
        if ordered:
            place = torch.tensor(QUANTILES, dtype=torch.float64) * (frames.shape[0] - 1)
            low, high = values[place.floor().long()], values[place.ceil().long()]
            found.append((low + (high - low) * place.frac()[:, None]).flatten())
        return torch.cat(found)


def _deviation(values: Tensor, scale: int) -> Tensor:
    """As that of `clip_statistics`; the last block, if not whole, is there and does not count, as none may be without frames."""
    frames = values.shape[0]
    blocks = (frames + scale - 1) // scale
    padded = nn.functional.pad(values, (0, 0, 0, scale - 1))[: blocks * scale]
    means = padded.reshape(blocks, scale, values.shape[1]).mean(dim=1)
    whole = (torch.arange(blocks) < frames // scale).double()[:, None]
    count = whole.sum().clamp(min=1)
    mean = (whole * means).sum(dim=0) / count
    return ((whole * (means - mean) ** 2).sum(dim=0) / count).sqrt()


class Transform(nn.Module):
    """As `clip_statistics.Transform`."""

    floor: Tensor

    def __init__(self, floor: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("floor", torch.from_numpy(floor))

    def forward(self, frames: Tensor) -> Tensor:
        values = frames.double()
        return torch.log(values.clamp(min=0) + self.floor) if len(self.floor) else values


class PerMachine(Part):
    """As `PerMachineDetector.score`.

    Parameters
    ----------
    vector
        From frames to what the models look at.
    raw
        Makes the module of a machine's model: from that to the raw score of the kind of this number, ().
    """

    def __init__(
        self,
        detector: PerMachineDetector,
        machines: Sequence[str],
        score: str,
        vector: nn.Module,
        raw: Callable[[dict[str, np.ndarray], int], nn.Module],
    ) -> None:
        super().__init__()
        self.vector = vector
        self.heard = [similar(machine, detector.models) for machine in machines]
        self.names = list(dict.fromkeys(name for names in self.heard for name in names))
        models = [detector.models[name] for name in self.names]
        kinds = [int(m["kind"]) if score == "score" else [*detector.kinds].index(score) for m in models]
        self.raw = nn.ModuleList(raw(model, kind) for model, kind in zip(models, kinds, strict=True))
        self.normal = [model["normal"][:, kind].tolist() for model, kind in zip(models, kinds, strict=True)]
        if frames := detector.statistics.frames:
            self.least = self.most = frames

    def forward(self, frames: Tensor) -> Tensor:
        vector = self.vector(frames)
        scores = {
            name: (raw(vector) - center) / spread
            for name, raw, (center, spread) in zip(self.names, self.raw, self.normal, strict=True)
        }
        return torch.stack([torch.stack([scores[name] for name in names]).min() for names in self.heard])


@part.register(mahalanobis.Detector)
def _(detector: mahalanobis.Detector, machines: Sequence[str], score: str, bins: int) -> Part:
    return PerMachine(detector, machines, score, Statistics(detector.statistics), Mahalanobis)


class Mahalanobis(nn.Module):
    """As `mahalanobis.Detector.score_one`."""

    mean: Tensor
    whiten: Tensor

    def __init__(self, model: dict[str, np.ndarray], kind: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(model["mean"]))  # (domains, size)
        self.register_buffer("whiten", torch.from_numpy(model["whiten"]))

    def forward(self, vector: Tensor) -> Tensor:
        return ((vector - self.mean) @ self.whiten).square().sum(dim=1).min()


@part.register(gmm.Detector)
def _(detector: gmm.Detector, machines: Sequence[str], score: str, bins: int) -> Part:
    r = detector.hyperparameters.r
    vector = Transform(detector.statistics.transform.floor)
    return PerMachine(detector, machines, score, vector, lambda model, kind: Mixture(model, kind, r[kind]))


class Mixture(nn.Module):
    """As `gmm.Detector.score_one`, of one r."""

    offsets: Tensor
    std: Tensor
    centres: Tensor
    whiten: Tensor
    constant: Tensor

    def __init__(self, model: dict[str, np.ndarray], kind: int, r: float) -> None:
        super().__init__()
        self.r = r
        whiten = model["whiten"][kind]  # (components, bins, bins)
        diagonals = np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(axis=1)
        arrays = {
            "offsets": model["offsets"][:, kind] + model["mean"][kind],  # (domains, bins)
            "std": model["std"][kind],
            "centres": model["centres"][kind][:, None],
            "whiten": whiten,
            "constant": (0.5 * whiten.shape[1] * np.log(2 * np.pi) - diagonals)[:, None],
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def forward(self, frames: Tensor) -> Tensor:
        if self.r in (0, 1):
            weighted = frames.amax(dim=0) if self.r == 0 else frames.mean(dim=0)
        else:
            weights = self.r ** torch.arange(frames.shape[0]).double()
            weighted = weights @ frames.sort(dim=0, descending=True).values / weights.sum()
        x = (weighted - self.offsets) / self.std
        squares = ((x - self.centres) @ self.whiten).square().sum(dim=2)  # (components, domains)
        return (0.5 * squares + self.constant).min()


@part.register(knn.Detector)
def _(detector: knn.Detector, machines: Sequence[str], score: str, bins: int) -> Part:
    def raw(model: dict[str, np.ndarray], kind: int) -> nn.Module:
        p, rows = detector.hyperparameters, detector.statistics.rows
        return Neighbours(model, kind, parts(rows, bins, p.parts, p.groups), p.top, detector.backend)

    return PerMachine(detector, machines, score, Statistics(detector.statistics), raw)


class Neighbours(nn.Module):
    """As `knn.Detector.score_one`.

    Parameters
    ----------
    index
        As from `local_density.parts`.
    top
        Strangest parts that count.
    """

    def __init__(
        self, model: dict[str, np.ndarray], kind: int, index: dict[str, np.ndarray], top: int, backend: LocalDensity
    ) -> None:
        super().__init__()
        self.kind = kind
        self.index = [torch.from_numpy(found) for found in index.values()]
        self.top = [min(top, len(found)) for found in index.values()]
        self.density = nn.ModuleList(Density(under(f"{name}_", model), backend) for name in index)

    def forward(self, vector: Tensor) -> Tensor:
        strangest = [
            density(vector[index]).topk(top, dim=0).values.mean(dim=0)
            for density, index, top in zip(self.density, self.index, self.top, strict=True)
        ]
        mean = torch.stack(strangest).mean(dim=0)  # KINDS of local_density
        return mean.min() if self.kind == 2 else mean[self.kind] if self.kind < 2 else strangest[self.kind - 3][0]


class Density(nn.Module):
    """As `LocalDensity.score` of several models at once: vectors (models, size) to (models, KINDS) float64.

    Parameters
    ----------
    model
        The models' arrays, stacked.
    """

    mean: Tensor
    whiten: Tensor
    clips: Tensor
    squares: Tensor
    spacing: Tensor
    own: Tensor

    def __init__(self, model: dict[str, np.ndarray], backend: LocalDensity) -> None:
        super().__init__()
        for name in ("mean", "whiten", "clips", "spacing", "own"):
            if name in model:
                self.register_buffer(name, torch.from_numpy(model[name]))
        self.whitens = "whiten" in model
        self.register_buffer("squares", self.clips.double().square().sum(dim=2))
        domains = model["domain"][0]
        self.banks = [torch.from_numpy(np.flatnonzero(domains == domain)) for domain in np.unique(domains)]
        self.counts = [int(np.clip(len(bank) // SHARE, 1, backend.neighbours)) for bank in self.banks]

    def forward(self, vectors: Tensor) -> Tensor:
        x = vectors - self.mean
        x = ((x[:, None] @ self.whiten)[:, 0] if self.whitens else x).float()
        exact = x.double()
        products = (self.clips.double() @ exact[:, :, None])[:, :, 0]
        squares = self.squares - 2 * products + exact.square().sum(dim=1, keepdim=True)
        distances = squares.float().clamp(min=0).sqrt()
        ratios: list[Tensor] = []
        nearest: list[Tensor] = []
        for bank, count in zip(self.banks, self.counts, strict=True):
            for found, to in ((ratios, distances / self.spacing), (nearest, distances)):
                to_bank = to if len(self.banks) == 1 else to[:, bank]
                found.append(to_bank.topk(count, dim=1, largest=False).values.mean(dim=1))
        kinds = [torch.stack(ratios).amin(dim=0), torch.stack(nearest).amin(dim=0), x.square().sum(dim=1)]
        raw = torch.stack(kinds, dim=1).clamp(min=SMALLEST).double().log()
        return (raw - self.own[:, 0]) / self.own[:, 1]


@part.register(id_classifier.Detector)
class IdClassifier(Part):
    """As `id_classifier.Detector.score`."""

    mean: Tensor
    std: Tensor

    def __init__(self, detector: id_classifier.Detector, machines: Sequence[str], score: str, bins: int) -> None:
        from humwatch.detectors.networks.members import Member, Members

        super().__init__()
        rate = detector.feature.get("sample_rate", id_classifier.SAMPLE_RATE)
        found = Members(detector.hyperparameters, detector.shape, rate, len(detector.classes), detector._pseudo)
        found.set_state(detector.state())
        members = cast(list[Member], [*found.average.module.children()])
        self.networks = nn.ModuleList(_for_onnx(member.network, rate) for member in members)
        self.heads = nn.ModuleList(member.head for member in members)
        self.score, self.samples = score, int(np.prod(detector.shape)) if detector.hears else 0
        self.neighbours: Part | None = None
        if detector.neighbours is None:
            self.least = self.most = self.samples // bins
        else:
            self.statistics = Statistics(detector.statistics)
            self.register_buffer("mean", torch.from_numpy(detector.mean))
            self.register_buffer("std", torch.from_numpy(detector.std))
            self.neighbours = part(detector.neighbours, machines, "local_density", bins)
            self.least, self.most = self.neighbours.least, self.neighbours.most
        self.heard = [similar(machine, detector.memory) for machine in machines]
        self.names = list(dict.fromkeys(name for names in self.heard for name in names))
        memories = [detector.memory[name] for name in self.names]
        stacked = [{key: array[None] for key, array in memory.items()} for memory in memories]
        self.densities = nn.ModuleList(
            nn.ModuleList(
                Density(under(f"{kind}_", memory), backend) for kind, backend in id_classifier.MEMORIES.items()
            )
            for memory in stacked
        )
        self.normal = [torch.from_numpy(memory["normal"]) for memory in memories]
        variants = found.variants
        self.own = [[i * variants for i, (n, _) in enumerate(detector.classes) if n == name] for name in self.names]

    def forward(self, frames: Tensor) -> Tensor:
        if self.neighbours is None:
            x = exactly(frames.flatten(), self.samples)[None]
        else:
            x = ((self.statistics(frames) - self.mean) / self.std).float()[None]
        each = [network(x) for network in self.networks]
        logits = torch.stack([head(e).double() for head, e in zip(self.heads, each, strict=True)])
        log_probability = logits.log_softmax(dim=2).mean(dim=0)[0]
        unit = torch.cat([F.normalize(e) for e in each], dim=1) / math.sqrt(len(each))
        kinds = {}
        for name, densities, own, normal in zip(self.names, self.densities, self.own, self.normal, strict=True):
            unlikely = (-log_probability[own].max()).clamp(min=SMALLEST).log()
            far = [density(unit)[0, 0] for density in cast(nn.ModuleList, densities)]
            kinds[name] = (torch.stack([unlikely, *far]) - normal[0]) / normal[1]
        least = torch.stack([torch.stack([kinds[name] for name in names]).amin(dim=0) for names in self.heard], dim=1)
        scores = dict(zip(id_classifier.KINDS, least, strict=True))
        if self.neighbours is not None:
            scores["local_density"] = self.neighbours(frames)
        if self.score in scores:
            return scores[self.score]
        weights = [id_classifier.WEIGHTS.get(name, 1.0) for name in scores]
        return (torch.stack([*scores.values()]) * torch.tensor(weights)[:, None]).sum(dim=0) / sum(weights)


def _for_onnx(network: Any, rate: int) -> nn.Module:
    """A network, with Fourier transforms that are fast and exact in ONNX."""
    from humwatch.detectors.networks.dual_branch import DualBranch
    from humwatch.detectors.networks.stgram import STgramMFN

    if isinstance(network, STgramMFN):
        network.logmel = cast(Any, Transposed(front_end(logmel.Feature(), rate, network.samples)))
    if isinstance(network, DualBranch):
        branch, magnitudes = network.spectrum, Magnitudes(network.samples)
        network.spectrum = cast(
            Any, nn.Sequential(magnitudes, nn.Unflatten(1, (1, -1)), branch.convolutions, branch.dense)
        )
    return network


class Transposed(nn.Module):
    """Samples (1, samples) to (1, bins, frames)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, samples: Tensor) -> Tensor:
        return self.module(samples).T[None]


@part.register(auto.Detector)
class Auto(Part):
    """As `auto.Detector.score`."""

    def __init__(self, detector: auto.Detector, machines: Sequence[str], score: str, bins: int) -> None:
        super().__init__()
        self.heard = [similar(machine, detector.scales) for machine in machines]
        self.names = list(dict.fromkeys(name for names in self.heard for name in names))
        kept = {name: detector.kept[type_of(name)] for name in self.names}
        self.of = {c: [n for n in self.names if c in kept[n]] for c in detector.fitted}
        found = {
            c: part(detector.fitted[c], names, detector.fitted[c].default_score, bins)
            for c, names in self.of.items()
            if names
        }
        self.candidates = nn.ModuleDict(found)
        self.scales = {name: {c: detector.scales[name][c] for c in kept[name]} for name in self.names}
        self.least, self.most = bounds(found.values())

    def forward(self, frames: Tensor) -> Tensor:
        found = {c: dict(zip(self.of[c], module(frames), strict=True)) for c, module in self.candidates.items()}
        fused = {
            name: torch.stack([(found[c][name] - mean) / std for c, (mean, std) in scales.items()]).mean()
            for name, scales in self.scales.items()
        }
        return torch.stack([torch.stack([fused[name] for name in names]).min() for names in self.heard])


def bounds(parts: Iterable[Part]) -> tuple[int, int | None]:
    """The fewest and the most frames that all of them take."""
    every = [*parts]
    return max(p.least for p in every), min((p.most for p in every if p.most is not None), default=None)


def exactly(values: Tensor, count: int) -> Tensor:
    """The first `count` values or frames; a clip that has another number of them is refused elsewhere."""
    return values.index_select(0, torch.minimum(torch.arange(count), number(values) - 1))
