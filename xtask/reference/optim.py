#!/usr/bin/env python3
"""Reference trajectories for the optimizers, SAM, clipping and EMA in mlcls-train.

usage: optim.py OUT_FILE        (OUT_FILE: crates/mlcls-train/tests/fixtures/optim.json)

Made with torch 2.15.0+cu132 (CPU, float32), timm 1.0.31. The gradient comes from autograd on
f(w) = sum((w^2 - c)^2) / 4, with w and c from the formulas below.
"""
import json
import sys

import torch
from timm.utils import ModelEmaV3

torch.set_num_threads(1)
# Tensors of the network: name of the kind in mlcls-engine, number of elements.
TENSORS = [("weight", 5), ("norm_weight", 2), ("norm_bias", 2), ("weight", 3), ("bias", 1), ("slope", 1)]
SIZES = [n for _, n in TENSORS]
LEN = sum(SIZES)
STEPS, KEEP = 40, (1, 2, 3, 10, 40)


def start():
    return [torch.nn.Parameter(t.clone()) for t in torch.tensor([(i * 7 % LEN - 6) / 4 for i in range(LEN)]).split(SIZES)]


CENTRES = torch.tensor([(i * 5 % LEN) / 8 for i in range(LEN)]).split(SIZES)


def backward(params):
    for p in params:
        p.grad = None
    sum(((p * p - c) ** 2).sum() / 4 for p, c in zip(params, CENTRES)).backward()


def lr_of(lr, step):
    return lr * (1 + step % 3) / 2


def groups(params, decay, no_bias):
    if not no_bias:
        return [{"params": params, "weight_decay": decay}]
    decayed = [p for p, (kind, _) in zip(params, TENSORS) if kind == "weight"]
    others = [p for p, (kind, _) in zip(params, TENSORS) if kind != "weight"]
    return [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def perturb(params, rho):
    norm = torch.sqrt(sum((p.grad**2).sum() for p in params))
    with torch.no_grad():
        for p in params:
            p.add_(p.grad * (rho / (norm + 1e-12)))


def flat(params):
    return torch.cat([p.detach() for p in params]).tolist()


def trajectory(rule, lr, decay, no_bias=False, sam_rho=0.0, clip_norm=None, **settings):
    params = start()
    optimizer = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[rule](groups(params, decay, no_bias), lr=lr, **settings)
    kept = []
    for step in range(STEPS):
        backward(params)
        if sam_rho > 0:
            saved = [p.detach().clone() for p in params]
            perturb(params, sam_rho)
            backward(params)
            with torch.no_grad():
                for p, s in zip(params, saved):
                    p.copy_(s)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(params, clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = lr_of(lr, step)
        optimizer.step()
        if step + 1 in KEEP:
            kept.append([step + 1, flat(params)])
    return {"rule": rule, "lr": lr, "decay": decay, "no_bias": no_bias, "sam_rho": sam_rho, "clip_norm": clip_norm,
            **settings, "params": kept}


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4.0) / 2)
        self.register_buffer("running", torch.arange(2.0) - 0.5)


def average(warmup):
    """Weights move by a formula; constant decay by timm, the warm-up min(decay, (1 + n) / (10 + n)) by lerp."""
    net = Net()
    ema, decay, rows = ModelEmaV3(net, decay=0.9, foreach=False), 0.9, []
    for n in range(1, 101):
        with torch.no_grad():
            net.weight.add_(0.25)
            net.running.mul_(-1.0)
            if warmup:
                rate = min(decay, (1 + n) / (10 + n))
                for e, v in zip(ema.module.state_dict().values(), net.state_dict().values()):
                    e.lerp_(v, 1 - rate)
            else:
                ema.update(net)
        if n in (1, 2, 3, 30, 100):
            rows.append({"update": n, "params": ema.module.weight.tolist(), "buffers": ema.module.running.tolist()})
    return {"warmup": warmup, "decay": decay, "rows": rows}


def clipped(scale, max_norm):
    params = start()
    for p, c in zip(params, CENTRES):
        p.grad = scale * (c - 0.5)
    grads = torch.cat([p.grad for p in params]).tolist()
    norm = torch.nn.utils.clip_grad_norm_(params, max_norm).item()
    return {"grads": grads, "max_norm": max_norm, "norm": norm, "clipped": torch.cat([p.grad for p in params]).tolist()}


reference = {
    "tensors": TENSORS,
    "start": flat(start()),
    "centres": torch.cat(CENTRES).tolist(),
    "trajectories": [
        trajectory("sgd", 0.05, 0.0, momentum=0.0, nesterov=False),
        trajectory("sgd", 0.05, 0.01, momentum=0.9, nesterov=False),
        trajectory("sgd", 0.05, 0.01, momentum=0.9, nesterov=True),
        trajectory("sgd", 0.05, 0.1, no_bias=True, momentum=0.9, nesterov=False),
        trajectory("sgd", 0.05, 0.01, sam_rho=0.05, momentum=0.9, nesterov=False),
        trajectory("sgd", 0.05, 0.01, clip_norm=0.5, momentum=0.9, nesterov=False),
        trajectory("adamw", 0.05, 0.0, betas=(0.9, 0.999), eps=1e-8),
        trajectory("adamw", 0.05, 0.1, betas=(0.8, 0.99), eps=1e-3),
        trajectory("adamw", 0.05, 0.1, no_bias=True, sam_rho=0.05, betas=(0.9, 0.999), eps=1e-8),
    ],
    "clips": [clipped(1.0, 0.1), clipped(1.0, 1.0), clipped(1e-3, 1.0), clipped(1e3, 1.0)],
    "averages": [average(False), average(True)],
}
with open(sys.argv[1], "w") as f:
    json.dump(reference, f, separators=(",", ":"))
    f.write("\n")
