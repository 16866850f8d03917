"""From embeddings to classes: angular heads, their losses, and ways to mix or multiply the classes.

Both heads take embeddings (batch, size) and return scaled logits (batch, classes). The loss is
`torch.nn.functional.cross_entropy(logits, labels)`, which takes class numbers (batch,) int64 as well as soft labels
(batch, classes).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ArcFace(nn.Module):
    """Additive angular margin; with sub-clusters the nearest centre of a class counts.

    logit_c = scale * cos(theta_c + margin * y_c), where y_c is the label of class c: 0 or 1, or a share between them,
    so that a clip mixed of two classes gets a margin on each, in proportion.
    Without labels there is no margin. Beyond theta = pi - margin, where the cosine would rise again, the logit
    goes on falling as scale * (cos(theta) - margin * sin(margin)).

    References
    ----------
    Deng et al. 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition".
    Deng et al. 2020, "Sub-center ArcFace: Boosting Face Recognition by Large-Scale Noisy Web Faces".
    """

    def __init__(
        self, embedding_size: int, classes: int, margin: float = 0.7, scale: float = 30.0, subclusters: int = 1
    ):
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.centres = nn.Parameter(_centres(embedding_size, classes, subclusters))

    def forward(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        cosine = _cosine(embedding, self.centres).amax(dim=2)  # (batch, classes)
        if labels is None:
            return self.scale * cosine
        margin = self.margin * _soft(labels, cosine)  # (batch, classes)
        sine = (1 - cosine.square()).clamp(min=1e-12).sqrt()
        with_margin = cosine * margin.cos() - sine * margin.sin()
        return self.scale * torch.where(cosine > -margin.cos(), with_margin, cosine - margin * margin.sin())


class SubclusterAdaCos(nn.Module):
    """Several centres per class and a scale that needs no tuning.

    A class's probability is the sum over its centres, hence logit_c = log sum_k exp(scale * cos(theta_ck)).
    The scale is sqrt(2) * ln(classes * subclusters - 1).

    References
    ----------
    Wilkinghoff 2021, "Sub-cluster AdaCos: Learning representations for anomalous sound detection".
    Wilkinghoff 2023, "Design choices for learning embeddings from auxiliary tasks for domain generalization in anomalous sound
    detection".
    Zhang et al. 2019, "AdaCos: Adaptively scaling cosine logits for effectively learning deep face representations".
    """

    scale: Tensor

    def __init__(self, embedding_size: int, classes: int, subclusters: int = 16, trainable: bool = True):
        super().__init__()
        if classes * subclusters < 3:
            raise ValueError(
                f"sub-cluster AdaCos needs 3 centres or more for a positive scale, got {classes} classes x {subclusters}."
            )
        self.centres = nn.Parameter(_centres(embedding_size, classes, subclusters), requires_grad=trainable)
        self.register_buffer("scale", torch.tensor(math.sqrt(2) * math.log(classes * subclusters - 1)))

    def forward(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        cosine = _cosine(embedding, self.centres)  # (batch, classes, subclusters)
        return torch.logsumexp(self.scale * cosine, dim=2)


def mixup(wave: Tensor, labels: Tensor, probability: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each clip with another of its batch, with the given probability.

    Parameters
    ----------
    wave : (batch, samples)
    labels : (batch, classes)
        One-hot.
    generator
        On the CPU, the only source of chance.

    Returns
    -------
    wave : (batch, samples)
    labels : (batch, classes)
        Soft.

    References
    ----------
    Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
    """
    partner, lam = draw_mixup(len(wave), probability, generator)
    return mix(wave, partner, lam), mix(labels, partner, lam)


def draw_mixup(batch: int, probability: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw what `mix` mixes.

    Returns
    -------
    partner : (batch,) int64
        Of each clip, never itself.
    lam : (batch,)
        Each clip's own share, uniform in [0, 1] (Wilkinghoff 2023); 1 where it stays unmixed.
    """
    partner = _partners(batch, generator)
    lam = torch.rand(batch, generator=generator)
    return partner, lam.where(torch.rand(batch, generator=generator) < probability, 1.0)


def mix(values: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """The sum lam * values + (1 - lam) * values[partner], clip by clip.

    Parameters
    ----------
    values : (batch, ...)
    partner, lam : (batch,)
        As from `draw_mixup`.

    Returns
    -------
    (batch, ...)
    """
    lam = lam.to(values)[:, None]
    return lam * values + (1 - lam) * values[partner.to(values.device)]


def feature_exchange(
    embedding: Tensor, labels: Tensor, probability: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """FeatEx: give a clip another clip's spectrogram half, and ask the head whose the halves are.

    The result goes to a head of its own, with 3 * classes and trainable centres, whose loss is added to that of the plain
    head. Worth it where ids are few: the task is harder.

    Parameters
    ----------
    embedding : (batch, 256)
        The two branches of `DualBranch` one after the other.
    labels : (batch, classes)

    Returns
    -------
    embedding : (batch, 256)
    labels : (batch, 3 * classes)
        (y, 0, 0) for a clip left as it is, and (0, y / 2, y_partner / 2) for an exchanged one.

    References
    ----------
    Wilkinghoff 2024, "Self-supervised learning for anomalous sound detection".
    """
    partner = _partners(len(embedding), generator).to(embedding.device)
    exchanged = (torch.rand(len(embedding), generator=generator) < probability).to(embedding.device)[:, None]
    spectrum, spectrogram = embedding.chunk(2, dim=1)
    spectrogram = torch.where(exchanged, spectrogram[partner], spectrogram)
    zero = torch.zeros_like(labels)
    as_it_is = torch.cat([labels, zero, zero], dim=1)
    halves = torch.cat([zero, labels / 2, labels[partner] / 2], dim=1)
    return torch.cat([spectrum, spectrogram], dim=1), torch.where(exchanged, halves, as_it_is)


def speed_change(wave: Tensor, factor: float) -> Tensor:
    """Play clips faster (factor > 1, higher too) or slower, by linear interpolation.

    The length is kept: a slowed clip loses its end, a hastened one goes on backwards from its end, which leaves no click.
    Makes pseudo-classes: id x factor.

    Parameters
    ----------
    wave : (batch, samples)

    Returns
    -------
    (batch, samples)
    """
    return _read(wave, factor, wave.shape[1])


def pitch_shift(wave: Tensor, semitones: float) -> Tensor:
    """Raise (or lower) the pitch of clips at their own pace.

    A phase vocoder (1024-point, hop 256) stretches the clip in time, then reading it faster squeezes it back. Makes
    pseudo-classes: id x semitones.

    Parameters
    ----------
    wave : (batch, samples)

    Returns
    -------
    (batch, samples)
    """
    factor = 2 ** (semitones / 12)
    window = torch.hann_window(1024, device=wave.device, dtype=wave.dtype)
    spectrum = torch.stft(wave, 1024, 256, window=window, return_complex=True)  # (batch, bins, frames)
    frames = spectrum.shape[2]
    position = torch.arange(0, frames - 1, 1 / factor, device=wave.device)
    left = position.long().clamp(max=frames - 2)
    magnitude = torch.lerp(spectrum.abs()[..., left], spectrum.abs()[..., left + 1], (position - left).to(wave))
    # frames are laid out at the hop they were taken at, so each turns the phase on as its source frame does
    angle = spectrum.angle()
    turn = angle[..., left + 1] - angle[..., left]
    phase = angle[..., :1] + turn.cumsum(dim=2) - turn
    stretched = torch.istft(torch.polar(magnitude, phase), 1024, 256, window=window)
    return _read(stretched, factor, wave.shape[1])


def _read(wave: Tensor, factor: float, samples: int) -> Tensor:
    """The first samples of the clips read at another speed, forwards to their end and backwards from there."""
    last = wave.shape[1] - 1
    position = torch.arange(samples, device=wave.device, dtype=torch.float64) * factor  # float32 is too coarse
    position = last - (last - position % (2 * last)).abs()
    left = position.long().clamp(max=last - 1)
    return torch.lerp(wave[:, left], wave[:, left + 1], (position - left).to(wave))


def _centres(embedding_size: int, classes: int, subclusters: int) -> Tensor:
    flat = nn.init.xavier_uniform_(torch.empty(classes * subclusters, embedding_size))
    return flat.view(classes, subclusters, embedding_size)


def _cosine(embedding: Tensor, centres: Tensor) -> Tensor:
    cosine = F.normalize(embedding, dim=1) @ F.normalize(centres, dim=2).flatten(0, 1).T
    return cosine.view(-1, *centres.shape[:2])  # (batch, classes, subclusters)


def _soft(labels: Tensor, like: Tensor) -> Tensor:
    if labels.is_floating_point():
        return labels.to(like)
    return F.one_hot(labels, like.shape[1]).to(like)


def _partners(batch: int, generator: torch.Generator) -> Tensor:
    """One random cycle through the batch: everyone has a partner, and (from 2 clips on) nobody has itself."""
    order = torch.randperm(batch, generator=generator)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner
