"""Run `humwatch export`: make the ONNX file of a detector, compare it with the detector, write it."""

import argparse
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from humwatch import __version__
from humwatch.errors import InputError
from humwatch.files import replacing
from humwatch.use import explain
from humwatch.use.detector import Detector, Machine, load

if TYPE_CHECKING:
    import onnx
    import torch

KEY = "humwatch"  # of the metadata
OPSET = 18
RATES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
CLIPS = 20  # that the file and the detector are compared on
ROUNDING = 1e-9  # of a p-value
TOLERANCE = 1e-4  # of a score, or of the standard deviation of normal ones


def export(args: argparse.Namespace) -> None:
    """Run `humwatch export`.

    Raises
    ------
    InputError
        The packages are missing, a part of the detector cannot be exported, or the file does not score as the detector does.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"export needs {error.name}: pip install 'humwatch[onnx]'") from None
    from humwatch.use.onnx.storage import store
    from humwatch.use.onnx.whole import Whole

    if args.onnx.resolve() == args.detector.resolve():
        raise InputError(f"--onnx {args.onnx} is the detector's own file: give another name")
    detector = load(args.detector, args.false_alarm_rate)
    machines = [detector.known(name) for name in ([args.machine] if args.machine else detector.machines)]
    whole = Whole(detector, machines).eval()
    model = converted(whole, detector.samples)
    store(model, args.precision)
    about = description(detector, machines, whole.least, whole.most) | {"precision": args.precision}
    onnx.helper.set_model_props(model, {KEY: json.dumps(about, sort_keys=True)})
    data = model.SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    deviation, other_alarms = compared(session, detector, machines, whole.least, whole.most)
    if args.precision == "float32" and not (deviation <= TOLERANCE and not other_alarms):
        raise InputError(
            f"{args.onnx} is not written: on {CLIPS} generated clips its scores differ by up to {deviation:.1g} from those of "
            f"{args.detector}, and {other_alarms} of its alarms: report that, with the detector"
        )
    with replacing(args.onnx) as temporary:
        temporary.write_bytes(data)
    print(f"{args.onnx}: {len(data) / 1e6:.2g} MB, {', '.join('/'.join(machine) for machine in machines)}")
    print(
        f"on {CLIPS} generated clips its scores differ by {deviation:.1g} at most from the detector's (of the score, or of the "
        f"deviation of normal ones), and {other_alarms} of its alarms"
    )


def converted(module: "torch.nn.Module", samples: int) -> "onnx.ModelProto":
    """The module as ONNX, without what varies from place to place.

    Parameters
    ----------
    samples
        Of a window that it can take.

    Raises
    ------
    InputError
        Torch has no ONNX for a part of it.
    """
    import torch

    from humwatch.use.onnx.whole import OUTPUTS

    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # which tell of every step
        logging.getLogger(name).setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module,
                (torch.zeros(1, samples),),
                dynamo=True,
                opset_version=OPSET,
                input_names=["samples"],
                output_names=[*OUTPUTS],
                dynamic_shapes={"samples": {1: torch.export.Dim.DYNAMIC}},
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            why = str(error.__cause__ or error).splitlines()[0]
            raise InputError(
                f"torch {torch.__version__} cannot write the detector as ONNX ({why}): pack another"
            ) from None
    assert program is not None
    model = program.model_proto
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.ClearField("doc_string")
        del part.metadata_props[:]  # which name files and lines of this program
    return model


def description(detector: Detector, machines: Sequence[Machine], least: int, most: int) -> dict[str, Any]:
    """What the file's metadata say of it."""
    rates = sorted({*RATES, detector.false_alarm_rate})
    found = [detector.calibrations(rate) for rate in rates]
    return {
        "humwatch": __version__,
        "detector": [member.detector for member in detector.members],
        "detector_sha256": detector.description["sha256"],
        "machines": ["/".join(machine) for machine in machines],
        "sample_rate": detector.sample_rate,
        "channel": detector.channel,
        "seconds": detector.seconds,
        "samples": detector.samples,
        "longest_samples": detector.longest,
        "least_samples": least,
        "most_samples": most,
        "false_alarm_rate": detector.false_alarm_rate,
        "thresholds": {
            "/".join(machine): [
                {"rate": rate, "threshold": own[machine].threshold, "extrapolated": own[machine].extrapolated}
                for rate, own in zip(rates, found, strict=True)
            ]
            for machine in machines
        },
        "outputs": {
            "score": "(machines,) higher is more anomalous; an alarm is a score above the threshold",
            "p_value": "(machines,) share of normal clips that score as high; an alarm is a p-value of at most the rate",
            "map": "(machines, frames, mel bins) dB above the machine's normal level",
        },
        "map_hop_seconds": explain.FEATURE.hop_length / detector.sample_rate,
        "map_frequencies": [round(float(hz), 1) for hz in explain.FEATURE.frequencies(detector.sample_rate)],
    }


def compared(session: Any, detector: Detector, machines: Sequence[Machine], least: int, most: int) -> tuple[float, int]:
    """How far the scores of an ONNX session are from the detector's on generated clips.

    Returns
    -------
    deviation
        The largest difference of a score, as a share of it or of the standard deviation of normal scores, whichever is larger.
    other_alarms
        Decisions that differ.
    """
    deviation, other_alarms = 0.0, 0
    for i, clip in enumerate(generated(detector, machines, least, most)):
        score, p_value = session.run(["score", "p_value"], {"samples": clip[None]})
        for k, machine in enumerate(machines):
            decision = detector.judge(clip, machine="/".join(machine), file=f"generated clip {i}", why=0)
            spread = detector.calibration(machine).scores.std()
            difference = abs(score[k] - decision.score) / max(abs(decision.score), spread)
            deviation = max(deviation, difference if np.isfinite(difference) else np.inf)
            other_alarms += decision.alarm != (p_value[k] <= detector.false_alarm_rate * (1 + ROUNDING))
    return float(deviation), other_alarms


def generated(detector: Detector, machines: Sequence[Machine], least: int, most: int) -> Iterator[np.ndarray]:
    """Clips of noise, (samples,) float32, of three lengths: white, and as loud in each band as the machines' normal clips are."""
    lengths = [detector.samples, max(least, detector.samples * 2 // 3), most]
    random = np.random.default_rng(0)
    for i in range(CLIPS):
        noise = random.normal(size=lengths[i % 3])
        if i % 2:
            normal = detector.reference(machines[i // 2 % len(machines)])
            spectrum = np.fft.rfft(noise)
            hz = np.fft.rfftfreq(len(noise), 1 / detector.sample_rate)
            white = np.median(explain.levels(noise, detector.sample_rate), axis=0)
            drawn = normal.median[0] + random.uniform(-1, 1) * normal.spread[0, 1]
            gain = np.interp(hz, explain.FEATURE.frequencies(detector.sample_rate), drawn - white)
            noise = np.fft.irfft(spectrum * 10 ** (gain / 20), len(noise))
        else:
            noise *= 10 ** random.uniform(-3, -1)
        yield noise.clip(-1, 1).astype(np.float32)
