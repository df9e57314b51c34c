#!/usr/bin/env python3
"""torchvision feeding a network: the opponents of `cargo xtask bench-feed`, which calls this file.

    feed.py versions                        one JSON object: package -> version, null if it is not installed
    feed.py photos FOLDER --count 24        writes 2048x1536 JPEGs as a camera makes them, for the same bench
    feed.py run pil|tensor --recipe table|plateau --folder FOLDER --images 512 [--workers 0] [--no-normalise]
            [--no-antialias] [--batch 32] [--epochs 3]

`run` is one contestant in one process. It goes through the images once to warm up, then `--epochs` times, and prints a JSON line
per timed epoch, in images per second, and a last one with the median and the peak in MB.

`pil` is what torchvision's users have written for years: Pillow opens the file, and transforms work on its images. `tensor` is the
way that its documentation recommends for speed: `torchvision.io` decodes to a uint8 tensor and transforms of `v2` work on that.

`table` squashes to 224 pixels, flips, AugMix (three chains of one to three operations, their strength up to half of the
greatest), turns by up to 10 degrees in 35 of 100 images. `plateau` is RandomResizedCrop to 224 pixels and a flip. Both end with
floats, normalised, unless `--no-normalise`.
"""
import argparse
import importlib.metadata
import json
import statistics
import sys
import time
from pathlib import Path

PACKAGES = ["torch", "torchvision", "pillow", "numpy"]
SIZE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def transforms(args):
    """The recipe for images as the contestant decodes them."""
    import torch
    from torchvision.transforms import InterpolationMode, v2

    bilinear, antialias = InterpolationMode.BILINEAR, not args.no_antialias
    if args.recipe == "table":
        steps = [
            v2.Resize((SIZE, SIZE), interpolation=bilinear, antialias=antialias),
            v2.RandomHorizontalFlip(0.5),
            v2.AugMix(severity=5, mixture_width=3, chain_depth=-1, alpha=1.0),
            v2.RandomApply([v2.RandomRotation(10)], p=0.35),
        ]
    else:
        steps = [
            v2.RandomResizedCrop(SIZE, interpolation=bilinear, antialias=antialias),
            v2.RandomHorizontalFlip(0.5),
        ]
    if args.contestant == "pil":
        steps += [v2.PILToTensor()]
    if not args.no_normalise:
        steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
    return v2.Compose(steps)


def decoder(args):
    """From a path to an image, or to a tensor."""
    if args.contestant == "pil":
        from PIL import Image

        def decode(path):
            with Image.open(path) as image:
                return image.convert("RGB")

        return decode
    from torchvision import io

    return lambda path: io.decode_jpeg(io.read_file(str(path)), mode=io.ImageReadMode.RGB)


class Files:
    """The data set: images of a folder, the first by name."""

    def __init__(self, args):
        self.paths = sorted(Path(args.folder).iterdir())[: args.images]
        self.decode, self.transform = decoder(args), transforms(args)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        import torch

        torch.set_num_threads(1)
        return self.transform(self.decode(self.paths[index]))


def run(args):
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    files = Files(args)
    loader = torch.utils.data.DataLoader(
        files,
        batch_size=args.batch,
        shuffle=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        multiprocessing_context="fork" if args.workers > 0 else None,
    )
    rates = []
    for epoch in range(args.epochs + 1):
        began = time.perf_counter()
        for batch in loader:
            assert batch.shape[1:] == (3, SIZE, SIZE), batch.shape
        if epoch > 0:
            rates.append(len(files) / (time.perf_counter() - began))
            print(json.dumps({"img_per_s": round(rates[-1], 2)}), flush=True)
    print(json.dumps({"median_img_per_s": round(statistics.median(rates), 2), "peak_mb": peak_mb()}), flush=True)


def peak_mb():
    """The kernel's high-water mark of this process's resident memory, in MB of 10^6 bytes."""
    with open("/proc/self/status") as status:
        kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return round(kb * 1024 / 1e6, 1)


def photos(args):
    """JPEGs of quality 90 with chroma at half size, and as many bytes per pixel as photographs have.

    A picture is noise whose amplitude falls with frequency, as in natural images (octaves of random grids, each half as strong as
    the coarser one), tinted, with some shapes of hard edges, and a little noise per pixel, as of a sensor.
    """
    import numpy as np
    from PIL import Image

    width, height = 2048, 1536
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(args.count):
        rng = np.random.default_rng(number)
        picture = np.zeros((height, width, 3), np.float32)
        for octave in range(2, 11):
            grid = rng.normal(0, 1, (3 << octave - 2, 4 << octave - 2)).astype(np.float32)
            layer = np.asarray(Image.fromarray(grid).resize((width, height), Image.BICUBIC))
            picture += (layer * (60 * 0.55 ** (octave - 2)))[:, :, None]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        for _ in range(12):
            cx, cy, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(60, 400)
            inside = (x - cx) ** 2 + (y - cy) ** 2 * rng.uniform(0.5, 2) < radius**2
            picture[inside] = picture[inside] * 0.6 + rng.normal(0, 50, 3).astype(np.float32)
        tint = np.stack([np.sin(x / width * a + y / height * b) for a, b in rng.uniform(-4, 4, (3, 2))], axis=2)
        picture += 120 + 25 * tint + rng.normal(0, 2.5, picture.shape)
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        unfinished = folder / f".{number:03}.part"
        Image.fromarray(pixels).save(unfinished, format="JPEG", quality=90, subsampling="4:2:0")
        unfinished.rename(folder / f"{number:03}.jpg")


def versions(_args):
    def version(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    found = {"python": sys.version.split()[0]}
    print(json.dumps(found | {package: version(package) for package in PACKAGES}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    commands.add_parser("versions").set_defaults(do=versions)

    generated = commands.add_parser("photos")
    generated.add_argument("folder")
    generated.add_argument("--count", type=int, default=24)
    generated.set_defaults(do=photos)

    timed = commands.add_parser("run")
    timed.add_argument("contestant", choices=["pil", "tensor"])
    timed.add_argument("--recipe", choices=["table", "plateau"], required=True)
    timed.add_argument("--folder", required=True)
    timed.add_argument("--images", type=int, default=512, help="the first of the folder by name")
    timed.add_argument("--workers", type=int, default=0)
    timed.add_argument("--batch", type=int, default=32)
    timed.add_argument("--epochs", type=int, default=3, help="timed passes over the images")
    timed.add_argument("--no-normalise", action="store_true")
    timed.add_argument("--no-antialias", action="store_true", help="tensors only: Pillow always averages")
    timed.set_defaults(do=run)

    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
