#!/usr/bin/env python3
"""Reference sequences for schedules, early stopping and the adaptive settings in mlcls-train.

usage: schedule.py OUT_FILE        (OUT_FILE: crates/mlcls-train/tests/fixtures/schedule.json)

Made with torch 2.15.0+cu132, Python 3.11. What PyTorch has comes from PyTorch. MMCV 1.7 and OTX 1.6 do not install beside
current versions; their rules are restated below.
"""
import json
import math
import random
import sys

import torch
from torch.optim import lr_scheduler


def optimizer(lr):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(schedule, opt, steps):
    out = []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return out


def sampled(values, count=25):
    """[step, value] of about `count` steps, the first two and the last two among them."""
    stride = max(1, len(values) // count)
    steps = {0, 1, len(values) - 2, len(values) - 1} | set(range(0, len(values), stride))
    return [[s, values[s]] for s in sorted(steps) if 0 <= s < len(values)]


def one_cycle_torch(max_lr, total_steps, pct_start, div_factor, final_div_factor):
    opt = optimizer(1.0)
    schedule = lr_scheduler.OneCycleLR(opt, max_lr, total_steps=total_steps, pct_start=pct_start, div_factor=div_factor,
                                       final_div_factor=final_div_factor, cycle_momentum=False)
    return rates(schedule, opt, total_steps)


def one_cycle_mmcv(max_lr, total_steps, pct_start, div_factor, final_div_factor):
    base = max_lr / div_factor
    turn, last = pct_start * total_steps - 1, total_steps - 1
    legs = [(0, turn, base, max_lr), (turn, last, max_lr, base / final_div_factor)]

    def rate(step):
        begin, end, a, b = legs[0] if step <= turn else legs[1]
        return b + (a - b) * (math.cos(math.pi * (step - begin) / (end - begin)) + 1) / 2

    return [rate(s) for s in range(total_steps)]


ONE_CYCLES = [
    ("torch", one_cycle_torch, (0.0049, 175, 0.2, 100.0, 10.0)),
    ("torch", one_cycle_torch, (0.1, 37, 0.3, 25.0, 1e4)),
    ("torch", one_cycle_torch, (0.1, 4, 0.2, 100.0, 10.0)),
    ("torch", one_cycle_torch, (0.1, 1, 0.2, 100.0, 10.0)),
    ("mmcv", one_cycle_mmcv, (0.0058, 90 * 79, 0.200001, 100.0, 1000.0)),
    ("mmcv", one_cycle_mmcv, (0.0071, 90, 0.200001, 100.0, 1000.0)),
]


def one_cycles():
    names = ("max_lr", "total_steps", "pct_start", "div_factor", "final_div_factor")
    return [{"source": source, **dict(zip(names, args)), "rates": sampled(make(*args))} for source, make, args in ONE_CYCLES]


def cosine(lr, min_lr, total_steps):
    # PyTorch's own recursion differs from its closed form by rounding only; the closed form is what it documents.
    opt = optimizer(lr)
    schedule = lr_scheduler.CosineAnnealingLR(opt, T_max=total_steps, eta_min=min_lr)
    return {"lr": lr, "min_lr": min_lr, "total_steps": total_steps, "rates": sampled(rates(schedule, opt, total_steps + 1))}


def warmup(lr, steps, ratio):
    opt = optimizer(lr)
    schedule = lr_scheduler.LinearLR(opt, start_factor=ratio, total_iters=steps)
    mmcv = [lr * (1 - (1 - i / steps) * (1 - ratio)) if i < steps else lr for i in range(steps + 3)]
    return {"lr": lr, "steps": steps, "ratio": ratio, "torch": rates(schedule, opt, steps + 3), "mmcv": mmcv}


def scores(seed, count):
    """A curve that rises, stalls and wobbles, in per cent; coarse, so that ties happen."""
    rng = random.Random(seed)
    return [round(80 * (1 - math.exp(-e / 8)) + rng.uniform(-3, 3), 0) for e in range(count)]


def plateau_torch(seed, lr, factor, patience, min_lr, threshold):
    opt = optimizer(lr)
    schedule = lr_scheduler.ReduceLROnPlateau(opt, mode="max", factor=factor, patience=patience, min_lr=min_lr,
                                              threshold=threshold, eps=0.0)
    after = []
    for score in scores(seed, 40):
        schedule.step(score)
        after.append(opt.param_groups[0]["lr"])
    return {"source": "torch", "lr": lr, "factor": factor, "patience": patience, "min_lr": min_lr, "threshold": threshold,
            "scores": scores(seed, 40), "after": after}


def plateau_otx(seed, lr, factor, patience, min_lr):
    best, bad, after, first = -math.inf, 0, [], lr
    for score in scores(seed, 40):
        if lr != min_lr:
            best, bad = (score, 0) if score >= best else (best, bad + 1)
            if bad >= patience:
                bad, lr = 0, max(lr * factor, min_lr)
        after.append(lr)
    return {"source": "otx", "lr": first, "factor": factor, "patience": patience, "min_lr": min_lr, "threshold": 0.0,
            "scores": scores(seed, 40), "after": after}


def early_stopping(seed, start, interval, warmup_steps, patience, min_delta_ratio, steps_per_epoch=10, epochs=60):
    """OTX's hook. A row per validation: epoch, steps so far, score, checks without improvement, whether it stops."""
    curve, best, wait, rows = scores(seed, epochs + 1), -math.inf, 0, []
    for epoch in range(interval, epochs + 1, interval):
        steps, score, stop = epoch * steps_per_epoch, curve[epoch], False
        if epoch >= start and (epoch - start) % interval == 0 and warmup_steps <= steps:
            if score - score * min_delta_ratio > best:
                best, wait = score, 0
            else:
                wait += 1
                stop = wait >= patience
        rows.append([epoch, steps, score, wait, stop])
        if stop:
            break
    return {"start": start, "warmup_steps": warmup_steps, "patience": patience, "min_delta_ratio": min_delta_ratio,
            "best": best, "rows": rows}


def adaptive(steps, epochs):
    interval = max(round(math.exp(-0.025 * steps) * min(5, epochs)), 1)
    return [steps, epochs, interval, max(math.ceil(5 / interval), 2), max(math.ceil(10 / interval), 3)]


def repeats(images, batch):
    return [images, batch, math.floor(max(-0.7 * (math.ceil(images / batch) - 1) ** 0.5 + 5, 1))]


reference = {
    "one_cycle": one_cycles(),
    "cosine": [cosine(0.1, 0.0, 100), cosine(0.0049, 1e-5, 33)],
    "warmup": [warmup(0.0058, 10, 0.333), warmup(0.1, 4, 0.2), warmup(0.1, 1, 0.5)],
    "plateau": [
        plateau_torch(1, 0.1, 0.5, 1, 1e-6, 1e-4),
        plateau_torch(2, 0.1, 0.1, 2, 1e-3, 0.02),
        plateau_torch(3, 0.1, 0.5, 0, 1e-6, 0.0),
        plateau_otx(1, 0.0058, 0.5, 2, 1e-6),
        plateau_otx(2, 0.0049, 0.5, 1, 1e-3),
        plateau_otx(3, 0.0071, 0.5, 3, 1e-6),
    ],
    "early_stopping": [
        early_stopping(4, start=3, interval=1, warmup_steps=0, patience=8, min_delta_ratio=0.0),
        early_stopping(5, start=3, interval=3, warmup_steps=0, patience=4, min_delta_ratio=0.01),
        early_stopping(6, start=1, interval=1, warmup_steps=45, patience=10, min_delta_ratio=0.01),
        early_stopping(7, start=5, interval=5, warmup_steps=0, patience=3, min_delta_ratio=0.01),
    ],
    "adaptive": [adaptive(s, e) for e in (90, 3, 1) for s in (1, 2, 4, 5, 8, 14, 15, 20, 27, 28, 40, 48, 49, 64, 1000)],
    "repeats": [repeats(n, b) for n, b in [(1, 64), (64, 64), (65, 64), (128, 64), (192, 64), (193, 64), (500, 64),
                                            (576, 64), (577, 64), (640, 64), (1216, 64), (1217, 64), (5011, 64), (7, 2)]],
}
with open(sys.argv[1], "w") as f:
    json.dump(reference, f, separators=(",", ":"))
    f.write("\n")
