"""Print the summary of a finished run: every configuration's AUC and pAUC, best first, and where the files are."""

import argparse
import csv
from pathlib import Path

LINES = 12


def main(args: argparse.Namespace) -> None:
    summary = args.results / "tables" / "summary.csv"
    if not summary.exists():
        return  # the run had another target
    with open(summary, newline="") as file:
        rows = list(csv.DictReader(file))
    fixed = ["machine_type", "auc_mean", "auc_std", "pauc_mean", "pauc_std", "seeds"]
    varied = [key for key in rows[0] if key not in fixed and len({row[key] for row in rows}) > 1]
    print(f"\nMean AUC and pAUC over machine ids (test labels), best first; {len(rows)} configurations")
    columns = ["machine_type", "AUC", "pAUC", "seeds", *varied]
    lines = [
        [row["machine_type"], spread(row, "auc"), spread(row, "pauc"), row["seeds"], *(row[k] for k in varied)]
        for row in rows
    ]
    shown = lines[:LINES]
    widths = [max(len(line[i]) for line in [columns, *shown]) for i in range(len(columns))]
    for line in [columns, *shown]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if len(lines) > LINES:
        print(f"  ... and {len(lines) - LINES} more")
    print(f"\nTables: {args.results}/tables   Scores: {args.results}/scores   Models: {args.results}/models")


def spread(row: dict[str, str], measure: str) -> str:
    mean, std = row[f"{measure}_mean"], row[f"{measure}_std"]
    if not mean:
        return "-"
    return f"{float(mean):.3f}" + (f" ± {float(std):.3f}" if std else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results/<name>")
    main(parser.parse_args())
