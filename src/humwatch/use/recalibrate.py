"""Give a detector new thresholds and reference levels from new normal recordings; what it has learnt stays."""

import argparse
import logging

import numpy as np
import pandas as pd

from humwatch.errors import InputError
from humwatch.evaluation.calibration_clips import sessions
from humwatch.progress import Progress
from humwatch.use import explain, pack, rows
from humwatch.use.detector import Detector, Machine
from humwatch.use.recordings import named

log = logging.getLogger("humwatch")

METHOD = "normal recordings given to calibrate"


def recalibrate(args: argparse.Namespace) -> None:
    """Run `humwatch calibrate`."""
    description, arrays = pack.read(args.detector)
    detector = Detector(description, arrays)
    table, levels = _heard(detector, [*named(args.inputs)], args.machine, args.resample)
    table["session"] = sessions(table, args.group) if args.group else table["clip"]
    known = [detector.known(name) for name in detector.machines]
    old = pd.DataFrame({"clip": pack.to_texts(arrays["calibration.clips"]), "score": arrays["calibration.scores"]})
    old["machine"] = [known[i] for i in arrays["calibration.machine"]]
    grouped = "calibration.group" in arrays
    names = pack.to_texts(arrays["calibration.sessions"]) if grouped else []
    old["session"] = [names[i] for i in arrays["calibration.group"]] if grouped else old["clip"]
    heard = set(table["machine"])
    gone = old["clip"].isin(table["clip"]) if args.add else old["machine"].isin(heard)
    every = pd.concat([old[~gone], table], ignore_index=True)
    every["machine"] = [known.index(machine) for machine in every["machine"]]
    every = every.sort_values(["machine", "clip", "start"], kind="stable")
    new = {name: array for name, array in arrays.items() if not name.startswith("calibration.")}
    new |= pack.calibration_arrays(every, grouped=every["session"].nunique() < len(every))
    for machine, (normal, clips) in levels.items():
        i, before = known.index(machine), detector.reference(machine)
        old_clips = int(arrays[f"reference.{i}.clips"]) if args.add else 0
        share = clips / (clips + old_clips)
        new[f"reference.{i}.median"] = share * normal.median + np.float32(1 - share) * before.median
        new[f"reference.{i}.spread"] = share * normal.spread + np.float32(1 - share) * before.spread
        new[f"reference.{i}.clips"] = np.array(clips + old_clips)
    method = f"{description['calibration']['method']}, and {METHOD}" if args.add or len(heard) < len(known) else METHOD
    new_description = description | {"calibration": {"method": method, "clips": len(every)}}
    pack.write(args.out, new_description, new)
    for sentence in [f"{args.out}: {len(table)} normal windows of {', '.join('/'.join(m) for m in sorted(heard))}",
                     *rows.promise(Detector(new_description, new))]:  # fmt: skip
        print(sentence)


def _heard(
    detector: Detector, paths: list[str], machine: str | None, resample: bool
) -> tuple[pd.DataFrame, dict[Machine, tuple[explain.Reference, int]]]:
    """Scores of all windows, with machine, clip and start; and each machine's levels, with the number of its windows.

    Raises
    ------
    InputError
        With a sentence for each recording that cannot be used.
    """
    found, problems = [], []
    frames: dict[Machine, list[np.ndarray]] = {}
    progress = Progress("recordings", len(paths))
    for i, path in enumerate(paths, 1):
        try:
            name = machine or detector.machine_of(path)
            if name is None:
                raise InputError(
                    f"{path} does not say which machine it is of: name it (--machine), of {', '.join(detector.machines)}"
                )
            samples = detector.read(path, resample)
            for start, window in detector.windows(samples):
                decision = detector.judge(window, machine=name, file=path, start_s=start)
                found.append({"clip": path, "start": start, "score": decision.score, "machine": detector.known(name)})
                frames.setdefault(detector.known(name), []).append(explain.levels(window, detector.sample_rate))
        except InputError as error:
            problems.append(str(error))
        progress.update(i)
    if problems:
        raise InputError("\n".join(problems))
    return pd.DataFrame(found), {m: (explain.reference(part), len(part)) for m, part in frames.items()}
