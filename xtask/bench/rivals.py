#!/usr/bin/env python3
"""Other programs doing what mlcls does: the opponents of `cargo xtask bench-cpu`, which calls this file.

    rivals.py versions                       one JSON object: package -> version, null if it is not installed
    rivals.py export --model M --batch 16 --size 224 --onnx FILE
    rivals.py run torch|torch-compile|onnxruntime|openvino --model M --mode train|sam|infer
              --batch 32 --size 224 --threads 2 --reps 7 [--warmup 2] [--onnx FILE] [--seconds 0] [--warmup-seconds 0]
              [--device cuda] [--dtype fp32|tf32|bf16|fp16]

`run` is one contestant in one process, so that its peak memory is its own. It prints a JSON line per timed step, in images per
second, and a last one with the median and the peak in MB. The inference engines read the file that `export` made in another process and never
load PyTorch.

Everybody works on the network that `examples/step_speed.rs` times: timm's backbone, OTX's head for 20 labels, single precision (or
another for PyTorch on a GPU: `tf32` allows TF32; the shorter ones are autocast's in training, and all weights have them in
inference), random weights and pixels, on which the speed does not depend. A step of training is forward, loss, backward and SGD;
a step of SAM has two passes. Inference takes one batch at a time and waits for it.
"""
import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import time

LABELS = 20
SCALE = 7.0  # of the cosine head
PACKAGES = ["torch", "timm", "onnx", "onnxscript", "onnxruntime", "openvino"]


def network(name):
    """timm's backbone under the head that mlcls gives it by default (crates/mlcls-models/src/head.rs)."""
    import timm
    import torch
    from torch import nn
    from torch.nn.functional import normalize

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = timm.create_model(name, pretrained=False, num_classes=0)
            width = self.backbone.num_features
            self.hidden = nn.Identity()
            if name.startswith("mobilenetv3"):
                # OTX's hidden layer replaces the one that timm has between pooling and classifier.
                del self.backbone.conv_head
                self.hidden = nn.Sequential(nn.Linear(width, 1280), nn.BatchNorm1d(1280), nn.PReLU())
                width = 1280
            self.labels = nn.Parameter(normalize(torch.randn(LABELS, width)))

        def forward(self, images):
            maps = self.backbone.forward_features(images)
            features = self.hidden(self.backbone.global_pool(maps).flatten(1))
            cosine = normalize(features) @ normalize(self.labels).T
            return SCALE * cosine.clamp(-1, 1)

    torch.manual_seed(0)
    return Network().to(memory_format=torch.channels_last)


def images(args):
    """A batch as PyTorch likes it best: channels last, and already where it computes."""
    import torch

    shape = (args.batch, 3, args.size, args.size)
    return torch.randn(shape).to(args.device, memory_format=torch.channels_last)


def angular_loss(logits, present):
    """Asymmetric angular margin loss with the default values of crates/mlcls-loss (aam.rs), summed over the batch."""
    balance, shift, floor = 0.8, 0.05, 1e-8
    right = logits.sigmoid()
    absent = ((-logits).sigmoid() + shift).clamp(max=1.0)
    of_present = balance * right.clamp(min=floor).log()
    of_absent = (1 - balance) * right * absent.clamp(min=floor).log()
    return -(present * of_present + (1 - present) * of_absent).sum() / SCALE


def torch_step(args):
    """One step of PyTorch as a function without arguments."""
    import torch

    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.dtype == "tf32"
    short = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.dtype)
    model, x = network(args.model).to(args.device), images(args)
    model.train(args.mode != "infer")
    if args.mode == "infer" and short is not None:
        # Autocast would cast all weights anew in every step.
        model, x, short = model.to(short), x.to(short), None
    if args.contestant == "torch-compile":
        model.compile()

    def logits():
        with torch.autocast(args.device.split(":")[0], dtype=short, enabled=short is not None):
            return model(x)

    def infer():
        with torch.inference_mode():
            logits()

    present = (torch.rand(args.batch, LABELS) < 0.08).float().to(args.device)
    weights = list(model.parameters())
    # Fused is the fastest of PyTorch's own SGDs.
    optimizer = torch.optim.SGD(weights, lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)

    def gradient():
        optimizer.zero_grad(set_to_none=True)
        angular_loss(logits().float(), present).backward()

    def train():
        gradient()
        optimizer.step()

    def sam(radius=0.05):
        gradient()
        with torch.no_grad():
            uphill = [w.grad for w in weights]
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(uphill)))
            torch._foreach_mul_(uphill, radius / (norm.item() + 1e-12))
            torch._foreach_add_(weights, uphill)
        gradient()
        with torch.no_grad():
            torch._foreach_sub_(weights, uphill)
        optimizer.step()

    step = {"train": train, "sam": sam, "infer": infer}[args.mode]
    if not args.device.startswith("cuda"):
        return step

    def finished():
        step()
        torch.cuda.synchronize()

    return finished


def random_pixels(args):
    """A batch for the inference engines, which take channels first."""
    import numpy

    return numpy.random.default_rng(0).standard_normal((args.batch, 3, args.size, args.size), numpy.float32)


def onnxruntime_step(args):
    """One inference by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: random_pixels(args)}
    return lambda: session.run(None, feed)


def openvino_step(args):
    """One inference by OpenVINO, held to single precision: where the CPU has bfloat16 it would use that, and nobody else does."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": args.threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(args.onnx, "CPU", settings).create_infer_request()
    pixels = random_pixels(args)
    return lambda: request.infer([pixels], share_inputs=True)


STEPS = {
    "torch": torch_step,
    "torch-compile": torch_step,
    "onnxruntime": onnxruntime_step,
    "openvino": openvino_step,
}


def times(step, least, seconds):
    """The seconds of each step, of so many and for so long at least."""
    end = time.perf_counter() + seconds
    while least > 0 or time.perf_counter() < end:
        began = time.perf_counter()
        step()
        yield time.perf_counter() - began
        least -= 1


def run(args):
    step = STEPS[args.contestant](args)
    # One behind the other, for the first steps may have to compile.
    list(times(step, args.warmup, 0))
    list(times(step, 0, args.warmup_seconds))
    rates = []
    for took in times(step, args.reps, args.seconds):
        rates.append(args.batch / took)
        print(json.dumps({"img_per_s": round(rates[-1], 2)}), flush=True)
    print(json.dumps({"median_img_per_s": round(statistics.median(rates), 2), "peak_mb": peak_mb()}), flush=True)


def peak_mb():
    """The kernel's high-water mark of this process's resident memory, in MB of 10^6 bytes."""
    with open("/proc/self/status") as status:
        kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return round(kb * 1024 / 1e6, 1)


def export(args):
    """Writes the network in inference form; under another name first, so that a file with the right name is whole."""
    import torch

    model = network(args.model).eval()
    unfinished = f"{args.onnx}.{os.getpid()}"
    with torch.inference_mode():
        torch.onnx.export(model, (images(args),), unfinished, dynamo=True, external_data=False, verbose=False)
    os.replace(unfinished, args.onnx)


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

    workload = argparse.ArgumentParser(add_help=False)
    workload.add_argument("--model", required=True, help="timm's name")
    workload.add_argument("--batch", type=int, default=32)
    workload.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    workload.add_argument("--onnx", help="the exported network")
    workload.add_argument("--device", default="cpu", help="where PyTorch computes")

    commands.add_parser("export", parents=[workload]).set_defaults(do=export)
    timed = commands.add_parser("run", parents=[workload])
    timed.add_argument("contestant", choices=STEPS)
    timed.add_argument("--mode", choices=["train", "sam", "infer"], default="train")
    timed.add_argument("--threads", type=int, default=2)
    timed.add_argument("--reps", type=int, default=7, help="timed steps")
    timed.add_argument("--seconds", type=float, default=0, help="more of them until these are over")
    timed.add_argument("--warmup", type=int, default=2, help="steps before those")
    timed.add_argument("--warmup-seconds", type=float, default=0, help="and steps behind these for so long")
    timed.add_argument("--dtype", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32")
    timed.set_defaults(do=run)

    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
