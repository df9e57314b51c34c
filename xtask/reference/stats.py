"""Reference values for `mlcls data stats`, from SciPy, statsmodels and NumPy.

    python xtask/reference/stats.py crates/mlcls-data/tests/fixtures/stats.json

Made with SciPy 1.17.1, statsmodels 0.15.0, NumPy 2.4.6. A row of `tables` is a label with [hits, of] in two splits;
`interval` is Newcombe's of the first minus the second, `p` Fisher's exact test, `corrected` all of them by Holm.
"""

import json
import sys

import numpy as np
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

TABLES = [
    ((3, 50), (5, 50)), ((0, 20), (0, 30)), ((20, 20), (29, 30)), ((0, 495), (4, 2807)), ((480, 1240), (444, 2771)),
    ((7, 1264), (298, 2806)), ((1, 1), (0, 1)), ((0, 1), (9, 9)), ((12, 400), (13, 410)), ((2500, 5000), (2400, 5000)),
    ((30, 1000), (1, 1000)), ((1, 3), (900, 1000)),
]


def main():
    rows = []
    for (a, m), (b, n) in TABLES:
        low, high = confint_proportions_2indep(a, m, b, n, compare="diff", method="newcomb")
        p = fisher_exact([[a, m - a], [b, n - b]]).pvalue
        rows.append({"here": [a, m], "base": [b, n], "interval": [float(low), float(high)], "p": float(p)})
    corrected = multipletests([row["p"] for row in rows], method="holm")[1]
    for row, p in zip(rows, corrected):
        row["corrected"] = float(p)
    values = [float(v) for v in np.random.default_rng(0).integers(1, 1000, 37)]
    quantiles = [float(np.quantile(values, q)) for q in (0, 0.05, 0.5, 0.95, 1)]
    out = {"tables": rows, "values": values, "quantiles": quantiles}
    with open(sys.argv[1], "w") as file:
        file.write(json.dumps(out, indent=1) + "\n")


main()
