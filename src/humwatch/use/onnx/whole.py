"""A detector as one torch module: from the samples of a window to its scores, p-values and deviations from normal."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from humwatch.errors import InputError
from humwatch.evaluation.thresholds import Calibration
from humwatch.features.base import BaseFeature
from humwatch.use import explain
from humwatch.use.detector import Detector, Machine, Member
from humwatch.use.onnx.front_ends import FrontEnd, front_end, number
from humwatch.use.onnx.parts import bounds, part

OUTPUTS = ("score", "p_value", "map")


class Whole(nn.Module):
    """Samples (1, samples) to scores and p-values (machines,) float64, and deviations (machines, frames, bins) in dB.

    They are those of `Detector.judge`. Where the window is shorter or longer than the detector can take, scores are NaN.

    Attributes
    ----------
    least, most
        Samples of a window.

    Raises
    ------
    InputError
        A part of the detector cannot be exported.
    """

    def __init__(self, detector: Detector, machines: Sequence[Machine]) -> None:
        super().__init__()
        members = [_Member(member, machines) for member in detector.members]
        features = [member.feature for member in detector.members]
        every = list(dict.fromkeys([*features, explain.FEATURE]))
        front_ends = [_front_end(feature, detector) for feature in every]
        self.front_ends, self.members = nn.ModuleList(front_ends), nn.ModuleList(members)
        self.heard, self.levels = [every.index(feature) for feature in features], every.index(explain.FEATURE)
        lengths = [front_ends[i].lengths(m.least, m.most) for i, m in zip(self.heard, members, strict=True)]
        self.least, self.most = max(least for least, _ in lengths), min(most for _, most in lengths)
        self.p_values = PValues([detector.calibration(machine) for machine in machines])
        self.map = Deviations([detector.reference(machine) for machine in machines])

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        frames = [front_end(samples) for front_end in self.front_ends]
        each = [member(frames[i]) for member, i in zip(self.members, self.heard, strict=True)]
        scores = torch.stack(each).mean(dim=0)
        count = number(samples[0])
        scores = torch.where((count >= self.least) & (count <= self.most), scores, torch.nan)
        return scores, self.p_values(scores), self.map(frames[self.levels])


def _front_end(feature: BaseFeature, detector: Detector) -> FrontEnd:
    if feature.hears_far:
        raise InputError(
            f"the feature {feature.name} hears several microphones, and an ONNX file the samples of one: pack a detector of "
            "another feature"
        )
    return front_end(feature, detector.sample_rate, detector.longest)


class _Member(nn.Module):
    """Frames to standardised scores (machines,) of one member; of its models, one for each scope.

    Attributes
    ----------
    least, most
        Frames that a clip may have; most None: any number.
    """

    scales: Tensor
    order: Tensor

    def __init__(self, member: Member, machines: Sequence[Machine]) -> None:
        super().__init__()
        of_model: dict[int, list[int]] = {}
        for i, machine in enumerate(machines):
            of_model.setdefault(id(member.models[machine]), []).append(i)
        parts = [
            part(
                member.models[machines[own[0]]],
                ["/".join(machines[i]) for i in own],
                member.score_name,
                member.feature.bins,
            )
            for own in of_model.values()
        ]
        self.parts = nn.ModuleList(parts)
        self.register_buffer("order", torch.tensor(np.argsort(np.concatenate([*of_model.values()]))))
        scales = [member.scales.get(machine, (0.0, 1.0)) for machine in machines]
        self.register_buffer("scales", torch.tensor(scales, dtype=torch.float64))
        self.least, self.most = bounds(parts)

    def forward(self, frames: Tensor) -> Tensor:
        scores = torch.cat([part(frames) for part in self.parts])[self.order]
        return (scores - self.scales[:, 0]) / self.scales[:, 1]


class PValues(nn.Module):
    """As `Calibration.p_values`: of a score of each machine, (machines,)."""

    ordered: Tensor
    above: Tensor
    counts: Tensor
    tails: Tensor

    def __init__(self, calibrations: Sequence[Calibration]) -> None:
        super().__init__()
        counts = [len(calibration.scores) for calibration in calibrations]
        ordered = np.full((len(counts), max(counts)), np.inf)
        above = np.zeros((len(counts), max(counts) + 1))  # p-values by the place of a score among the ordered ones
        tails = []
        for i, (calibration, count) in enumerate(zip(calibrations, counts, strict=True)):
            ordered[i, :count], found = calibration.ordered
            above[i, : count + 1] = (1 + found) / (calibration.sessions + 1)
            tail = calibration.tail
            tails.append([tail.start, tail.total, tail.above, tail.share if calibration.extrapolated else np.inf])
        self.register_buffer("ordered", torch.from_numpy(ordered))
        self.register_buffer("above", torch.from_numpy(above))
        self.register_buffer("counts", torch.tensor(counts))
        self.register_buffer("tails", torch.tensor(tails, dtype=torch.float64).T.contiguous())

    def forward(self, scores: Tensor) -> Tensor:
        first = (self.ordered < scores[:, None]).sum(dim=1)
        p = self.above.gather(1, first[:, None])[:, 0]
        start, total, above, share = self.tails
        beyond = share * (1 + (scores - start).clamp(min=0) / total) ** -above
        p = torch.where(first == self.counts, torch.minimum(p, beyond), p)
        return torch.where(scores.isnan(), torch.nan, p)


class Deviations(nn.Module):
    """Log-mel levels (frames, bins) to how many dB they are above a machine's normal ones, (machines, frames, bins).

    Levels are smoothed as `explain.deviation_map` does it: that smoothing counts which is farthest from what is tolerated.
    """

    median: Tensor
    spread: Tensor

    def __init__(self, references: Sequence[explain.Reference]) -> None:
        super().__init__()
        self.register_buffer("median", torch.from_numpy(np.stack([r.median for r in references]))[:, :, None])
        self.register_buffer("spread", torch.from_numpy(np.stack([r.spread for r in references]))[:, :, :, None])

    def forward(self, levels: Tensor) -> Tensor:
        levels = levels.clamp(min=explain.QUIET_DB)[None, None]
        found = farthest = torch.zeros(())
        for i, (time, bins) in enumerate(explain.SMOOTHINGS):
            edges = (bins // 2, (bins - 1) // 2, time // 2, (time - 1) // 2)
            smooth = F.avg_pool2d(F.pad(levels, edges, mode="replicate"), (time, bins), stride=1)[0]
            above = smooth - self.median[:, i]
            strength = torch.maximum(above / self.spread[:, i, 1], -above / self.spread[:, i, 0])
            found = torch.where(strength > farthest, above, found) if i else above
            farthest = torch.maximum(strength, farthest) if i else strength
        return found
