"""Trains a credit scorecard: logistic regression over one-hot features, chosen by repeated cross-validation.

Reads every `*.csv` below --data, writes `model.json` (a scorecard people can read; no pickle) below --model.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.preprocessing import MaxAbsScaler

TARGET = "creditability"


def load(folder: Path) -> tuple[list[dict[str, float | str]], list[int]]:
    """Rows as feature dicts and 1 for a good credit, from all CSV files in name order."""
    rows: list[dict[str, float | str]] = []
    labels: list[int] = []
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="") as file:
            for record in csv.DictReader(file):
                labels.append(int(record.pop(TARGET) == "good"))
                rows.append({name: _number(value) for name, value in record.items()})
    return rows, labels


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/data"))
    parser.add_argument("--model", type=Path, default=None, help="folder for model.json; omit to write none")
    parser.add_argument("--seconds", type=float, default=0.0, help="keep validating for at least this long")
    args = parser.parse_args()

    rows, labels = load(args.data)
    print(f"training on {len(rows)} applications, {sum(labels)} of them good credits", flush=True)
    encoder, scaler = DictVectorizer(sparse=True), MaxAbsScaler()
    features = scaler.fit_transform(encoder.fit_transform(rows))
    best_auc, best_c = 0.0, 1.0
    started, round_number = time.monotonic(), 0
    while round_number == 0 or time.monotonic() - started < args.seconds:
        for c in (0.03, 0.1, 0.3, 1.0, 3.0):
            folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=round_number)
            auc = cross_val_score(_model(c), features, labels, scoring="roc_auc", cv=folds).mean()
            best_auc, best_c = max((best_auc, best_c), (float(auc), c))
        round_number += 1
        print(f"round {round_number}: best AUC {best_auc:.4f} with C={best_c}", flush=True)

    model = _model(best_c).fit(features, labels)
    names = encoder.get_feature_names_out()
    card = {
        "features": dict(zip(names, model.coef_[0].round(6).tolist(), strict=True)),
        "intercept": round(float(model.intercept_[0]), 6),
        "auc": round(best_auc, 4),
        "rows": len(rows),
    }
    if args.model:
        (args.model / "model.json").write_text(json.dumps(card, indent=1))
        print(f"wrote {args.model / 'model.json'} with {len(names)} coefficients", flush=True)


def _model(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=500)


if __name__ == "__main__":
    main()
