#!/usr/bin/env python3
"""JPEG files and the pixels that libjpeg-turbo gives for them, for the decoder in mlcls-data.

usage: jpeg.py OUT_DIR        (OUT_DIR: crates/mlcls-data/tests/fixtures/jpeg)

Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0), numpy 2.4.6 and opencv-python-headless 5.0.0, which only
writes the 4:4:0 files.

Writes files.bin (the files, one after another) and cases.json, a list in the same order of
{"name", "bytes", "width", "height", "crc32" of Pillow's RGB pixels, "baseline": whether it is grey or YCbCr,
sequential, in one scan, with chroma at full or half resolution}.
"""
import json
import sys
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(5)
cases, files = [], []


def scene(width, height):
    """Waves, an edge, and noise of a random strength, up to the ends of the range."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    lengths = rng.uniform(2, 30, (3, 2))
    image = np.stack([128 + 110 * np.sin(x / a + y / b) for a, b in lengths], axis=2)
    image[x * rng.normal() + y * rng.normal() > rng.uniform(-20, 40)] *= rng.uniform(0, 1)
    noise = rng.choice([0, 2, 10, 60])
    return Image.fromarray(np.clip(image + rng.normal(0, 1, image.shape) * noise, 0, 255).astype(np.uint8))


def add(name, data, baseline):
    image = Image.open(BytesIO(data))
    pixels = image.convert("RGB").tobytes()
    cases.append({"name": name, "bytes": len(data), "width": image.width, "height": image.height,
                  "crc32": zlib.crc32(pixels), "baseline": baseline})
    files.append(data)


def encode(image, **options):
    buffer = BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


SAMPLINGS = {"444": 0, "422": 1, "420": 2, "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "grey": None}
for number in range(110):
    width, height = rng.integers(1, 71, 2)
    if number % 5 == 0:  # around whole MCUs
        width, height = rng.choice([7, 8, 9, 15, 16, 17, 31, 32, 33], 2)
    sampling = rng.choice(list(SAMPLINGS))
    quality = int(rng.choice([3, 25, 50, 75, 90, 95, 100]))
    optimize = bool(rng.integers(2))
    restart = int(rng.choice([0, 0, 1, 2, 5]))
    image = scene(width, height)
    name = f"{sampling} q{quality}{' optimised' if optimize else ''} restart {restart}"
    if sampling == "440":
        flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling],
                 cv2.IMWRITE_JPEG_OPTIMIZE, int(optimize), cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
        data = cv2.imencode(".jpg", np.asarray(image)[:, :, ::-1], flags)[1].tobytes()
    else:
        options = {"quality": quality, "optimize": optimize, "restart_marker_blocks": restart}
        if sampling == "grey":
            image = image.convert("L")
        else:
            options["subsampling"] = SAMPLINGS[sampling]
        data = encode(image, **options)
    # libjpeg repeats chroma rows of one or two samples where it would interpolate others.
    narrow = sampling in ("422", "420") and width <= 4
    add(name, data, bool(not narrow))

# A slope in each colour, for what is decoded at a smaller scale: red 20 + 3 x, green 200 - 2 y, blue 60 + x + y.
y, x = np.mgrid[0:61, 0:70]
slope = Image.fromarray(np.stack([20 + 3 * x, 200 - 2 * y, 60 + x + y], axis=2).astype(np.uint8))
for sampling in ("444", "422", "420"):
    add(f"slope {sampling}", encode(slope, quality=98, subsampling=SAMPLINGS[sampling]), True)
flags = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS["440"]]
add("slope 440", cv2.imencode(".jpg", np.asarray(slope)[:, :, ::-1], flags)[1].tobytes(), True)

add("progressive", encode(scene(41, 30), quality=85, progressive=True), False)
add("progressive grey", encode(scene(41, 30).convert("L"), quality=85, progressive=True), False)
add("RGB", encode(scene(20, 30), quality=85, keep_rgb=True), False)
add("CMYK", encode(scene(20, 30).convert("CMYK"), quality=85), False)
quarter = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411]
add("411", cv2.imencode(".jpg", np.asarray(scene(50, 30)), quarter)[1].tobytes(), False)

(out / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
(out / "files.bin").write_bytes(b"".join(files))
print(f"{len(cases)} files, {sum(map(len, files))} bytes")
