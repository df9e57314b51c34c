#!/usr/bin/env python3
"""Reference files for crates/mlcls-models' reading and writing of safetensors.

usage: weights.py FIXTURES [LITE0]      (crates/mlcls-models/tests/fixtures; a folder with Lite0's ImageNet weights)
needs: torch, timm, numpy, safetensors, blake3

Writes dtypes.safetensors (float16, bfloat16 and float32 tensors with awkward values) and dtypes_f32.safetensors (the same,
widened by PyTorch). Then reads saved.safetensors, which our own writer made, with the Python package and checks every
value against the formula of models.py. With LITE0 (tf_efficientnet_lite0.fp16.safetensors, and `input` in
tf_efficientnet_lite0.reference.safetensors) writes lite0_photos.safetensors: sketches of the pooled features and the
logits that timm computes in float64 from those float16 weights.
"""
import os
import sys

import blake3
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models import formula, sketch

SHAPES = {
    "stem.weight": (4, 3, 3, 3),
    "bn.weight": (4,),
    "bn.bias": (4,),
    "head.weight": (3, 4),
    "bn.running_mean": (4,),
    "bn.running_var": (4,),
}


def main():
    folder = sys.argv[1]
    tensors = {name: formula(name, shape) for name, shape in SHAPES.items()}
    tensors["stem.weight"] = tensors["stem.weight"].half()
    # Largest and smallest numbers of each type, subnormal ones, and both zeros.
    tensors["stem.weight"].view(-1)[:6] = torch.tensor([65504.0, -65504.0, 6e-8, 6.1e-5, -0.0, 0.0]).half()
    tensors["head.weight"] = tensors["head.weight"].bfloat16()
    tensors["head.weight"].view(-1)[:4] = torch.tensor([3.38e38, 1e-40, -0.0, 1.0 + 2**-7]).bfloat16()
    save_file(tensors, os.path.join(folder, "dtypes.safetensors"), {"torch": torch.__version__})
    wide = {name: t.float() for name, t in tensors.items()}
    save_file(wide, os.path.join(folder, "dtypes_f32.safetensors"), {"torch": torch.__version__})

    with safe_open(os.path.join(folder, "saved.safetensors"), "pt") as f:
        metadata = f.metadata()
        content = open(os.path.join(folder, "saved.safetensors"), "rb").read()
        content = content[8 + int.from_bytes(content[:8], "little") :]
        assert metadata.pop("blake3") == blake3.blake3(content).hexdigest()
        assert metadata == {"labels": '["cat", "dög"]', "model": "tiny"}, metadata
        assert set(f.keys()) == set(SHAPES), list(f.keys())
        for name, shape in SHAPES.items():
            assert torch.equal(f.get_tensor(name), formula(name, shape)), name
    print("saved.safetensors reads as it should")
    if len(sys.argv) > 2:
        lite0_photos(folder, sys.argv[2])


@torch.no_grad()
def lite0_photos(folder, lite0):
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).double().eval()
    weights = load_file(os.path.join(lite0, "tf_efficientnet_lite0.fp16.safetensors"))
    net.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in weights.items()}, strict=False)
    x = load_file(os.path.join(lite0, "tf_efficientnet_lite0.reference.safetensors"))["input"].double()
    x = ((x * 0.5 + 0.5) * 255).round() / 255  # the photographs' exact bytes
    features = net.forward_features((x - 0.5) / 0.5).mean((2, 3))
    rows = lambda name, t: torch.tensor([sketch(name, row) for row in t])
    out = {"features": rows("features", features), "logits": rows("logits", net.classifier(features))}
    versions = {"torch": torch.__version__, "timm": timm.__version__}
    save_file({k: v.float() for k, v in out.items()}, os.path.join(folder, "lite0_photos.safetensors"), versions)


if __name__ == "__main__":
    main()
