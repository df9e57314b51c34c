#!/usr/bin/env python3
"""Reference images for decoding, resizing and augmentation in mlcls-data.

usage: augment.py OUT_DIR        (OUT_DIR: crates/mlcls-data/tests/fixtures/augment)

Made with numpy 1.26.4, opencv-python-headless 4.8.1.78, Pillow 11.3.0. These versions matter to the last
bit: OpenCV 5.0 computes warpAffine in floating point, OTX 1.x ran on the fixed point of 4.x; Pillow 13 resizes rows
before columns for some shapes.

Writes pixels.bin (raw RGB of every case, one after another) and cases.json (a list of
{"name", "width", "height"} in the same order; the name holds the operation and its arguments), and the files of
decode/, whose expected pixels are cases too. "input" and "photo" are the images that the operations start from.
"""
import json
import sys
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

out = Path(sys.argv[1])
(out / "decode").mkdir(parents=True, exist_ok=True)
cases, pixels = [], []


def case(name, image):
    image = np.ascontiguousarray(np.asarray(image), dtype=np.uint8)
    assert image.ndim == 3 and image.shape[2] == 3, (name, image.shape)
    cases.append({"name": name, "width": image.shape[1], "height": image.shape[0]})
    pixels.append(image.tobytes())


def scene(width, height, seed, noise):
    """Waves of several lengths, a dark disc and some noise, in a middle range of values."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    image = np.stack([90 + 60 * np.sin(x / a + y / b) for a, b in [(5, 9), (3, 17), (11, 4)]], axis=2)
    image[(x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2] *= 0.3
    return np.clip(image + rng.normal(0, noise, image.shape), 8, 240).astype(np.uint8)


source = scene(40, 32, 1, 20)
case("input", source)
pil = Image.fromarray(source)

# Resizing.
SIZES = [(20, 16), (13, 11), (7, 5), (40, 9), (11, 32), (39, 33), (97, 71), (80, 64), (64, 20), (1, 1), (3, 50)]
for w, h in SIZES:
    case(f"bilinear {w} {h}", cv2.resize(source, (w, h), interpolation=cv2.INTER_LINEAR))
    case(f"antialias {w} {h}", pil.resize((w, h), Image.BILINEAR))
window = source[5:28, 3:34]  # x 3, y 5, width 31, height 23
case("bilinear window 24 24", cv2.resize(window, (24, 24), interpolation=cv2.INTER_LINEAR))
case("antialias window 24 24", Image.fromarray(window).resize((24, 24), Image.BILINEAR))

# Colour, by Pillow.
case("auto_contrast", ImageOps.autocontrast(pil))
case("equalize", ImageOps.equalize(pil))
for factor in (0.1, 0.55, 1.0, 1.35, 1.9):
    for name in ("color", "contrast", "brightness", "sharpness"):
        case(f"{name} {factor}", getattr(ImageEnhance, name.capitalize())(pil).enhance(factor))
for bits in (1, 3, 4, 8):
    case(f"posterize {bits}", ImageOps.posterize(pil, bits))
for threshold in (0, 77, 256):
    case(f"solarize {threshold}", ImageOps.solarize(pil, threshold))

# Geometry, by OpenCV; OTX gives it the forward map with the argument negated.
for value in (-0.3, -0.07, 0.013, 0.15, 0.3):
    warp = lambda m: cv2.warpAffine(source, np.array(m, dtype=float), (40, 32), flags=cv2.INTER_LINEAR)
    case(f"shear_x {value}", warp([[1, -value, 0], [0, 1, 0]]))
    case(f"shear_y {value}", warp([[1, 0, 0], [-value, 1, 0]]))
    case(f"translate_x {value}", warp([[1, 0, -value * 40], [0, 1, 0]]))
    case(f"translate_y {value}", warp([[1, 0, 0], [0, 1, -value * 32]]))

# Rotation and flip, by Pillow.
for degrees in (-10, -3, 0, 1, 7, 45):
    case(f"rotate {degrees}", pil.rotate(degrees))
case("flip", ImageOps.mirror(pil))

# AugMix with fixed parameters: mix 0.7; chains 0.5 (equalize, rotate-free shear) and 0.5 (colour).
m = np.float32(0.7)
first = cv2.warpAffine(np.asarray(ImageOps.equalize(pil)), np.array([[1, -0.15, 0], [0, 1, 0]]), (40, 32))
second = np.asarray(ImageEnhance.Color(pil).enhance(1.35))
mixed = (1 - m) * source.astype(np.float32)
for chain in (first, second):
    mixed += m * np.float32(0.5) * chain.astype(np.float32)
case("augmix", np.clip(mixed, 0, 255).astype(np.uint8))

# Files. Expected pixels are what cv2.imread gives (RGB order), Pillow's where OpenCV has no decoder.
photo = scene(48, 32, 2, 4)
case("photo", photo)
picture = Image.fromarray(photo)


def by_opencv(data):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return image[:, :, ::-1]


def by_pillow(data):
    return ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")


def file(name, image, reader=by_opencv, **options):
    buffer = BytesIO()
    image.save(buffer, **options)
    (out / "decode" / name).write_bytes(buffer.getvalue())
    case(f"decode {name}", reader(buffer.getvalue()))


file("rgb.jpg", picture, format="JPEG", quality=92)
file("progressive.jpg", picture, format="JPEG", quality=92, progressive=True, subsampling=0)
file("grey.jpg", picture.convert("L"), format="JPEG", quality=92)
file("cmyk.jpg", picture.convert("CMYK"), by_pillow, format="JPEG", quality=92, subsampling=0)
for orientation in range(2, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file(f"orientation{orientation}.jpg", picture, format="JPEG", quality=92, subsampling=0, exif=exif)
alpha = Image.fromarray((np.mgrid[0:32, 0:48][1] * 5).astype(np.uint8))
rgba = picture.copy()
rgba.putalpha(alpha)
file("rgba.png", rgba, format="PNG")
file("palette.png", picture.quantize(32), format="PNG")
file("palette_transparent.png", picture.quantize(32), format="PNG", transparency=3)
file("bilevel.png", picture.convert("1"), format="PNG")
file("grey_alpha.png", Image.merge("LA", (picture.convert("L"), alpha)), format="PNG")
file("lossless.webp", picture, format="WEBP", lossless=True)
file("alpha.webp", rgba, format="WEBP", lossless=True, exact=True)
file("lossy.webp", picture, format="WEBP", quality=90)
file("rgb.bmp", picture, format="BMP")
file("palette.bmp", picture.quantize(32), format="BMP")
file("still.gif", picture.quantize(32), by_pillow, format="GIF")
file("two_frames.gif", picture.quantize(32), by_pillow, format="GIF", save_all=True,
     append_images=[Image.new("RGB", picture.size, "red").quantize(4)])
file("lzw.tif", picture, format="TIFF", compression="tiff_lzw")
file("grey.tif", picture.convert("L"), format="TIFF")

wide = photo.astype(np.uint16) * 256 + np.arange(48, dtype=np.uint16)[None, :, None] * 5
for name, image in (("rgb16.png", wide), ("grey16.png", wide[:, :, 0])):
    data = cv2.imencode(".png", image[:, :, ::-1] if image.ndim == 3 else image)[1].tobytes()
    (out / "decode" / name).write_bytes(data)
    case(f"decode {name}", by_opencv(data))

(out / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
(out / "pixels.bin").write_bytes(b"".join(pixels))
print(f"{len(cases)} cases, {sum(map(len, pixels))} bytes")
