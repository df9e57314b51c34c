"""Reference values for the losses, from PyTorch autograd in float64 on the formulas as OTX writes them.

    python xtask/reference/loss.py crates/mlcls-loss/tests/fixtures/loss.json

Made with torch 2.15.0, torchvision 0.29.2. Two parts:
- `elements`: value and derivative of single entries, for many logits and settings. Inside |z| <= 16 the probabilities are
  above the floor of 1e-8 that OTX puts under its logarithms, so its formulas hold as written. Outside, logarithms of
  sigmoids come from `logsigmoid`.
- `batch`: value and gradient of a masked batch, and the sums per image.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
FLOOR = 1e-8


def aam(z, y, k=0.8, gamma_pos=0.0, gamma_neg=1.0, margin=0.0, shift=0.05, scale=7.0):
    p = torch.sigmoid(z - scale * margin)
    q = torch.sigmoid(-z - scale * margin)
    if shift > 0:
        q = (q + shift).clamp(max=1)
    focus_pos = q**gamma_pos if gamma_pos > 0 else torch.ones_like(z)
    focus_neg = p**gamma_neg if gamma_neg > 0 else torch.ones_like(z)
    present = -k * focus_pos * p.clamp(min=FLOOR).log()
    absent = -(1 - k) * focus_neg * q.clamp(min=FLOOR).log()
    return torch.where(y == 1, present, absent) / scale


def asl(z, y, gamma_pos=0.0, gamma_neg=4.0, shift=0.05, scale=1.0):
    p = torch.sigmoid(z)
    pt = torch.where(y == 1, p, (1 - p + shift).clamp(max=1))
    gamma = torch.where(y == 1, gamma_pos, gamma_neg)
    # OTX raises 1 - pt to the power directly; its gradient at 0 is NaN for powers between 0 and 1, so select first.
    safe = torch.where(pt < 1, 1 - pt, torch.ones_like(pt))
    weight = torch.where(pt < 1, safe**gamma, (gamma == 0).to(z.dtype))
    return -pt.clamp(min=FLOOR).log() * weight / scale


def focal(z, y, alpha=0.25, gamma=2.0, scale=1.0):
    return sigmoid_focal_loss(z, y, alpha=-1 if alpha is None else alpha, gamma=gamma) / scale


def bce(z, y, scale=1.0):
    return F.binary_cross_entropy_with_logits(z, y, reduction="none") / scale


def aam_far(z, y, k=0.8, gamma_pos=0.0, gamma_neg=1.0, margin=0.0, shift=0.05, scale=7.0):
    """`aam` for logits of any size: without a floor, in logarithms; for a shift of 0."""
    assert shift == 0
    ln_p, ln_q = F.logsigmoid(z - scale * margin), F.logsigmoid(-z - scale * margin)
    present = -k * (gamma_pos * ln_q).exp() * ln_p
    absent = -(1 - k) * (gamma_neg * ln_p).exp() * ln_q
    return torch.where(y == 1, present, absent) / scale


FORMULAS = {"aam": aam, "asl": asl, "focal": focal, "bce": bce}
SETTINGS = [
    {"name": "aam"},
    {"name": "aam", "k": 0.7, "gamma_neg": 0.0, "shift": 0.0, "scale": 17.0},
    {"name": "aam", "gamma_pos": 1.0, "gamma_neg": 2.5},
    {"name": "aam", "gamma_pos": 0.5, "gamma_neg": 0.5, "shift": 0.0},
    {"name": "aam", "margin": 0.35, "gamma_pos": 0.3, "gamma_neg": 1.7, "scale": 10.0},
    {"name": "aam", "gamma_neg": 0.0},
    {"name": "asl"},
    {"name": "asl", "gamma_pos": 1.0, "gamma_neg": 4.0, "shift": 0.0},
    {"name": "asl", "gamma_pos": 0.5, "gamma_neg": 0.5},
    {"name": "asl", "gamma_pos": 0.0, "gamma_neg": 0.0, "scale": 7.0},
    {"name": "asl", "gamma_pos": 0.0, "gamma_neg": 0.0, "shift": 0.0},
    {"name": "focal"},
    {"name": "focal", "alpha": None, "gamma": 0.5},
    {"name": "focal", "gamma": 0.0, "scale": 7.0},
    {"name": "bce"},
    {"name": "bce", "scale": 7.0},
]
FAR_SETTINGS = [s for s in SETTINGS if s["name"] == "aam" and s.get("shift") == 0.0]
# All are exact in float32. sigma(-2.94444) = 0.05 is the corner of the shift: come close to it from both sides.
LOGITS = [-12, -7, -4, -3.5, -2.953125, -2.9453125, -2.9443359375, -2.875, -2.125, -1, 0, 0.25, 1.375, 2.5, 5, 9, 12]
FAR_LOGITS = [-1e4, -300, -20, 20, 300, 1e4]


def elements(formula, settings, logits):
    parameters = {key: value for key, value in settings.items() if key != "name"}
    out = []
    for present in (0.0, 1.0):
        z = torch.tensor(logits, requires_grad=True, dtype=torch.float64)
        value = formula(z, torch.full_like(z, present), **parameters)
        (grad,) = torch.autograd.grad(value.sum(), z)
        out.append({
            "loss": settings, "target": present, "logits": logits, "values": value.tolist(), "grads": grad.tolist(),
        })
    return out


def batch(settings):
    parameters = {key: value for key, value in settings.items() if key != "name"}
    generator = torch.Generator().manual_seed(7)
    z = (torch.randn(5, 4, generator=generator) * 3).float().double().requires_grad_()
    y = (torch.rand(5, 4, generator=generator) < 0.4).double()
    mask = (torch.rand(5, 4, generator=generator) < 0.8).double()
    value = FORMULAS[settings["name"]](z, y, **parameters) * mask
    (grad,) = torch.autograd.grad(value.sum(), z)
    flat = lambda tensor: tensor.flatten().tolist()
    return {
        "loss": settings, "labels": 4, "logits": flat(z), "targets": flat(y), "mask": flat(mask),
        "objective": value.sum().item(), "per_image": value.sum(1).tolist(), "grad": flat(grad),
    }


def main():
    fixture = {
        "elements": [e for s in SETTINGS for e in elements(FORMULAS[s["name"]], s, LOGITS)]
        + [e for s in FAR_SETTINGS for e in elements(aam_far, s, FAR_LOGITS)]
        + [e for s in SETTINGS if s["name"] == "bce" for e in elements(bce, s, FAR_LOGITS)],
        "batch": [batch(s) for s in SETTINGS],
    }
    rows = lambda items: ",\n".join("    " + json.dumps(item) for item in items)
    with open(sys.argv[1], "w") as f:
        f.write(f'{{\n  "elements": [\n{rows(fixture["elements"])}\n  ],\n')
        f.write(f'  "batch": [\n{rows(fixture["batch"])}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
