#!/usr/bin/env python3
"""Reference fingerprints of images for mlcls-data.

usage: fingerprint.py OUT_FILE        (OUT_FILE: crates/mlcls-data/tests/fixtures/fingerprint.json)

Made with Pillow 13.0.0, numpy 2.4.6, scipy 1.17.1: Pillow resizes, scipy transforms. The images follow from a formula
that the test repeats.
"""
import json
import sys

import numpy as np
from PIL import Image
from scipy.fft import dctn


def picture(width, height, k):
    x, y, c = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    wave = (x * (5 + k) * 256 // width + y * y * (3 + k) * 256 // (height * height) + c * 20 * k) % 512
    blocks = (x * 4 // width * 7 + y * 3 // height * (11 + k)) % 5 * 16
    return (np.where(wave < 256, wave, 511 - wave) * 3 // 4 + blocks).astype(np.uint8)


def bits(grey):
    return sum(1 << i for i, c in enumerate(dctn(grey, norm="ortho")[:8, :8].ravel()) if i and c > 0.5)


cases = []
for width, height, k in ((64, 48, 0), (33, 70, 1), (200, 10, 2), (20, 20, 3), (301, 223, 4)):
    small = Image.fromarray(picture(width, height, k)).resize((32, 32), Image.BILINEAR)
    grey = np.asarray(small).astype(np.float64) @ (0.299, 0.587, 0.114)
    assert np.abs(np.abs(dctn(grey, norm="ortho")[:8, :8]) - 0.5).min() > 1e-3, "a coefficient is on the edge"
    thumb = grey.reshape(16, 2, 16, 2).mean((1, 3))
    cases.append({"width": width, "height": height, "k": k, "hash": f"{bits(grey):016x}",
                  "mirrored": f"{bits(grey[:, ::-1]):016x}", "thumbnail": thumb.round(3).ravel().tolist()})
with open(sys.argv[1], "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
