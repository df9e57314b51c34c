#!/usr/bin/env python3
"""Reference values for DINOv2 in crates/mlcls-models: timm's models with weights from a formula, in float64.

usage: dinov2.py OUT_DIR      (OUT_DIR is crates/mlcls-models/tests/fixtures)
       dinov2.py speed ONNX   (images per second of DINOv2-S in PyTorch, and of an exported file in onnxruntime and OpenVINO)
needs: torch, timm, numpy, safetensors (versions are recorded in what it writes); for `speed` onnxruntime, openvino

  dinov2.json                name and shape of every tensor, parameters, multiply-accumulates at 224 pixels
  <model>_<size>.safetensors, metadata: batch, versions
      map      [n, 1 + K]    per image, the sketch (see models.py) of the map: at each patch the class token, then its own
      features [n, 1 + K]    of the class token and the mean of the patches
      logits   [n, c]        of a cosine head on these

Also prints by how much the model would differ with what candle-transformers' own `dinov2` does otherwise.
"""
import json
import os
import sys
import time

import timm
import torch
from models import CLASSES, IMAGENET, Cosine, formula, image, sketch
from safetensors.torch import save_file
from timm_model import patch_map
from torch.utils.flop_counter import FlopCounterMode

MODELS = ["vit_small_patch14_dinov2", "vit_base_patch14_dinov2"]
CASES = [(MODELS[0], 56, 3), (MODELS[0], 224, 1), (MODELS[1], 56, 1)]


class Net(torch.nn.Module):
    def __init__(self, name, size):
        super().__init__()
        self.backbone = timm.create_model(name, pretrained=False, num_classes=0)
        self.head = Cosine(2 * self.backbone.num_features, CLASSES)
        with torch.no_grad():
            for key, tensor in self.state_dict(keep_vars=True).items():
                tensor.copy_(formula(key.removeprefix("backbone."), tuple(tensor.shape)))
        self.backbone.set_input_size((size, size))  # resamples positions as loading a checkpoint does

    def forward(self, x):
        map = patch_map(self.backbone.forward_features(x))
        features = map.mean(1)
        return map, features, self.head(features)


def case(name, size, batch):
    net = Net(name, size).eval()
    with torch.no_grad():
        x = image(batch, size, 0, *IMAGENET, torch.float64)
        map, features, logits = net.double()(x)
        print(f"{name} {size}:", {"features": list(features.shape), "norm": float(features.norm())})
        rounded = net.float()(x.float())[1]
        print(f"  PyTorch in float32 differs by {relative(rounded, features):.1e}")
        for block in net.backbone.blocks:
            block.mlp.act = torch.nn.GELU(approximate="tanh")
            block.norm1.eps = block.norm2.eps = 1e-5
        net.backbone.norm.eps = 1e-5
        print(f"  with GELU by tanh and an epsilon of 1e-5: {relative(net.double()(x)[1], features):.1e}")
    sketches = {
        "map": torch.tensor([sketch("map", one) for one in map]),
        "features": torch.tensor([sketch("features", one) for one in features]),
        "logits": logits,
    }
    return {k: v.float().contiguous() for k, v in sketches.items()}


def relative(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


def structure(name):
    net = timm.create_model(name, pretrained=False, num_classes=0)
    tensors = {k: list(t.shape) for k, t in net.state_dict().items()}
    parameters = sum(p.numel() for p in net.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        timm.create_model(name, pretrained=False, num_classes=0, img_size=224).eval()(torch.zeros(1, 3, 224, 224))
    return {"tensors": tensors, "parameters": parameters, "macs": counter.get_total_flops() // 2}


def rate(run, batch):
    run()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return batch / sorted(times)[2]


def speed(path, batch=32):
    import onnxruntime
    import openvino

    torch.set_num_threads(os.cpu_count())
    x = torch.randn(batch, 3, 224, 224)
    net = timm.create_model(MODELS[0], pretrained=False, num_classes=0, img_size=224).eval()
    with torch.inference_mode():
        print(f"PyTorch {rate(lambda: net.forward_features(x), batch):.1f} images/s")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    print(f"onnxruntime {rate(lambda: session.run(None, {'image': x.numpy()}), batch):.1f} images/s")
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    print(f"OpenVINO {rate(lambda: compiled(x.numpy()), batch):.1f} images/s")


def main():
    if sys.argv[1] == "speed":
        return speed(sys.argv[2])
    out = sys.argv[1]
    versions = {"torch": torch.__version__, "timm": timm.__version__}
    with open(os.path.join(out, "dinov2.json"), "w") as f:
        json.dump({"versions": versions} | {name: structure(name) for name in MODELS}, f, separators=(",", ":"))
        f.write("\n")
    for name, size, batch in CASES:
        path = os.path.join(out, f"{name}_{size}.safetensors")
        save_file(case(name, size, batch), path, versions | {"batch": str(batch), "salt": "0"})


if __name__ == "__main__":
    main()
