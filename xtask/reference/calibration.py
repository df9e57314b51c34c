"""Reference values for calibration, from scikit-learn, SciPy and NumPy.

    python xtask/reference/calibration.py crates/mlcls-metrics/tests/fixtures/calibration.json

Platt's line is `sklearn.calibration._SigmoidCalibration`, the temperature a bounded scalar minimisation of the log loss, and
the bins are counted with NumPy. Unknown entries are taken out before.
"""

import json
import sys

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize_scalar
from sklearn.calibration import _SigmoidCalibration

BINS = 15


def log_loss(z, y):
    return np.mean(np.logaddexp(0, z) - y * z)


def platt(z, y):
    fitted = _SigmoidCalibration().fit(z, y)
    return [-fitted.a_, -fitted.b_]


def temperature(z, y):
    best = minimize_scalar(lambda s: log_loss(np.exp(s) * z, y), bounds=(np.log(0.01), np.log(100)), method="bounded",
                           options={"xatol": 1e-12})
    return float(np.exp(-best.x))


def error(z, y):
    score = 1 / (1 + np.exp(-z))
    bins = np.minimum((score * BINS).astype(int), BINS - 1)
    apart = [abs(score[bins == b].sum() - y[bins == b].sum()) for b in range(BINS)]
    return float(sum(apart) / len(y))


def case(name, rng, images, labels, slope, offset, unknown):
    # Steps of 1/64 are the same numbers in single precision.
    logits = np.round(rng.normal(-1.0, 2.0, (images, labels)) * 64) / 64
    truth = rng.random((images, labels)) < 1 / (1 + np.exp(-(slope * logits + offset)))
    mask = rng.random((images, labels)) >= unknown
    lines = [platt(logits[m, c], truth[m, c].astype(float)) for c, m in enumerate(mask.T)]
    z, y = logits[mask], truth[mask].astype(float)
    return {
        "name": name, "labels": labels, "logits": logits.ravel().tolist(), "targets": truth.ravel().astype(int).tolist(),
        "mask": mask.ravel().astype(int).tolist(), "platt": lines, "pooled": platt(z, y), "temperature": temperature(z, y),
        "error": error(z, y), "loss": float(log_loss(z, y)),
    }


rng = np.random.default_rng(1)
cases = [
    case("too sure", rng, 80, 2, 0.4, 0.0, 0.0),
    case("not sure enough, unknown entries", rng, 70, 3, 2.5, 0.5, 0.2),
    case("shifted", rng, 90, 2, 1.0, 2.0, 0.05),
]
versions = {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__, "numpy": np.__version__}
with open(sys.argv[1], "w") as file:
    json.dump({"versions": versions, "bins": BINS, "cases": cases}, file)
