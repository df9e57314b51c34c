#!/usr/bin/env python3
"""The mAP of what `mlcls optimize` writes, computed by onnxruntime and OpenVINO on a set in VOC layout.

usage: int8.py MLCLS CHECKPOINT VOC_DIR [SPLIT [OPTION ...]]      (MLCLS is the binary; SPLIT is val; options of `mlcls optimize`)
needs: torch, timm, scikit-learn, numpy, pillow, onnx, onnxruntime, openvino (versions are printed)

Images are decoded and resized by Pillow and given to all as PNG, so that all see the same pixels. AP is definition D (unknown left out,
labels without a positive too), per cent:
  float, onnxruntime       `mlcls export`; mlcls's own number beside it
  int8, ONNX's definition  onnxruntime without any optimisation: QuantizeLinear and DequantizeLinear one by one, in float; beside it what
                           mlcls has simulated
  int8, onnxruntime        as it runs, in int8 kernels
  int8, OpenVINO           the same
Fails where the first differs from mlcls by more than 0.05 points, or another by more than 0.5: sums in another order put a few numbers into the
neighbouring step, every layer behind multiplies them, and one place in the ranking of a label with three positives is worth 0.1
points. In small networks, where this does not add up, the simulation is held to logits by crates/mlcls-export/tests/onnx/int8.rs.
"""
import csv
import importlib.metadata
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from PIL import Image

from frozen_head import average_precision, read_split


def table(root, split, labels, side, folder):
    """A split as `folder/<split>.csv` and PNG files of the model's size; its images in batches, and its states [n, labels]."""
    names, states = read_split(root, labels, split)
    images = []
    with open(Path(folder, f"{split}.csv"), "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", *labels])
        for name, row in zip(names, states):
            image = Image.open(Path(root, "JPEGImages", name + ".jpg")).convert("RGB").resize((side, side), Image.BILINEAR)
            image.save(Path(folder, f"{split}-{name}.png"), compress_level=1)
            out.writerow([f"{split}-{name}.png", *({1: "1", -1: "0", 0: ""}[state] for state in row)])
            images.append(np.asarray(image, np.float32).transpose(2, 0, 1))
    return [np.stack(images[i : i + 16]) for i in range(0, len(images), 16)], states


def in_onnxruntime(file, optimised=True):
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["logits"], {"image": x})[0]


def in_openvino(file):
    compiled = openvino.Core().compile_model(file, "CPU")
    return lambda x: compiled(x)["logits"]


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    binary, checkpoint, root, *rest = sys.argv[1:]
    split, options = (rest[0], rest[1:]) if rest else ("val", [])
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in ["onnx", "onnxruntime", "openvino", "pillow"]))
    with tempfile.TemporaryDirectory() as folder:
        float_file, int8_file = f"{folder}/float.onnx", f"{folder}/int8.onnx"
        mlcls = lambda *words: json.loads(subprocess.run([binary, *words, "--json"], check=True, stdout=subprocess.PIPE).stdout)
        card = mlcls("export", checkpoint, "--out", float_file)
        data = Path(folder, "data")
        data.mkdir()
        table(root, "train", card["labels"], card["image_size"], data)
        batches, states = table(root, split, card["labels"], card["image_size"], data)
        own = mlcls("optimize", checkpoint, str(data), "--split", split, "--out", int8_file, "--python", "none", *options)
        onnx.checker.check_model(int8_file, full_check=True)

        def mean_ap(run):
            logits = np.concatenate([run(batch) for batch in batches])
            return np.nanmean([average_precision(z, s) for z, s in zip(logits.T, states.T)])

        definition = mean_ap(in_onnxruntime(int8_file, optimised=False))
        rows = [
            ("float, onnxruntime", mean_ap(in_onnxruntime(float_file)), own["map_float"], 0.05),
            ("int8, ONNX's definition", definition, own["map_int8"], 0.5),
            ("int8, onnxruntime", mean_ap(in_onnxruntime(int8_file)), definition, 0.5),
            ("int8, OpenVINO", mean_ap(in_openvino(int8_file)), definition, 0.5),
        ]
    print(f"{checkpoint}: {len(states)} images of {split}, {own['layers'] - len(own['float'])} of {own['layers']} layers in int8,")
    print(f"{own['bytes_int8'] / 1e6:.1f} of {own['bytes_float'] / 1e6:.1f} MB; mAP")
    for name, found, expected, limit in rows:
        print(f"  {name:<24}{found:>7.2f}  beside {expected:.2f}  {'ok' if abs(found - expected) <= limit else 'FAILED'}")
    sys.exit(any(not abs(found - expected) <= limit for _, found, expected, limit in rows))


if __name__ == "__main__":
    main()
