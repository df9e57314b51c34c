"""Reference values for the metrics, from scikit-learn.

    python xtask/reference/metrics.py crates/mlcls-metrics/tests/fixtures/metrics.json

Made with scikit-learn 1.9.1, numpy 2.4.6. scikit-learn has no unknown entries, so they are removed from its input (or
set to absent, for definitions A and B). What it does not offer (the envelope of B, the 11 points of VOC 2007) is made
from its precision-recall curve; ranking in row order is written out here.
"""

import json
import sys

import numpy as np
from sklearn.metrics import (
    accuracy_score, average_precision_score, hamming_loss, precision_recall_curve, precision_recall_fscore_support,
)

THRESHOLD = 0.5


def defined_mean(values):
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def curve(y, s):
    precision, recall, _ = precision_recall_curve(y, s)
    return precision[:-1], recall[:-1]  # without the point (recall 0, precision 1) that it appends; recall falls


def ap_b(y, s):
    precision, recall = curve(y, s)
    envelope = np.maximum.accumulate(precision)
    return float(np.sum(-np.diff(np.append(recall, 0.0)) * envelope))


def ap_voc07(y, s):
    precision, recall = curve(y, s)
    found = np.rint(recall * y.sum()).astype(int)
    best = [max(precision[10 * found >= t * y.sum()], default=0.0) for t in range(11)]
    return float(np.mean(best))


def ap_row_order(y, s):
    y = y[np.argsort(-s, kind="stable")]
    precision = np.cumsum(y) / np.arange(1, len(y) + 1)
    return float(precision[y == 1].mean())


def case(name, scores, targets, mask):
    n, c = scores.shape
    known = [mask[:, j] == 1 for j in range(c)]
    absent_if_unknown = targets * mask

    def per_label(metric, remove_unknown):
        out = []
        for j in range(c):
            keep = known[j] if remove_unknown else np.ones(n, bool)
            y, s = absent_if_unknown[keep, j], scores[keep, j]
            out.append(float(metric(y, s)) if y.sum() > 0 else None)
        return out

    predicted = (scores >= THRESHOLD).astype(int)
    prf = [
        precision_recall_fscore_support(
            targets[known[j], j], predicted[known[j], j], average="binary", zero_division=0.0
        )[:3]
        for j in range(c) if known[j].any()
    ]
    cp, cr, macro_f1 = (float(v) for v in np.mean(prf, axis=0))
    cells = mask == 1
    op, or_, of1, _ = precision_recall_fscore_support(
        targets[cells], predicted[cells], average="binary", zero_division=0.0
    )
    rows = [i for i in range(n) if cells[i].any()]
    right = [accuracy_score(targets[i, cells[i]], predicted[i, cells[i]]) == 1.0 for i in rows]
    ap = {
        "A": per_label(average_precision_score, False), "B": per_label(ap_b, False),
        "D": per_label(average_precision_score, True), "VOC07": per_label(ap_voc07, True),
    }
    if mask.all():  # scikit-learn's own multi-label forms say the same
        assert np.isclose(hamming_loss(targets, predicted), hamming_loss(targets[cells], predicted[cells]))
        assert np.isclose(accuracy_score(targets, predicted), np.mean(right))
        macro = precision_recall_fscore_support(targets, predicted, average="macro", zero_division=0.0)[:3]
        assert np.allclose(macro, (cp, cr, macro_f1))
    return {
        "name": name, "labels": c, "threshold": THRESHOLD,
        "scores": scores.flatten().tolist(), "targets": targets.flatten().tolist(), "mask": mask.flatten().tolist(),
        "ap": ap, "mean_ap": {key: defined_mean(value) for key, value in ap.items()},
        "ap_row_order": per_label(ap_row_order, True),
        "cp": cp, "cr": cr, "cf1": 2 * cp * cr / (cp + cr), "macro_f1": macro_f1,
        "op": float(op), "or": float(or_), "of1": float(of1),
        "hamming_loss": float(hamming_loss(targets[cells], predicted[cells])),
        "subset_accuracy": float(np.mean(right)),
        "accuracy_mlc": float(accuracy_score(targets[cells], (scores > THRESHOLD)[cells])),
    }


def main():
    rng = np.random.default_rng(11)
    n, c = 30, 5

    def draw(levels):
        targets = (rng.random((n, c)) < [0.5, 0.3, 0.1, 0.03, 0.6]).astype(int)
        noise = rng.random((n, c))
        scores = np.floor((0.4 * targets + 0.6 * noise) * levels) / levels  # exact in float32 for powers of two
        return scores, targets

    scores, targets = draw(4096)
    plain = case("no ties, all known", scores, targets, np.ones((n, c), int))
    scores, targets = draw(8)
    targets[:, 3] = 0
    ties = case("ties, a label without positives", scores, targets, np.ones((n, c), int))
    scores, targets = draw(16)
    mask = (rng.random((n, c)) < 0.7).astype(int)
    mask[4] = 0
    mask[:, 2] = 0
    unknowns = case("ties, unknowns, an image and a label of which nothing is known", scores, targets, mask)
    with open(sys.argv[1], "w") as f:
        json.dump([plain, ties, unknowns], f)
        f.write("\n")


if __name__ == "__main__":
    main()
