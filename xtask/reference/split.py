"""Stratified splits beside scikit-multilearn and iterative-stratification; the table of docs/results/data.md.

    cargo build --release -p mlcls-data --example stratify
    python xtask/reference/split.py target/release/examples/stratify [VOC_MINI] [COCO_SUBSET]
    python xtask/reference/split.py --fixture crates/mlcls-data/tests/fixtures/split.json

The second form writes a small set with what the Python packages reach on it, for the test of `stratify`.

VOC_MINI is a folder with a `labels.csv` (filename, split, 0 or 1 per label), COCO_SUBSET one with COCO's
`annotations/instances_*.json`. Without them only the synthetic sets are measured.

Run with scikit-multilearn 0.2.0, iterative-stratification 0.1.9, scikit-learn 1.9.1, numpy 2.4.6. Nothing is patched:
scikit-multilearn's constructor fails with today's scikit-learn only when it is given a random_state, so it is given
none and numpy's global generator, which it draws from, is seeded. Each seed also shuffles the rows that the two
Python packages see, as ours does by itself.

LD and ED are those of Sechidis et al. 2011, computed here for all of them: the mean over labels and parts of the
difference of odds (positives by negatives) between a part and the whole, and the mean over parts of the difference
between the size and the wanted size.
"""

import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification as Faithful
from skmultilearn.model_selection import IterativeStratification

SEEDS = range(10)


def voc_mini(folder):
    rows = list(csv.reader(open(Path(folder) / "labels.csv")))[1:]
    return np.array([[int(x) for x in row[2:]] for row in rows])


def coco(folder):
    rows = []
    for file in sorted(Path(folder).glob("annotations/instances_*.json")):
        data = json.load(open(file))
        place = {c["id"]: i for i, c in enumerate(data["categories"])}
        y = {image["id"]: [0] * len(place) for image in data["images"]}
        for annotation in data["annotations"]:
            y[annotation["image_id"]][place[annotation["category_id"]]] = 1
        rows += y.values()
    return np.array(rows)


def long_tail(images, labels, seed=0):
    """Label i has a prevalence of 0.5 / (i + 1), labels come in pairs; 0.8 of the second's images show the first."""
    rng = np.random.default_rng(seed)
    y = (rng.random((images, labels)) < 0.5 / (1 + np.arange(labels))).astype(int)
    follow = y[:, 1::2] * (rng.random((images, labels // 2)) < 0.8)
    y[:, 0 : 2 * (labels // 2) : 2] |= follow.astype(int)
    return y


def distances(y, parts, fractions):
    def odds(rows):
        positives = rows.sum(axis=0)
        negatives = len(rows) - positives
        return np.divide(positives, negatives, where=negatives > 0, out=np.full(y.shape[1], np.nan))

    labels = [np.abs(odds(y[parts == j]) - odds(y)) for j in range(len(fractions))]
    examples = [abs((parts == j).sum() - f * len(y)) for j, f in enumerate(fractions)]
    return float(np.nanmean(labels)), float(np.mean(examples))


def ours(binary, y, fractions, seed):
    text = "\n".join("".join(map(str, row)) for row in y)
    args = [binary, ",".join(map(str, fractions)), str(seed)]
    out = subprocess.run(args, input=text, capture_output=True, text=True, check=True).stdout
    return np.array([int(p) for p in out.split()])


def multilearn(order):
    def split(_, y, fractions, seed):
        np.random.seed(seed)
        rows = np.random.permutation(len(y))
        how = IterativeStratification(len(fractions), order=order, sample_distribution_per_fold=list(fractions))
        parts = np.zeros(len(y), dtype=int)
        for j, (_, fold) in enumerate(how.split(np.zeros((len(y), 1)), y[rows])):
            parts[rows[fold]] = j
        return parts

    return split


def iterstrat(_, y, fractions, seed):
    rng = np.random.RandomState(seed)
    rows = rng.permutation(len(y))
    parts = np.zeros(len(y), dtype=int)
    parts[rows] = Faithful(y[rows].astype(bool), np.array(fractions), rng)
    return parts


def at_random(_, y, fractions, seed):
    rows = np.random.RandomState(seed).permutation(len(y))
    parts = np.zeros(len(y), dtype=int)
    for j, part in enumerate(np.split(rows, np.round(np.cumsum(fractions)[:-1] * len(y)).astype(int))):
        parts[part] = j
    return parts


RIVALS = {
    "iterative-stratification": iterstrat,
    "scikit-multilearn, order 1": multilearn(1),
    "scikit-multilearn, order 2": multilearn(2),
}


def over_seeds(split, binary, y, fractions):
    """LD, ED and seconds, a list over the seeds each."""
    results = []
    for seed in SEEDS:
        start = time.perf_counter()
        parts = split(binary, y, fractions, seed)
        seconds = time.perf_counter() - start
        results.append((*distances(y, parts, fractions), seconds))
    return zip(*results)


def medians(split, y, fractions):
    """LD and ED, the medians over the seeds."""
    return [statistics.median(column) for column in list(over_seeds(split, None, y, fractions))[:2]]


def fixture(file):
    y, fractions = long_tail(200, 30), (0.7, 0.2, 0.1)
    rivals = {name: medians(split, y, fractions) for name, split in RIVALS.items()}
    rows = ["".join(map(str, row)) for row in y]
    out = {"fractions": fractions, "seeds": len(SEEDS), "rivals": rivals, "rows": rows}
    Path(file).write_text(json.dumps(out, indent=1) + "\n")


def main():
    if sys.argv[1] == "--fixture":
        return fixture(sys.argv[2])
    binary, *folders = sys.argv[1:]
    sets = {"long tail, 5000 x 40": long_tail(5000, 40), "long tail, 300 x 100": long_tail(300, 100)}
    for read, folder, name in zip([voc_mini, coco], folders, ["voc_mini", "coco_subset_256"]):
        sets[name] = read(folder)
    print("| data | parts | program | LD x 1000, mean | worst | ED, mean | worst | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name, y in sets.items():
        for fractions in [(0.7, 0.2, 0.1), (0.1,) * 10]:
            wanted = "/".join(f"{f:g}" for f in fractions) if len(fractions) == 3 else "10 x 0.1"
            for program, split in ({"mlcls": ours} | RIVALS | {"at random": at_random}).items():
                ld, ed, seconds = over_seeds(split, binary, y, fractions)
                cells = [1000 * statistics.mean(ld), 1000 * max(ld), statistics.mean(ed), max(ed)]
                cells = [f"{cell:.2f}" for cell in cells] + [f"{statistics.median(seconds):.3f}"]
                print("|", " | ".join([name, wanted, program, *cells]), "|", flush=True)


main()
