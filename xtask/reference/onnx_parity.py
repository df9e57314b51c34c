#!/usr/bin/env python3
"""What mlcls exports, run by other programs: the checker of onnx, onnxruntime, OpenVINO, and the model itself in timm.

usage: onnx_parity.py [MODEL ...]        (all by default; from the root of the repository)
needs: torch, timm, numpy, safetensors, onnx, onnxruntime, openvino, openvino-model-api (versions are printed), cargo

For every model, head and size below, `cargo run --example onnx_reference` makes the files and the engine's own numbers for
seven images of noise. A line per case, with the greatest differences from the engine:
  ort, openvino   logits, batches of 1 and 7
  timm            logits of the same weights in timm and PyTorch, which have never seen the file
  uint8           probabilities of both uint8 inputs, in both runtimes
  model_api       probabilities and labels of one image in OpenVINO's Model API, which reads the file's own entries
  features        `feature_vector`, in both runtimes
  int8            logits of both int8 files in onnxruntime without optimisation, which computes QuantizeLinear and DequantizeLinear one by
                  one, beside those that mlcls simulates: root mean square, as a share of that of what quantisation changes. Sums in
                  another order put a few numbers into the neighbouring step, and every layer behind multiplies them: deep random networks come near 1.4, that
                  of two results with nothing in common. crates/mlcls-export/tests/onnx/int8.rs judges, in networks of a few layers.
  map             `saliency_map` beside ReciproCAM by its definition (a masked map per place, through the head), of 255
Fails where logits or probabilities differ by more than 1e-4, features by more than 1e-4 of the greatest, the map by more than 1; int8 is only told.
"""
import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from model_api.adapters import ONNXRuntimeAdapter
from model_api.models import ClassificationModel
from safetensors.numpy import load_file
from timm_model import feature_maps, head

MODELS = {  # our name: timm's, our default head
    "mobilenet_v3_large": ("mobilenetv3_large_100", "nonlinear"),
    "efficientnet_b0": ("efficientnet_b0", "cosine"),
    "efficientnet_v2_s": ("tf_efficientnetv2_s", "cosine"),
    "efficientnet_lite0": ("tf_efficientnet_lite0", "cosine"),
    "dinov2_small": ("vit_small_patch14_dinov2", "cosine"),
    "dinov2_base": ("vit_base_patch14_dinov2", "cosine"),
}
SIZES, SIZES_OF_PATCHES = (224, 97, 130, 65), (224, 98, 126, 70)
OTHER = {"cosine": "nonlinear", "nonlinear": "cosine"}
LABELS = ["cat", "traffic_light", "dog", "bus", "tree"]  # of the example, as Model API wants them
TOLERANCE = 1e-4
COLUMNS = ["ort", "openvino", "timm", "uint8", "model_api", "features", "map", "int8"]


def in_timm(name, weights, pixels):
    """The last map and the logits, in float64."""
    maps = feature_maps(name, weights, pixels)
    return maps, head(maps.mean((2, 3)), weights)


def reciprocam(maps, weights):
    """OTX's class-wise saliency maps before rounding: `ReciproCAMHook` and `_normalize_map`."""
    n, c, h, w = maps.shape
    places = torch.eye(h * w, dtype=maps.dtype).reshape(h * w, 1, h, w)
    result = []
    for image in maps:
        pooled = (image * places).mean((2, 3))
        scores = torch.sigmoid(head(pooled, weights)).T
        low, high = scores.min(1, keepdim=True).values, scores.max(1, keepdim=True).values
        result.append(255 * (scores - low) / (high - low + 1e-12))
    return torch.stack(result).reshape(n, -1, h, w).numpy()


def runtimes(file):
    """onnxruntime and OpenVINO: functions from images to {output: values}."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "ort": lambda x: dict(zip(names, session.run(None, {"image": x}))),
        "openvino": lambda x: {name: v for o, v in compiled(x).items() for name in o.names},
    }


def in_model_api(file, image):
    """Scores of an image, and the labels that are predicted, by what the file says about itself."""
    model = ClassificationModel(ONNXRuntimeAdapter(file), preload=True)
    assert list(model.params.labels) == LABELS, model.params.labels
    result = model(image)
    return np.asarray(result.raw_scores), [label.name for label in result.top_labels]


def case(ours, name, head_name, size, folder):
    command = ["cargo", "run", "--quiet", "-p", "mlcls-export", "--example", "onnx_reference", "--"]
    subprocess.run(command + [ours, head_name, str(size), str(folder)], check=True)
    expected = load_file(folder / "reference.safetensors")
    weights = load_file(folder / "weights.safetensors")
    pixels, logits = expected["pixels"], expected["logits"]
    far = lambda a, b: float(np.abs(np.asarray(a, np.float64) - b).max())
    assert np.isfinite(logits).all() and logits.std() > 1e-3, "logits that tell nothing"

    file = str(folder / "float.onnx")
    for variant in ("float", "nchw", "nhwc"):
        onnx.checker.check_model(str(folder / f"{variant}.onnx"), full_check=True)
    found = {}
    maps, in_torch = in_timm(name, weights, pixels)
    found["timm"] = far(logits, in_torch.numpy())
    nchw = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    by_definition = reciprocam(maps, weights)
    found["features"] = found["map"] = found["uint8"] = 0.0
    for runtime, run in runtimes(file).items():
        whole, first = run(nchw), run(nchw[:1])
        found[runtime] = max(far(whole["logits"], logits), far(first["logits"], logits[:1]))
        greatest = np.abs(expected["features"]).max()
        found["features"] = max(found["features"], far(whole["feature_vector"], expected["features"]) / greatest)
        assert whole["saliency_map"].dtype == np.uint8
        off = by_definition - whole["saliency_map"].astype(np.float64)  # 0 to 1 where it was rounded down
        found["map"] = max(found["map"], float(np.abs(off - 0.5).max() - 0.5))
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    by_model_api, predicted = in_model_api(file, pixels[0].astype(np.uint8))
    found["model_api"] = far(by_model_api, scores[0])
    assert predicted == [label for label, score in zip(LABELS, scores[0]) if score > 0.5], predicted
    bytes_ = {"nchw": nchw.astype(np.uint8), "nhwc": pixels.astype(np.uint8)}
    for variant, images in bytes_.items():
        for run in runtimes(str(folder / f"{variant}.onnx")).values():
            for n in (1, 7):
                found["uint8"] = max(found["uint8"], far(run(images[:n])["probabilities"], scores[:n]))
    found["int8"] = 0.0
    for variant in ("int8", "int8_ort"):
        if variant not in expected:  # a transformer
            continue
        onnx.checker.check_model(str(folder / f"{variant}.onnx"), full_check=True)
        plain = onnxruntime.SessionOptions()
        plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(str(folder / f"{variant}.onnx"), plain, providers=["CPUExecutionProvider"])
        simulated = expected[variant].astype(np.float64)
        rms = lambda a: float(np.sqrt((a**2).mean()))
        changed = rms(simulated - logits)
        assert changed > 1e-3 * logits.std(), "nothing was quantised"
        found["int8"] = max(found["int8"], rms(session.run(None, {"image": nchw})[0] - simulated) / changed)
    limits = {"map": 1.0, "int8": np.inf}
    good = all(value <= limits.get(key, TOLERANCE) for key, value in found.items())
    row = "".join(f"{found[c]:>10.1e}" for c in COLUMNS)
    megabytes = Path(file).stat().st_size / 1e6
    print(f"{ours:<20}{head_name:<11}{size:>4}{megabytes:>7.1f}{row}  {'ok' if good else 'FAILED'}", flush=True)
    return good


def main():
    wanted = sys.argv[1:] or list(MODELS)
    packages = ["torch", "timm", "numpy", "onnx", "onnxruntime", "openvino", "openvino-model-api"]
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages))
    print(f"{'model':<20}{'head':<11}{'size':>4}{'MB':>7}" + "".join(f"{c:>10}" for c in COLUMNS))
    results = []
    for ours in wanted:
        name, default = MODELS[ours]
        sizes = SIZES_OF_PATCHES if "patch14" in name else SIZES
        for head_name, size in zip([default, default, OTHER[default], "linear"], sizes):
            with tempfile.TemporaryDirectory() as folder:
                results.append(case(ours, name, head_name, size, Path(folder)))
    print("all within limits" if all(results) else "FAILED")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
