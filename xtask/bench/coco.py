#!/usr/bin/env python3
"""Python reading a COCO file: the opponents of `cargo xtask bench-coco`, which calls this file.

    coco.py json|pycocotools FILE

`json` is `json.load`, and what every program does that reads the file by itself; `pycocotools` is its class COCO, which also makes
an index. Each prints one JSON object: seconds, peak memory in MB (10^6 bytes), and how many images, empty images and positive
labels the file has, counted after the clock has stopped.
"""
import contextlib
import io
import json
import resource
import sys
import time


def main():
    contestant, file = sys.argv[1:]
    if contestant == "pycocotools":
        from pycocotools.coco import COCO
    start = time.perf_counter()
    if contestant == "pycocotools":
        with contextlib.redirect_stdout(io.StringIO()):
            data = COCO(file).dataset
    else:
        with open(file) as text:
            data = json.load(text)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    shown = {(o["image_id"], o["category_id"]) for o in data["annotations"]}
    images = len(data["images"])
    print(json.dumps({
        "seconds": seconds,
        "peak_mb": peak,
        "images": images,
        "empty": images - len({image for image, _ in shown}),
        "positives": len(shown),
    }))


main()
