"""The demo's recordings: generated slide rails, as WAV files in the layout of DCASE 2020 Task 2.

A motor drives a carriage to and fro on a rail, in a noisy factory. Normal clips hold a sound machine, anomalous ones a
machine with one of the faults of MIMII's slide rails (Purohit et al. 2019, https://arxiv.org/abs/1909.09347): a damaged
rail, a loose belt, no grease. A clip depends on (seed, machine id, split, label, index) alone, so that generating more
clips never changes the others.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.fft
import soundfile as sf

from humwatch.datasets.clip_name import SPLITS
from humwatch.datasets.demo import MACHINE_IDS, MACHINE_TYPE, clips
from humwatch.datasets.source import SAMPLE_RATE, SECONDS
from humwatch.errors import InputError
from humwatch.files import replacing

LABELS = ("normal", "anomaly")
FAULTS = ("rail damage", "loose belt", "no grease")
SNR_DB = -8.0  # the factory rumbles: above 1 kHz, where a carriage is heard sliding, machine and factory are level
LEAK_DB, INCOHERENT_DB = -20.0, -15.0  # of a far microphone
LEVEL_DB = -39.8  # dBFS, rms of machine and factory together, as in the recordings of DCASE 2020


@dataclass(frozen=True)
class Rail:
    """A slide rail.

    Attributes
    ----------
    length
        In m, from end to end.
    speed
        In m/s, when cruising.
    ramp
        Seconds from rest to cruising.
    dwell
        Seconds of rest at either end.
    motor
        Motor periods per m of travel, so that the motor's frequency is motor * speed Hz.
    harmonics
        Amplitudes of the motor's harmonics 1, 2, ... when cruising.
    friction
        RMS of the sliding noise when cruising, on the harmonics' scale.
    resonances
        Of the rail, in Hz: they shape the sliding noise, and ring where the rail is damaged.
    damage
        The places where a damaged rail may be damaged, in m from one end.
    severity
        The range from which a fault's severity is drawn; 1 is a machine about to fail.
    """

    length: float
    speed: float
    ramp: float
    dwell: float
    motor: float
    harmonics: tuple[float, ...]
    friction: float
    resonances: tuple[float, ...]
    damage: tuple[float, ...]
    severity: tuple[float, float]


# Easy, hard and middling for an autoencoder, as these ids are in the recordings: faults are severe, slight, or between.
RAILS = {
    "00": Rail(
        length=0.80, speed=0.55, ramp=0.25, dwell=0.35, motor=1050, harmonics=(1.0, 0.5, 0.7, 0.3, 0.2), friction=1.5,
        resonances=(740, 1650, 2900, 4300, 6200), damage=(0.21, 0.47, 0.62), severity=(0.75, 1.0),
    ),
    "02": Rail(
        length=0.45, speed=0.60, ramp=0.18, dwell=0.50, motor=1400, harmonics=(1.0, 0.8, 0.3, 0.4), friction=1.5,
        resonances=(980, 1900, 3400, 5100, 6900), damage=(0.12, 0.20, 0.33), severity=(0.15, 0.6),
    ),
    "04": Rail(
        length=0.30, speed=0.55, ramp=0.12, dwell=0.50, motor=2700, harmonics=(0.6, 1.0, 0.8, 0.4), friction=1.5,
        resonances=(1350, 2500, 4400, 5800, 7300), damage=(0.08, 0.15, 0.24), severity=(0.25, 0.8),
    ),
}  # fmt: skip


def write(
    folder: Path,
    size: str | dict,
    split: str,
    *,
    seed: int = 0,
    snr_db: float = SNR_DB,
    far_microphone: bool = False,
    machine_ids: Sequence[str] = MACHINE_IDS,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Write a split's clips under `folder`, PCM16 WAV of 10 s at 16 kHz, and remove its other demo clips.

    A clip appears whole or not at all.

    Parameters
    ----------
    snr_db
        As in `generate_parts`.
    far_microphone
        Write two channels, the second one as from `far_from_machine`, instead of one.
    progress
        Called with the number of clips written, after each.

    Returns
    -------
    names
        Paths of the clips under `folder`.

    Raises
    ------
    InputError
        The split's folder holds a recording that is not the demo's; nothing has been written then.
    """
    wanted = clips(size, split, machine_ids)
    target = Path(folder) / MACHINE_TYPE / split
    target.mkdir(parents=True, exist_ok=True)
    present = set(target.glob("*.wav"))
    for path in sorted(present):
        if not _is_demo_clip(path):
            raise InputError(f"{path} is not a demo clip and would be lost: give the demo a folder of its own.")
    for path in present - {Path(folder) / name for name, *_ in wanted}:
        path.unlink()
    for done, (name, machine_id, label, index) in enumerate(wanted, 1):
        samples = generate_clip(
            machine_id, split, label, index, seed=seed, snr_db=snr_db, far_microphone=far_microphone
        )
        recording = io.BytesIO()  # Python writes the file, whose errors name it and the cause (a full disk)
        with sf.SoundFile(recording, "w", SAMPLE_RATE, 1 + far_microphone, "PCM_16", format="WAV") as file:
            file.comment = COMMENT
            file.write(samples)
        with replacing(Path(folder) / name) as temporary:
            temporary.write_bytes(recording.getvalue())
        if progress:
            progress(done)
    return [name for name, *_ in wanted]


def generate_clip(
    machine_id: str,
    split: str,
    label: str,
    index: int,
    *,
    seed: int = 0,
    snr_db: float = SNR_DB,
    seconds: float = SECONDS,
    far_microphone: bool = False,
) -> np.ndarray:
    """One clip: the sum of the sounds of `generate_parts`.

    Parameters
    ----------
    far_microphone
        Add a second channel, as from `far_from_machine`.

    Returns
    -------
    (samples,) or, with the far microphone, (samples, 2) float64
        In [-1, 1].
    """
    parts = generate_parts(machine_id, split, label, index, seed=seed, snr_db=snr_db, seconds=seconds)
    clip = parts["machine"] + parts["fault"] + parts["factory"]
    if far_microphone:
        drawn = [seed, int(machine_id), SPLITS.index(split), LABELS.index(label), index, 1]
        clip = np.stack([clip, far_from_machine(parts, np.random.default_rng(drawn))], axis=1)
    return np.clip(clip, -1, 1)


def far_from_machine(parts: dict, rng: np.random.Generator) -> np.ndarray:
    """What a second microphone, some metres from the machine, hears of a clip's parts.

    The factory, by another way, as direct sound and three reflections within 12 ms; the machine and its fault, `LEAK_DB` weaker
    and later; and noise of the same kind that the near microphone does not hear, `INCOHERENT_DB` below the factory.

    Parameters
    ----------
    parts
        As from `generate_parts`.

    Returns
    -------
    (samples,) float64
    """
    import scipy.signal  # here, because it takes a second to load

    factory, machine = parts["factory"], parts["machine"] + parts["fault"]
    way = np.zeros(192)
    way[rng.integers(0, 32)] = 1
    way[rng.integers(32, 192, 3)] += rng.normal(0, 0.3, 3)
    heard = scipy.signal.fftconvolve(factory, way)[: len(factory)]
    own = _factory(rng, len(factory))
    own *= np.sqrt(np.mean(np.square(factory)) / np.mean(np.square(own)))
    leak = 10 ** (LEAK_DB / 20) * np.roll(machine, 96)
    return heard + 10 ** (INCOHERENT_DB / 20) * own + leak


def generate_parts(
    machine_id: str,
    split: str,
    label: str,
    index: int,
    *,
    seed: int = 0,
    snr_db: float = SNR_DB,
    seconds: float = SECONDS,
) -> dict:
    """A clip's sounds, and what made them.

    Parameters
    ----------
    snr_db
        10 log10(P(machine) / P(factory)), with P the mean power over the clip; a fault's sound comes on top.

    Returns
    -------
    dict
        The sounds "machine", "fault" and "factory", (samples,) float64 each. Of the carriage "distance" travelled in m, "speed"
        in m/s, and "position" in m from one end, (samples,) each. Of the fault "kind", one of FAULTS or None, and "severity",
        0 for a normal clip.

    Raises
    ------
    InputError
        There is no such machine id, split or label.
    """
    if machine_id not in RAILS or split not in SPLITS or label not in LABELS:
        raise InputError(
            f"a demo clip has a machine id of {', '.join(RAILS)}, a split of {', '.join(SPLITS)} and a label of "
            f"{', '.join(LABELS)}; got {machine_id!r}, {split!r}, {label!r}."
        )
    rail = RAILS[machine_id]
    rng = np.random.default_rng([seed, int(machine_id), SPLITS.index(split), LABELS.index(label), index])
    samples = round(seconds * SAMPLE_RATE)
    kind = FAULTS[rng.integers(len(FAULTS))] if label == "anomaly" else None
    severity = rng.uniform(*rail.severity) if kind else 0.0
    motion = _motion(rail, rng, samples, looseness=severity if kind == "loose belt" else 0.0)
    machine = _machine(rail, rng, samples, motion)
    fault = np.zeros(samples, np.float32)
    if kind:
        make = {"rail damage": _rail_damage, "loose belt": _belt_slap, "no grease": _no_grease}[kind]
        fault = make(rail, rng, samples, motion, severity)
    factory = _factory(rng, samples)
    power = 10 ** ((LEVEL_DB + rng.normal(0, 0.2)) / 10)  # of machine and factory together
    machine_gain = np.sqrt(power / (1 + 10 ** (-snr_db / 10)) / np.mean(machine**2, dtype=float))
    factory_gain = np.sqrt(power / (1 + 10 ** (snr_db / 10)) / np.mean(factory**2, dtype=float))
    return {
        "machine": machine_gain * machine,
        "fault": machine_gain * fault,
        "factory": factory_gain * factory,
        **{key: _upsample(motion[key], samples) for key in ("distance", "speed", "position")},
        "kind": kind,
        "severity": severity,
    }


COMMENT = "humwatch demo"  # in the WAV header: tells demo clips from recordings
CONTROL_RATE = 1000  # Hz, of motion and of slow gains; divides the sample rate


def _is_demo_clip(path):
    try:
        with sf.SoundFile(path) as file:
            return file.comment == COMMENT
    except sf.LibsndfileError:
        return False


def _motion(rail, rng, samples, looseness):
    """The carriage's motion at CONTROL_RATE, and the sample numbers of its "stops".

    "distance" (m), "speed" (m/s), "position" (m, distance folded at the rail's ends), "belt" (a gain about 1).
    Stroke k, of D_k = length / V_k + ramp seconds: v(t) = V_k r(min(t, D_k - t) / ramp), r(x) = (1 - cos(pi x)) / 2 for
    x in [0, 1], then 1; its integral is the length. Then the carriage rests. V_k and the rest vary by some percent.
    A loose belt, of looseness up to 1, makes the gain 1 + looseness sin(2 pi f t), f from 7 to 13 Hz, and the speed
    flutter by an eighth of that.
    """
    speed = rail.speed * rng.uniform(0.95, 1.05)  # load and temperature differ from clip to clip
    strokes = int(samples / SAMPLE_RATE / (0.9 * rail.length / speed + rail.ramp)) + 3
    speeds = speed * (1 + 0.01 * rng.standard_normal(strokes).clip(-3, 3))
    moving = rail.length / speeds + rail.ramp
    starts = np.concatenate([[0], np.cumsum(moving + rail.dwell * rng.uniform(0.9, 1.1, strokes))])
    time = np.arange(int(starts[-1] * CONTROL_RATE)) / CONTROL_RATE
    k = np.searchsorted(starts, time, "right") - 1
    elapsed = time - starts[k]
    ramp = (np.minimum(elapsed, moving[k] - elapsed) / rail.ramp).clip(0, 1)
    belt = 1 + looseness * np.sin(2 * np.pi * (rng.uniform(7, 13) * time + rng.uniform()))
    v = speeds[k] * (1 - np.cos(np.pi * ramp)) / 2 * (1 + (belt - 1) / 8)
    distance = np.cumsum(v) / CONTROL_RATE + rail.length * rng.integers(2)
    begin = int(rng.uniform(0, starts[1]) * CONTROL_RATE)
    clip = slice(begin, begin + samples * CONTROL_RATE // SAMPLE_RATE + 2)
    stops = ((starts[:-1] + moving - time[begin]) * SAMPLE_RATE).astype(int)
    return {
        "distance": distance[clip],
        "speed": v[clip].astype(np.float32),
        "position": rail.length - np.abs(distance[clip] % (2 * rail.length) - rail.length),
        "belt": belt[clip].astype(np.float32),
        "stops": stops[(stops >= 0) & (stops < samples)],
    }


def _machine(rail, rng, samples, motion):
    """Sound of a machine in motion, (samples,) float32, on the harmonics' scale.

    With u = v / speed and s the distance: belt * (u sum_h a_h cos(2 pi h motor s + phase_h) + friction u^1.5 n(t)), n
    being noise of unit power shaped by the rail's resonances; plus a thud, a few damped tones, at each stop.
    """
    u = motion["speed"] / rail.speed
    h = np.arange(1, len(rail.harmonics) + 1)
    amplitudes = rail.harmonics * 10 ** (rng.normal(0, 1.5, len(h)) / 20)
    cycle = np.arange(8192) / 8192  # one period of the waveform, read at the motor's phase: cheaper than many cosines
    period = amplitudes @ np.cos(2 * np.pi * (h[:, None] * cycle + rng.random((len(h), 1))))
    phase = _upsample(rail.motor * len(cycle) * motion["distance"], samples).astype(int) % len(cycle)
    sound = _upsample(motion["belt"] * u, samples) * period.astype(np.float32)[phase]
    friction = rail.friction * 10 ** (rng.normal(0, 1.0) / 20)
    sliding = _noise(rng, samples, _rail_spectrum(rail, samples))
    sound += _upsample(friction * motion["belt"] * u**1.5, samples) * sliding
    _ring(sound, motion["stops"], 3 * rng.uniform(0.6, 1.4, len(motion["stops"])), (170, 310, 620), 0.03)
    return sound


def _rail_damage(rail, rng, samples, motion, severity):
    """Clicks, (samples,) float32: each passage of a damaged place rings the rail, the louder the faster."""
    places = np.sort(rng.choice(rail.damage, rng.integers(1, len(rail.damage) + 1), replace=False))
    passages = np.nonzero(np.diff(np.searchsorted(places, _upsample(motion["position"], samples))))[0]
    u = _upsample(motion["speed"], samples)[passages] / rail.speed
    clicks = np.zeros(samples, np.float32)
    _ring(clicks, passages, 100 * severity * u * rng.uniform(0.7, 1.3, len(passages)), rail.resonances, 0.02)
    return clicks


def _belt_slap(rail, rng, samples, motion, severity):
    """Slaps, (samples,) float32: at each stop the loose belt hits its guard three times, ever weaker."""
    slaps = np.zeros(samples, np.float32)
    for bounce in range(3):
        at = motion["stops"] + int(rng.uniform(0.06, 0.09) * bounce * SAMPLE_RATE)
        amplitudes = 60 * severity * 0.6**bounce * rng.uniform(0.7, 1.3, len(at))
        _ring(slaps, at, amplitudes, rng.uniform(800, 5000, 8), 0.01)
    return slaps


def _no_grease(rail, rng, samples, motion, severity):
    """Dry friction, (samples,) float32: more sliding noise, and the squeal of stick-slip at low speed.

    Squeal: w(u) (cos(phi) + cos(2 phi) / 2), phi the integral of 2 pi f, f wandering by some percent about one of the
    rail's middle resonances; w(u) = (u / 0.2) exp(1 - u / 0.2), u = v / speed, is greatest (1) at a fifth of the speed.
    """
    u = motion["speed"] / rail.speed
    f = rng.choice(rail.resonances[1:4]) * (1 + 0.02 * _wander(rng, samples, 8.0))
    phi = _upsample(2 * np.pi * np.cumsum(f, dtype=float) / CONTROL_RATE, samples)
    overtone = 0.5 if 2 * f.max() < SAMPLE_RATE / 2 else 0.0
    squeal = _upsample(u / 0.2 * np.exp(1 - u / 0.2), samples) * (np.cos(phi) + overtone * np.cos(2 * phi))
    dry = _upsample(rail.friction * u**1.5, samples) * _noise(rng, samples, _dry_spectrum(samples))
    return (severity * (6 * squeal + 3.5 * dry)).astype(np.float32)


# The factory's noise. Hz; mean power density there in dB; its standard deviation between clips in dB.
BED = np.array([
    (40, 70, 120, 250, 500, 1000, 2000, 4000, 8000),
    (-6, 0, 0, -1, -5, -10, -16, -25, -35),
    (3, 4, 4, 3, 3, 3, 3, 4, 5),
])  # fmt: skip
# The factory's own tones (fans, transformers, compressors), Hz: a clip hears each of them or not.
HUMS = np.array([100, 200, 300, 480, 950, 1240, 1870, 2520, 5020])


def _factory(rng, samples):
    """Factory noise, (samples,) float32, about unit power: a coloured bed, hiss, hums, and now and then an event.

    The bed's dB are linear in log frequency between its points; white hiss has -45 to -23 dB; a hum is a band of noise
    1 Hz wide, 5 to 27 dB above the bed. Bed, hiss and hums together come and go by some 1 dB within seconds.
    """
    level = BED[1] + BED[2] * rng.standard_normal(BED.shape[1])
    density = 10 ** (_bed_basis(samples) @ (level / 10).astype(np.float32))
    density += 10 ** rng.uniform(-4.5, -2.3)
    bin_width = SAMPLE_RATE / samples
    for hum in HUMS[rng.random(len(HUMS)) < 0.5]:
        around = np.arange(int((hum - 2) / bin_width), int((hum + 2) / bin_width) + 1)
        shape = np.exp(-0.5 * ((around * bin_width - hum) / 0.5) ** 2)
        density[around] += 10 ** rng.uniform(0.5, 2.7) * density[around[len(around) // 2]] * shape
    sound = _noise(rng, samples, np.sqrt(density)) * _upsample(10 ** (_wander(rng, samples, 0.7) / 20), samples)
    for _ in range(rng.poisson(1.0)):
        _add_event(sound, rng)
    return sound


def _add_event(sound, rng):
    """Add a clank, a voice-like buzz or a hiss of compressed air to noise of unit power, in place."""
    begin, kind, level = rng.integers(len(sound)), rng.integers(3), 10 ** rng.uniform(-0.7, 0.2)
    if kind == 0:
        _ring(sound, [begin], [4 * level], rng.uniform(600, 6000, 5), 0.05)
        return
    t = np.arange(int(rng.uniform(0.2, 0.7) * SAMPLE_RATE)) / SAMPLE_RATE
    if kind == 1:
        h = np.arange(1, 20)[:, None]
        pitch = rng.uniform(110, 240)
        formants = rng.uniform((300, 900, 2200), (800, 2000, 3200))
        weight = 0.1 + np.exp(-0.5 * ((h * pitch - formants) / 150) ** 2).sum(axis=1)
        periods = pitch * (t + 0.05 * np.sin(4 * np.pi * t) / (2 * np.pi))  # the voice rises and falls by a tenth
        event = weight @ np.cos(2 * np.pi * h * periods) / np.sqrt(np.sum(weight**2) / 2)
    else:
        event = 0.4 * np.diff(rng.standard_normal(len(t)), prepend=0)
    event *= level * np.sin(np.pi * t / t[-1]) ** 2
    piece = sound[begin : begin + len(t)]
    piece += event[: len(piece)]


def _ring(sound, at, amplitudes, frequencies, decay):
    """Add amplitude * mean over f of sin(2 pi f t) exp(-t / decay), in place, from each of the sample numbers `at`."""
    t = np.arange(int(5 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    kernel = np.exp(-t / decay) * np.sin(2 * np.pi * np.outer(frequencies, t)).mean(axis=0)
    for begin, amplitude in zip(at, amplitudes, strict=True):
        piece = sound[begin : begin + len(t)]
        piece += amplitude * kernel[: len(piece)]


def _noise(rng, samples, magnitude):
    """Gaussian noise of unit power, (samples,) float32; magnitude: (samples // 2 + 1,) float32, of its spectrum."""
    spectrum = rng.standard_normal(2 * len(magnitude), np.float32).view(np.complex64) * magnitude
    return scipy.fft.irfft(spectrum, samples) * (samples / 2 / np.linalg.norm(magnitude))


def _wander(rng, samples, rate):
    """A slow random curve at CONTROL_RATE, long enough for samples: linear between `rate` standard normals a second."""
    time = np.arange(samples * CONTROL_RATE // SAMPLE_RATE + 2) / CONTROL_RATE
    knots = rng.standard_normal(int(time[-1] * rate) + 2)
    return np.interp(time * rate, np.arange(len(knots)), knots).astype(np.float32)


def _upsample(curve, samples):
    """A curve at CONTROL_RATE, linearly interpolated to (samples,): a fifth of the time of np.interp."""
    steps = np.linspace(0, 1, SAMPLE_RATE // CONTROL_RATE, endpoint=False, dtype=curve.dtype)
    return (curve[:-1, None] + np.diff(curve)[:, None] * steps).reshape(-1)[:samples]


@lru_cache(maxsize=8)
def _rail_spectrum(rail, samples):
    """Magnitudes of sliding noise, (samples // 2 + 1,) float32.

    Power density: a floor that rises up to some 2 kHz, and at each resonance f_r, of quality 15,
    (1 kHz / f_r) / (1 + (15 (f / f_r - f_r / f))^2).
    """
    f = scipy.fft.rfftfreq(samples, 1 / SAMPLE_RATE).clip(1)
    density = 0.05 * (f / 2000) ** 2 / (1 + (f / 2000) ** 2)
    for resonance in rail.resonances:
        density += 1000 / resonance / (1 + (15 * (f / resonance - resonance / f)) ** 2)
    return np.sqrt(density).astype(np.float32)


@lru_cache(maxsize=2)
def _dry_spectrum(samples):
    """Magnitudes of dry friction, (samples // 2 + 1,) float32: noise above some 3 kHz."""
    f = scipy.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    return np.sqrt((f / 3500) ** 4 / (1 + (f / 3500) ** 4)).astype(np.float32)


@lru_cache(maxsize=2)
def _bed_basis(samples):
    """(samples // 2 + 1, points) float32: with these weights a spectrum's bins take the levels of the bed's points."""
    log_f = np.log(scipy.fft.rfftfreq(samples, 1 / SAMPLE_RATE).clip(1))
    return np.stack(
        [np.interp(log_f, np.log(BED[0]), point) for point in np.eye(BED.shape[1])], axis=1, dtype=np.float32
    )
