#!/usr/bin/env python3
"""The maps of `mlcls explain` beside the same maps computed from the checkpoint's tensors in timm and PyTorch.

usage: saliency.py MLCLS CHECKPOINT IMAGE...      (MLCLS is the binary)
needs: torch, timm, numpy, safetensors, pillow (versions are printed)

Per method, the greatest difference over all images and labels of a raw map, relative to the greatest value of that map:
  reciprocam  the map with all but one place set to zero, pooled, through the head, one place after the other
  gradcam     autograd: derivatives of a label's logit by the whole map, their mean per channel, weighted sum, ReLU
  activation  the mean over channels
Fails above 1e-3. Images are given as PNG of the model's input size, so that no resizing or decoding comes in between.
"""
import importlib.metadata
import json
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from timm_model import feature_maps, head


def maps_of(features, tensors):
    """Raw maps of one image's features [c, h, w], by method."""
    c, h, w = features.shape
    alone = torch.zeros(h * w, c, h, w, dtype=features.dtype)
    for place in range(h * w):
        y, x = divmod(place, w)
        alone[place, :, y, x] = features[:, y, x]
    scores = torch.sigmoid(head(alone.mean((2, 3)), tensors)).T.reshape(-1, h, w)

    leaf = features.clone().requires_grad_()
    logits = head(leaf.mean((1, 2))[None], tensors)[0]
    grads = [torch.autograd.grad(logit, leaf, retain_graph=True)[0] for logit in logits]
    cams = [(g.mean((1, 2), keepdim=True) * features).sum(0).clamp(min=0) for g in grads]
    return {"reciprocam": scores, "gradcam": torch.stack(cams), "activation": features.mean(0)[None]}


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    binary, checkpoint, *images = sys.argv[1:]
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in ["torch", "timm", "numpy"]))
    with safe_open(checkpoint, "np") as file:
        card = file.metadata()
    name, labels, side = card["model"], json.loads(card["labels"]), int(card["image_size"])
    tensors = load_file(checkpoint)
    worst = {"reciprocam": 0.0, "gradcam": 0.0, "activation": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i, image in enumerate(images):
            files.append(f"{folder}/{i}.png")
            Image.open(image).convert("RGB").resize((side, side)).save(files[-1])
        expected = []
        for file in files:
            features = feature_maps(name, tensors, np.array(Image.open(file))[None])[0]
            expected.append(maps_of(features, tensors))
        for method in worst:
            args = [binary, "explain", checkpoint, *files, "--method", method, "--all-labels", "--json"]
            lines = subprocess.run([*args, "--out", f"{folder}/{method}"], check=True, capture_output=True, text=True)
            for line, of_image in zip(lines.stdout.splitlines(), expected, strict=True):
                for written in json.loads(line)["maps"]:
                    label = labels.index(written["label"]) if written["label"] else 0
                    want = of_image[method][label].numpy()
                    apart = np.abs(np.load(written["npy"]) - want).max() / max(np.abs(want).max(), 1e-12)
                    worst[method] = max(worst[method], float(apart))
    print(f"{name}, {len(images)} images, {len(labels)} labels: " + ", ".join(f"{m} {v:.1e}" for m, v in worst.items()))
    sys.exit(max(worst.values()) > 1e-3)


if __name__ == "__main__":
    main()
