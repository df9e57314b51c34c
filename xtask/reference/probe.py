#!/usr/bin/env python3
"""What `mlcls probe` is compared with: scikit-learn on the same features.

usage: probe.py fixture                          prints the expected numbers of crates/mlcls-probe/src/head.rs
       probe.py compare VOC_DIR CACHE_FILE C     (a set in VOC layout with train and test; a file of `mlcls probe`'s cache)
needs: numpy, scikit-learn; blake3 for `compare` (made with scikit-learn 1.9.1, numpy 2.4)

`compare` reads the cache file by its documented layout, trains a logistic regression per label on standardised features of
`train`, and prints the test mAP over all labels and over the core 14 of docs/results/voc_mini.md, unknown left out.
"""
import os
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression


def fixture():
    """24 images of 4 numbers, 2 labels, some answers unknown: all from formulas that the test repeats."""
    i, j = np.arange(24)[:, None], np.arange(4)[None, :]
    x = ((i * 37 + j * 101 + i * j * 13) % 97 / 48.5 - 1.0).astype(np.float32).astype(np.float64) * [1, 5, 0.2, 1] + [0, 3, 0, -2]
    c = np.arange(2)[None, :]
    target, known = (i * 7 + c * 5) % 3 == 0, (i + c) % 6 != 5
    xs = (x - x.mean(0)) / x.std(0)
    for strength in (0.05, 2.0):
        for label in range(2):
            rows = known[:, label]
            fit = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(xs[rows], target[rows, label])
            weight = fit.coef_[0] / x.std(0)
            bias = fit.intercept_[0] - weight @ x.mean(0)
            print(strength, label, [round(float(v), 6) for v in [*weight, bias]])


def read_cache(path):
    """Features by content hash. 24 bytes, then records: hash [32], float32 [width], checksum [8]."""
    raw = open(path, "rb").read()
    assert raw[:16] == b"mlcls features \x01", "not a cache of features"
    width = int.from_bytes(raw[16:24], "little")
    record = 32 + 4 * width + 8
    starts = range(24, len(raw) - record + 1, record)
    return {raw[s : s + 32]: np.frombuffer(raw[s + 32 : s + 32 + 4 * width], "<f4") for s in starts}


def compare(root, cache, strength):
    import blake3
    from frozen_head import RARE, average_precision, read_split

    main_folder = os.path.join(root, "ImageSets", "Main")
    labels = sorted({f.rsplit("_", 1)[0] for f in os.listdir(main_folder) if f.endswith("_test.txt")})
    known = read_cache(cache)
    content = lambda image: open(os.path.join(root, "JPEGImages", image + ".jpg"), "rb").read()
    load = lambda images: np.array([known[blake3.blake3(content(i)).digest()] for i in images], np.float64)
    (train, y), (test, truth) = (read_split(root, labels, split) for split in ("train", "test"))
    x, t = load(train), load(test)
    mean, std = x.mean(0), x.std(0)
    std[std == 0] = 1
    x, t = (x - mean) / std, (t - mean) / std
    ap = []
    for label in range(len(labels)):
        rows = y[:, label] != 0
        fit = LogisticRegression(C=strength, max_iter=5000).fit(x[rows], y[rows, label] > 0)
        ap.append(average_precision(fit.decision_function(t), truth[:, label]))
        print(f"{labels[label]:12s} {ap[-1]:6.2f}")
    core = [a for label, a in zip(labels, ap) if label not in RARE]
    print(f"mAP {np.nanmean(ap):.2f} over {len(labels)} labels, {np.nanmean(core):.2f} over the core {len(core)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["fixture"]:
        fixture()
    elif sys.argv[1:2] == ["compare"] and len(sys.argv) == 5:
        compare(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    else:
        sys.exit(__doc__)
