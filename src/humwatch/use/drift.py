"""Whether a machine's normal sound is still the sound that its threshold was taken from.

A conformal test martingale. As long as new normal windows are exchangeable with the calibration clips, the rank of each among
all before it is uniform and independent of the others; bets against that make a capital, beginning with 1, whose expectation
stays 1. By Ville's inequality it ever reaches LIMIT with probability 1 / LIMIT at most: that is the false-alarm rate of the
whole life of the check, however many windows it hears, and not one for each window.

Ranks are taken among calibration scores *and* the windows heard before: against n calibration scores alone, p-values of a
perfectly normal machine are off by some 1 / sqrt(n) for good, and every such test would alarm in the end. Windows that are
alarms are left out, as are the calibration scores above the threshold: a fault is no drift.

References
----------
Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World", chapter 7.
Vovk et al. 2021, "Retrain or not retrain: conformal test martingales for change-point detection".
"""

import numpy as np

LIMIT = 100.0
# Scores are counted in cells, so many to their standard deviation: memory is constant.
CELLS_PER_DEVIATION = 64
CELLS = 64 * CELLS_PER_DEVIATION  # 32 standard deviations to either side of the median
_STAKES = np.array([-1.9, -1.0, -0.5, 0.5, 1.0, 1.9])  # between -2 and 2, where a bet can lose everything


class Drift:
    """The running check of one machine.

    Parameters
    ----------
    calibration_scores : (clips,)
        Those of the normal clips.
    threshold
        The score above which a window is an alarm.

    Attributes
    ----------
    capital
        What the bets have made of 1.
    moved
        Whether it has ever reached LIMIT.
    """

    def __init__(self, calibration_scores: np.ndarray, threshold: float) -> None:
        normal = calibration_scores[calibration_scores <= threshold]
        self.threshold = threshold
        self.capital, self.moved = 1.0, False
        self._median = float(np.median(normal))
        self._cell = max(float(normal.std()), 1e-9 * abs(self._median), 1e-30) / CELLS_PER_DEVIATION
        self._counts = np.zeros(CELLS + 1, np.int64)
        np.add.at(self._counts, [self._cell_of(score) for score in normal], 1)
        self._heard = 0
        self._stakes = np.zeros(2 * len(_STAKES))
        self._random = np.random.default_rng(0)  # breaks ties; replaying a history ends in the same state

    def update(self, score: float) -> bool:
        """Take the score of a window; True the one time that the capital reaches LIMIT."""
        if score > self.threshold or self.moved:
            return False
        cell = self._cell_of(score)
        above, same = self._counts[cell + 1 :].sum(), self._counts[cell]
        p = (above + self._random.random() * (same + 1)) / (self._counts.sum() + 1)
        self._counts[cell] += 1
        self._bet(p)
        self.moved = self.capital >= LIMIT
        return self.moved

    def _bet(self, p: float) -> None:
        """Bet that p-values are smaller or larger than they should be, or nearer to the ends or to the middle.

        Window t stakes 1 / (t (t + 1)) of the capital that is not yet at stake, 1 / t: a change may come late.
        """
        self._heard += 1
        new = 1 / (self._heard * (self._heard + 1))
        gains = np.concatenate([1 + _STAKES * (p - 0.5), 1 + _STAKES * (abs(2 * p - 1) - 0.5)])
        self._stakes = (self._stakes + new / len(self._stakes)) * gains
        self.capital = float(self._stakes.sum()) + 1 / (self._heard + 1)

    def _cell_of(self, score: float) -> int:
        return int(np.clip(np.rint((score - self._median) / self._cell), -CELLS // 2, CELLS // 2)) + CELLS // 2
