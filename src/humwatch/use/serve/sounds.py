"""The sound of the last alarms: a WAV file of the most anomalous window each, and its picture once somebody looks at it."""

import threading
from pathlib import Path

import numpy as np
import soundfile

from humwatch.files import replacing
from humwatch.use import pictures
from humwatch.use.detector import Decision, Detector


class Sounds:
    """A folder of files named after rows of the history.

    Parameters
    ----------
    folder
        Made when there is something to keep.
    most
        Alarms whose sounds are kept; the oldest go first.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self._lock = threading.Lock()
        self._rows = sorted(int(path.stem) for path in folder.glob("[0-9]*.wav"))
        self._trim()

    def keep(self, row: int, window: np.ndarray, sample_rate: int) -> None:
        """Keep the window, (samples,) or (samples, channels), of a row."""
        if not self.most:
            return
        with replacing(self.folder / f"{row}.wav") as temporary:
            soundfile.write(temporary, window, sample_rate, "PCM_16", format="WAV")  # every browser plays it
        self._rows.append(row)
        self._trim()

    def sound(self, row: int) -> Path | None:
        """The file of a row's sound; None where it is not kept."""
        path = self.folder / f"{row}.wav"
        return path if path.exists() else None

    def picture(self, row: int, detector: Detector, decision: Decision) -> Path | None:
        """The file of a row's picture, which is drawn where it is not there; None where the sound is not kept."""
        path, sound = self.folder / f"{row}.png", self.sound(row)
        with self._lock:
            if sound and not path.exists():
                window, _ = soundfile.read(sound, dtype="float32")
                pictures.draw(detector, window, decision, path)
        return path if sound else None

    def _trim(self) -> None:
        for row in self._rows[: max(0, len(self._rows) - self.most)]:
            for suffix in (".wav", ".png"):
                (self.folder / f"{row}{suffix}").unlink(missing_ok=True)
        self._rows = self._rows[max(0, len(self._rows) - self.most) :]
