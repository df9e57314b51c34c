#!/usr/bin/env python3
"""Reference statistics for the random crops in mlcls-data.

usage: crops.py OUT_FILE        (OUT_FILE: crates/mlcls-data/tests/fixtures/augment/crops.json)

Made with torch 2.15.0+cu132, torchvision 0.29.2+cu132. Writes mean and standard deviation of x, y, width, height
over 100,000 draws per image size. The torchvision style is drawn by torchvision itself; the EfficientNet style (mmcls
0.25) by the restatement below, as mmcls does not install beside current versions.
"""
import json
import math
import random
import sys

import torch
from torchvision.transforms import RandomResizedCrop

DRAWS = 100_000


def efficientnet(width, height, size=224):
    area = width * height
    for _ in range(10):
        aspect = random.uniform(3 / 4, 4 / 3)
        low, high = round(math.sqrt(0.08 * area / aspect)), round(math.sqrt(area / aspect))
        if high * aspect > width:
            high = int((width + 0.5 - 1e-7) / aspect)
            high -= high * aspect > width
        high = min(high, height)
        low = min(low, high)
        h = round(random.uniform(low, high))
        w = round(h * aspect)
        if 0.1 * area <= w * h <= area and w <= width and h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    side = size / (size + 32) * min(width, height)
    return round((width - side) / 2), round((height - side) / 2), int(side), int(side)


def torchvision(width, height):
    y, x, h, w = RandomResizedCrop.get_params(torch.empty(3, height, width), [0.08, 1.0], [3 / 4, 4 / 3])
    return x, y, w, h


def main():
    torch.set_num_threads(1)
    random.seed(7)
    torch.manual_seed(7)
    crops = []
    for style, draw in (("efficientnet", efficientnet), ("torchvision", torchvision)):
        for width, height in ((224, 224), (500, 333), (60, 400)):
            drawn = torch.tensor([draw(width, height) for _ in range(DRAWS)], dtype=torch.float64)
            crops.append({"style": style, "width": width, "height": height, "draws": DRAWS,
                          "mean": [round(v, 4) for v in drawn.mean(0).tolist()],
                          "deviation": [round(v, 4) for v in drawn.std(0).tolist()]})
    with open(sys.argv[1], "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in crops) + "\n]\n")


if __name__ == "__main__":
    main()
