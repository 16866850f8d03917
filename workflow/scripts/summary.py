"""Print the summary of a finished run: every configuration's AUC and pAUC, best first, and where the files are."""

import argparse
import csv
from pathlib import Path

LINES = 12


def main(args: argparse.Namespace) -> None:
    summary = args.results / "tables" / "summary.csv"
    if not summary.exists() and not args.unmeasured:
        return  # the run had another target
    rows = [] if args.unmeasured else read(summary)
    if not rows:
        print(
            "\nNothing was measured: the data set has no test clips of a machine that is trained. The models are trained;"
        )
        print("add test clips, normal and anomalous ones, and run again: config/README.md has each source's layout")
        print(f"\nModels: {args.results / 'models'}")
        return
    fixed = ["machine_type", "auc_mean", "auc_std", "pauc_mean", "pauc_std", "seeds"]
    figures = [name for name in ("auc_source", "auc_target", "official") if name in rows[0]]
    fixed += figures
    # What differs within one detector; parameters that only some detectors have would fill the screen.
    by_detector: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_detector.setdefault(row["detector"], []).append(row)
    varied = ["detector"] if len(by_detector) > 1 else []
    varied += [
        k for k in rows[0] if k not in fixed and any(len({r[k] for r in same}) > 1 for same in by_detector.values())
    ]
    print(f"\nMean AUC and pAUC over machine ids (test labels), best first; {len(rows)} configurations")
    columns = ["machine_type", "AUC", "pAUC", *figures, "seeds", *varied]
    lines = [
        [
            row["machine_type"],
            spread(row, "auc"),
            spread(row, "pauc"),
            *(row[k] and f"{float(row[k]):.3f}" for k in figures),
            row["seeds"],
            *(row[k] for k in varied),
        ]
        for row in rows
    ]
    shown = lines[:LINES]
    widths = [max(len(line[i]) for line in [columns, *shown]) for i in range(len(columns))]
    for line in [columns, *shown]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if len(lines) > LINES:
        print(f"  ... and {len(lines) - LINES} more")
    places = {
        "Report": "report.html",
        "Tables": "tables",
        "Detectors": "detectors",
        "Scores": "scores",
        "Models": "models",
    }
    there = {what: args.results / place for what, place in places.items() if (args.results / place).exists()}
    print("\n" + "   ".join(f"{what}: {path}" for what, path in there.items()))


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def spread(row: dict[str, str], measure: str) -> str:
    mean, std = row[f"{measure}_mean"], row[f"{measure}_std"]
    if not mean:
        return "-"
    return f"{float(mean):.3f}" + (f" ± {float(std):.3f}" if std else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unmeasured", action="store_true", help="say that there was nothing to measure")
    parser.add_argument("results", type=Path, help="results/<name>")
    main(parser.parse_args())
