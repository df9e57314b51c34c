#!/usr/bin/env python3
"""Writes crates/mlcls-metrics/tests/fixtures/label_errors.json: answers that cleanlab's confident joint puts off the diagonal.

usage: label_errors.py > crates/mlcls-metrics/tests/fixtures/label_errors.json
needs: cleanlab, numpy (versions are written into the file)

Each label of a multi-label set is a question of its own with two answers, 0 and 1; unknown answers are left out before.
"""
import importlib.metadata
import json

import numpy as np
from cleanlab.count import compute_confident_joint

IMAGES, LABELS = 120, 6


def main():
    rng = np.random.default_rng(7)
    truth = (rng.random((IMAGES, LABELS)) < [0.5, 0.3, 0.1, 0.05, 0.7, 0.9]).astype(int)
    # Scores of a model that is biased, differently for each label, and errs.
    logits = 3 * truth - [1.5, 2.5, 3.0, 2.0, 0.5, 1.0] + rng.normal(0, 1.2, truth.shape)
    scores = np.round(1 / (1 + np.exp(-logits)), 4).astype(np.float32)
    given = np.where(rng.random(truth.shape) < 0.08, 1 - truth, truth)
    mask = (rng.random(truth.shape) < 0.9).astype(int)
    suspects = []
    for label in range(LABELS):
        known = np.flatnonzero(mask[:, label])
        p = scores[known, label].astype(np.float64)
        _, off = compute_confident_joint(
            given[known, label], np.stack([1 - p, p], 1), calibrate=False, return_indices_of_off_diagonals=True
        )
        suspects.append(sorted(int(known[i]) for i in off))
    print(json.dumps({
        "made_by": "xtask/reference/label_errors.py",
        "versions": {name: importlib.metadata.version(name) for name in ["cleanlab", "numpy"]},
        "labels": LABELS,
        "scores": [round(float(v), 4) for v in scores.ravel()],
        "targets": given.ravel().tolist(),
        "mask": mask.ravel().tolist(),
        "suspects": suspects,
    }))


main()
