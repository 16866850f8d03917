"""How far a vector is from normal ones, measured by how far these are from each other.

Local density normalisation (Wilkinghoff et al. 2025, "Keeping the balance: anomaly score calculation for domain generalization",
https://arxiv.org/abs/2411.14200): where normal vectors lie far apart, a distance from them means less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from humwatch.detectors.backends import SMALLEST, distances, gaussian

WHITENINGS = ("shrinkage", "ledoit_wolf", "standardise", "none")
RESCALINGS = ("local_density", "varmin", "none")
KINDS = ("local_density", "distance", "gaussian")
EXPONENTS = np.arange(0, 1.55, 0.1)
SHARE = 10  # a bank of so many vectors per neighbour


@dataclass(frozen=True)
class LocalDensity:
    """Normal vectors of one machine, kept as a bank per domain; models are named arrays.

    Attributes
    ----------
    neighbours
        Smallest ratios that a score is the mean over. Of a bank of fewer than ten times as many vectors, a tenth of them.
    density_neighbours
        Neighbours of a normal vector that its spacing is the mean distance to.
    whitening
        "shrinkage" and "ledoit_wolf" make the vectors' correlations vanish, as far as the shrinkage of their covariance
        towards the identity lets them (see `backends.gaussian`); "standardise" scales dimensions alone.
    shrinkage
        From 0 to 1; of "shrinkage" alone.
    rescaling
        What distances to a normal vector are divided by: "local_density" its spacing, "varmin" the power of it under which
        the logarithms of normal vectors' scores vary least, "none" nothing.
    most
        Vectors that are kept, drawn by chance from more of them; None: all.
    """

    neighbours: int = 5
    density_neighbours: int = 16
    whitening: str = "shrinkage"
    shrinkage: float = 0.5
    rescaling: str = "local_density"
    most: int | None = None

    def fit(self, vectors: np.ndarray, domains: np.ndarray) -> dict[str, np.ndarray]:
        """A model of normal vectors, each of which is kept in the bank of its domain.

        Parameters
        ----------
        vectors : (clips, size)
        domains : (clips,) int
        """
        model = self._whitener(vectors)
        x = self._whitened(model, vectors)
        kept = self._kept(domains)
        found = _distances(x[kept], x)
        found[np.arange(len(kept)), kept] = np.inf if len(x) > 1 else 0
        model |= {"clips": x[kept], "spacing": self._spacing(found), "domain": domains[kept].astype(np.int32)}
        if self.rescaling == "varmin":
            powers = [model["spacing"] ** power for power in EXPONENTS.astype(np.float32)]
            variances = [self._logarithms(model | {"spacing": power}, x, found.T)[:, 0].var() for power in powers]
            model["spacing"] = powers[int(np.argmin(variances))]
        own = self._logarithms(model, x, found.T)
        std = own.std(axis=0)
        return model | {"own": np.stack([np.median(own, axis=0), np.where(std > 0, std, 1)])}

    def score(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        """Scores in units of those of the normal vectors, each of which was left out for its own.

        Of several domains' banks, the nearest counts.

        Parameters
        ----------
        vectors : (clips, size)

        Returns
        -------
        (clips, KINDS)
        """
        center, spread = model["own"]
        x = self._whitened(model, vectors)
        return (self._logarithms(model, x, distances(x, model["clips"])) - center) / spread

    def _kept(self, domains: np.ndarray) -> np.ndarray:
        """Rows that are remembered: of each bank as many as of the others, as far as there are."""
        if self.most is None or len(domains) <= self.most:
            return np.arange(len(domains))
        banks, draw = _banks(domains), np.random.default_rng(0)
        return np.sort(np.concatenate([draw.permutation(bank)[: max(self.most // len(banks), 1)] for bank in banks]))

    def _whitener(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        if self.whitening == "none":
            return {"mean": vectors.mean(axis=0)}
        shrinkages = {"shrinkage": self.shrinkage, "standardise": 1.0}
        mean, whiten = gaussian(vectors, shrinkages.get(self.whitening, self.whitening))
        return {"mean": mean, "whiten": whiten}

    def _whitened(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        x = vectors - model["mean"]
        return (x @ model["whiten"] if "whiten" in model else x).astype(np.float32)

    def _spacing(self, found: np.ndarray) -> np.ndarray:
        """Of normal vectors, (kept,) float32: found, their distances from all, (kept, clips), infinite from themselves."""
        count = min(self.density_neighbours, found.shape[1] - 1)
        if self.rescaling == "none" or count == 0:
            return np.ones(len(found), np.float32)
        spacing = _mean_of_smallest(found, count)
        # Copies of one recording have no spacing, which must not make all other sounds infinitely far.
        return np.maximum(spacing, 0.01 * (spacing.mean() or 1)).astype(np.float32)

    def _logarithms(self, model: dict[str, np.ndarray], x: np.ndarray, found: np.ndarray) -> np.ndarray:
        """(clips, KINDS). x: whitened (clips, size); found: their distances from those kept, (clips, kept)."""
        nearest = []
        for bank in _banks(model["domain"]):
            count = int(np.clip(len(bank) // SHARE, 1, self.neighbours))
            to_bank = found[:, bank]
            nearest.append([_mean_of_smallest(d, count) for d in (to_bank / model["spacing"][bank], to_bank)])
        ratio, distance = np.min(nearest, axis=0)
        return np.log(np.maximum(np.column_stack([ratio, distance, np.square(x).sum(axis=1)]), SMALLEST), dtype=float)


def parts(rows: int, bins: int, which: str, groups: int) -> dict[str, np.ndarray]:
    """Which dimensions of a vector, which consists of rows of bins, make a part.

    Parameters
    ----------
    which
        "bands": each row by itself, which is a modulation band, or a statistic over time. "groups": groups of adjacent bins, all
        rows of them, equally wide, so that they overlap where bins do not divide. "both" of them; or "none", the whole vector.
    groups
        How many there are.

    Returns
    -------
    dict of (parts, size) int
        By the way of cutting the vector.
    """
    index = np.arange(rows * bins).reshape(rows, bins)
    width = -(-bins // groups)
    firsts = np.linspace(0, bins - width, min(groups, bins)).round().astype(int)
    found = {"bands": index, "groups": np.stack([index[:, first : first + width].reshape(-1) for first in firsts])}
    if which == "none":
        return {"whole": index.reshape(1, -1)}
    return found if which == "both" else {which: found[which]}


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """As `backends.distances`, in half the time, since it is exact to six digits of the vectors' lengths only."""
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * (x @ y.T)
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def _mean_of_smallest(values: np.ndarray, count: int) -> np.ndarray:
    return np.partition(values, count - 1, axis=1)[:, :count].mean(axis=1)


def _banks(domains: np.ndarray) -> Sequence[np.ndarray]:
    """Rows of each domain."""
    return [np.flatnonzero(domains == domain) for domain in np.unique(domains)]
