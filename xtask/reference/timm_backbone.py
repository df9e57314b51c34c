#!/usr/bin/env python3
"""Backbones that mlcls exports for timm, in timm: a strict load, and the same features.

usage: timm_backbone.py [MODEL ...]        (all by default; from the root of the repository)
needs: torch, timm, numpy, safetensors (versions are printed), cargo

For every model and two sizes, `cargo run --example onnx_reference` makes random weights with running statistics that belong to
them, the file, the Python expressions that `mlcls export --to safetensors` prints, and the engine's own features of seven images
of noise. The model is made and run by these expressions, in float64. A line per case: how many tensors were loaded strictly, and the
greatest difference of the features, of the greatest feature. Fails above 1e-4.
"""
import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

MODELS = ["mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s", "efficientnet_lite0", "dinov2_small", "dinov2_base"]
TOLERANCE = 1e-4


def case(name, size, folder):
    command = ["cargo", "run", "--quiet", "-p", "mlcls-export", "--example", "onnx_reference", "--"]
    subprocess.run(command + [name, "cosine", str(size), str(folder)], check=True)
    expected = load_file(folder / "reference.safetensors")
    path = folder / "backbone.safetensors"
    create, features = (folder / "backbone.py").read_text().splitlines()
    model = eval(create, {"timm": timm})
    state = load_file(path)
    model.load_state_dict(state, strict=True)
    model = model.double().eval()
    said = eval(safe_open(path, "pt").metadata()["mlcls_preprocessing"])
    assert said["size"] == [size, size], said
    x = expected["pixels"].double() / 255
    x = ((x - torch.tensor(said["mean"])) / torch.tensor(said["std"])).permute(0, 3, 1, 2)
    with torch.no_grad():
        found = eval(features, {"model": model, "x": x, "torch": torch}).numpy()
    engine = expected["features"].double().numpy()
    assert found.shape == engine.shape and engine.std() > 1e-3, (found.shape, engine.shape)
    off = float(np.abs(found - engine).max() / np.abs(engine).max())
    good = off <= TOLERANCE
    print(f"{name:<20}{size:>4}{len(state):>8}{off:>12.1e}  {'ok' if good else 'FAILED'}  {create}", flush=True)
    return good


def main():
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in ["torch", "timm", "numpy", "safetensors"]))
    print(f"{'model':<20}{'size':>4}{'tensors':>8}{'features':>12}")
    results = []
    for name in sys.argv[1:] or MODELS:
        for size in (224, 98 if name.startswith("dinov2") else 97):
            with tempfile.TemporaryDirectory() as folder:
                results.append(case(name, size, Path(folder)))
    print("all within limits" if all(results) else "FAILED")
    sys.exit(not all(results))


main()
