#!/usr/bin/env python3
"""Reference values for crates/mlcls-models: the four backbones with our heads, in PyTorch and timm, in float64.

usage: models.py OUT_DIR      (OUT_DIR is crates/mlcls-models/tests/fixtures)
needs: torch, timm, numpy, safetensors (versions are recorded in what it writes)

Weights, pixels and the loss come from formulas that the Rust tests repeat, so only results are stored:
  structure.json            name and shape of every tensor of every model, parameter and MAC counts
  <model>_<size>.safetensors, metadata: batch, salt, versions
      eval_logits [n, c]         with the running statistics of the formula
      eval_features [n, 1 + K]   per image, L2 norm and K dot products with vectors of +-1
      train_logits [n, c]        with batch statistics
      grads   [tensors, 1 + K]   per parameter, sorted by name, the same
      buffers [tensors, 1 + K]   the same for running statistics after the training-mode pass
The mean square of the K differences of dot products estimates the squared L2 norm of the difference of the tensors.

A gradient jumps where an activation has a corner. Rounding to float32 can push a value over a corner, and then the
gradients of float32 and float64 differ by far more than rounding. So for the models with corners (ReLU, ReLU6, hard
swish) the gradients are taken on small images, and `salt` (part of the pixels' formula) is the first one for which every
activation's input stays clear of the corners by MARGIN times the rounding error that float32 makes there.
"""
import functools
import json
import os
import sys

import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

K = 8
CLASSES = 5
MARGIN = 3
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)
# timm name: (non-linear head, mean and std, size and batch of the small images). Both small sizes have odd feature maps
# under a stride of 2 (40 -> 5 -> 3 -> 2, 80 -> 5 -> 3), where symmetric and SAME padding differ.
MODELS = {
    "mobilenetv3_large_100": (True, IMAGENET, (40, 6)),
    "efficientnet_b0": (False, IMAGENET, (80, 4)),
    "tf_efficientnetv2_s": (False, IMAGENET, (80, 4)),
    "tf_efficientnet_lite0": (False, HALF, (40, 4)),
}
CORNERS = {  # where the derivative jumps
    torch.nn.ReLU: [0.0],
    torch.nn.ReLU6: [0.0, 6.0],
    torch.nn.Hardswish: [-3.0, 3.0],
    torch.nn.Hardsigmoid: [-3.0, 3.0],
    torch.nn.PReLU: [0.0],
}

torch.set_num_threads(1)
u64 = np.uint64
np.seterr(over="ignore")


def bits(name, count):
    """64 random bits per element: SplitMix64 over the index, keyed by the FNV-1a hash of the name."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    z = u64(key) + (np.arange(count, dtype=u64) + u64(1)) * u64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> u64(27))) * u64(0x94D049BB133111EB)
    return z ^ (z >> u64(31))


def uniform(name, count):
    """Multiples of 2^-23 in [-1, 1): exact in float32."""
    return (bits(name, count) >> u64(40)).astype(np.float64) / 2.0**23 - 1.0


def formula(name, shape):
    """The value of a tensor, by what its name says it is; rounded to float32."""
    count = int(np.prod(shape)) if len(shape) else 1
    u = uniform(name, count)
    if name.endswith("running_mean"):
        v = 0.2 * u
    elif name.endswith("running_var"):
        v = 1.0 + 0.5 * u
    elif name == "head.act.weight":
        v = 0.25 + 0.05 * u
    elif name.endswith("bias"):
        v = 0.1 * u
    elif name == "pos_embed":
        v = 0.5 * u
    elif len(shape) == 1:  # scale of a batch-norm
        v = 1.0 + 0.3 * u
    else:  # variance 1 / inputs of one output: with running variances around 1, activations neither grow nor die out
        v = u * np.sqrt(3.0 / np.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


class Cosine(torch.nn.Module):
    def __init__(self, width, classes, scale=7.0):
        super().__init__()
        self.scale = scale
        self.weight = torch.nn.Parameter(torch.zeros(classes, width))

    def forward(self, x):
        return self.scale * (F.normalize(x) @ F.normalize(self.weight).t()).clamp(-1, 1)


class NonLinear(Cosine):
    def __init__(self, width, classes, hidden=1280):
        super().__init__(hidden, classes)
        self.hidden = torch.nn.Linear(width, hidden)
        self.bn = torch.nn.BatchNorm1d(hidden)
        self.act = torch.nn.PReLU()

    def forward(self, x):
        return super().forward(self.act(self.bn(self.hidden(x))))


class Net(torch.nn.Module):
    def __init__(self, name, nonlinear):
        super().__init__()
        self.backbone = timm.create_model(name, pretrained=False, num_classes=0)
        if nonlinear:  # MobileNetV3: timm's layer after the pooling is not ours
            self.backbone.conv_head = torch.nn.Identity()
        self.head = NonLinear(960, CLASSES) if nonlinear else Cosine(1280, CLASSES)
        with torch.no_grad():
            for key, tensor in self.tensors().items():
                tensor.copy_(formula(key, tuple(tensor.shape)))

    def rename(self, items):
        return {k.removeprefix("backbone."): v for k, v in items if not k.endswith("num_batches_tracked")}

    def tensors(self):
        return self.rename(self.state_dict(keep_vars=True).items())

    def features(self, x):
        return self.backbone.forward_features(x).mean((2, 3))

    def forward(self, x):
        return self.head(self.features(x))


def pixels(batch, size, salt):
    b = bits(f"pixels{size}.{salt}", batch * size * size * 3)
    return (b >> u64(56)).astype(np.uint8).reshape(batch, size, size, 3)


def image(batch, size, salt, mean, std, dtype):
    x = torch.from_numpy(pixels(batch, size, salt)).to(torch.float64) / 255
    x = (x - torch.tensor(mean, dtype=torch.float64)) / torch.tensor(std, dtype=torch.float64)
    return x.permute(0, 3, 1, 2).contiguous().to(dtype)


class TooClose(Exception):
    pass


@functools.cache
def watched(name, dtype):
    """A net in training mode, and the list to which each forward pass appends the inputs of its activations."""
    net, inputs = Net(name, MODELS[name][0]).to(dtype).train(), []

    def look(module, args):
        x = args[0].detach().double().clone()
        inputs.append((type(module), x))
        # No layer's float32 error is below 1e-7: most salts fail here, early in the first of the two passes.
        if any((x - corner).abs().min() < MARGIN * 1e-7 for corner in CORNERS[type(module)]):
            raise TooClose

    for m in net.modules():
        if type(m) in CORNERS:
            m.register_forward_pre_hook(look)
    return net, inputs


def is_clear(name, size, batch, salt):
    """Whether every activation's input is MARGIN times the layer's RMS error of float32 away from the corners."""
    mean, std = MODELS[name][1]
    seen = []
    for dtype in (torch.float64, torch.float32):
        net, inputs = watched(name, dtype)
        inputs.clear()
        try:
            with torch.no_grad():
                net(image(batch, size, salt, mean, std, dtype))
        except TooClose:
            return False
        seen.append(list(inputs))
    return all(
        (exact - corner).abs().min() >= MARGIN * (exact - rounded).square().mean().sqrt()
        for (kind, exact), (_, rounded) in zip(*seen)
        for corner in CORNERS[kind]
    )


def sketch(name, tensor):
    """L2 norm and K dot products with vectors of +-1; bit k of the element's hash is the sign."""
    t = tensor.detach().double().reshape(-1).numpy()
    h = bits("sketch:" + name, t.size)
    signs = [1.0 - 2.0 * ((h >> u64(k)) & u64(1)).astype(np.float64) for k in range(K)]
    return [float(np.sqrt((t * t).sum()))] + [float((t * s).sum()) for s in signs]


def run(name, size, batch, salt, dtype):
    nonlinear, (mean, std), _ = MODELS[name]
    net = Net(name, nonlinear).to(dtype)
    x = image(batch, size, salt, mean, std, dtype)
    net.eval()
    with torch.no_grad():
        features = net.features(x)
        logits = net.head(features)
    net.train()
    train = net(x)
    factor = torch.from_numpy(uniform("loss", batch * CLASSES).reshape(batch, CLASSES)).to(dtype)
    (train * factor).sum().backward()
    grads = {k: p.grad for k, p in net.rename(net.named_parameters()).items()}
    buffers = net.rename(net.named_buffers())
    table = lambda d: torch.tensor([sketch(k, d[k]) for k in sorted(d)], dtype=torch.float64)
    out = {"eval_features": features, "eval_logits": logits, "train_logits": train.detach()}
    return out | {"grads": table(grads), "buffers": table(buffers)}, sorted(grads), sorted(buffers)


def deviation(a, b, zero):
    """Largest relative L2 error among the rows of two sketches, structural zeros left out."""
    err = (a[:, 1:] - b[:, 1:]).square().mean(1).sqrt() / a[:, 0]
    return float(err[a[:, 0] > zero].max())


def structure(name):
    nonlinear, _, _ = MODELS[name]
    net = Net(name, nonlinear)
    macs = 0

    def count(module, inputs, output):
        nonlocal macs
        macs += module.weight.numel() * (output[0, 0].numel() if output.dim() == 4 else 1)

    for m in net.modules():
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            m.register_forward_hook(count)
    net.eval()(torch.zeros(1, 3, 224, 224))
    return {
        "tensors": {k: list(t.shape) for k, t in net.tensors().items()},
        "backbone_parameters": sum(p.numel() for p in net.backbone.parameters()),
        "macs_without_class_vectors": macs,
    }


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    versions = {"torch": torch.__version__, "timm": timm.__version__, "numpy": np.__version__}
    with open(os.path.join(out, "structure.json"), "w") as f:
        json.dump({"versions": versions} | {name: structure(name) for name in MODELS}, f, separators=(",", ":"))
        f.write("\n")
    for name, (_, _, small) in MODELS.items():
        # Of two images the head's BatchNorm1d would leave nothing but signs.
        for size, batch in (small, (224, 4 if name.startswith("mobilenet") else 2)):
            write(out, versions, name, size, batch)


def write(out, versions, name, size, batch):
    with_grads = size < 224 or name == "efficientnet_b0"  # one smooth model is enough at 224
    salt = 0
    while with_grads and not is_clear(name, size, batch, salt):
        salt += 1
    ref, grads, buffers = run(name, size, batch, salt, torch.float64)
    f32, _, _ = run(name, size, batch, salt, torch.float32)
    print(f"{name} {size} salt {salt}; PyTorch in float32 differs by")
    for key in ("eval_features", "eval_logits", "train_logits"):
        print(f"  {key} {float((ref[key] - f32[key]).norm() / ref[key].norm()):.1e}")
    print(f"  buffers {deviation(ref['buffers'], f32['buffers'], 0):.1e}")
    if with_grads:
        norms = ref["grads"][:, 0]
        total = norms.norm()
        zero = norms <= 1e-9 * total  # a shift that the next batch-norm takes away again has no gradient
        noise = float((f32["grads"][:, 0] * zero).max() / total)
        print(f"  grads {deviation(ref['grads'], f32['grads'], 1e-9 * total):.1e};", end=" ")
        print(f"{int(zero.sum())} of {len(grads)} are zero, float32 has {noise:.1e} of the whole gradient there")
    else:
        del ref["grads"]
    ref["eval_features"] = torch.tensor([sketch("features", image) for image in ref["eval_features"]])
    meta = versions | {"batch": str(batch), "salt": str(salt)}
    save_file({k: v.float().contiguous() for k, v in ref.items()}, os.path.join(out, f"{name}_{size}.safetensors"), meta)


if __name__ == "__main__":
    main()
