#!/usr/bin/env python3
"""What heads on frozen features reach: the marks that docs/results/voc_mini.md compares fine-tuning with.

usage: frozen_head.py VOC_DIR WEIGHTS      (a set in VOC layout with train and test; a safetensors file of tf_efficientnet_lite0)
needs: torch, torchvision, timm, safetensors, numpy, pillow, scikit-learn

Extracts the pooled features of tf_efficientnet_lite0 with timm once, then trains on `train` and prints the test mAP over all
labels and over the core 14 of docs/results/voc_mini.md, unknown left out:
a logistic regression per label on standardised features (C = 0.01), and the cosine head with the angular loss (scale 7,
k 0.8, probability shift 0.05, summed) under SGD with momentum 0.9, weight decay 5e-4 and a one-cycle rate, batch 64.
"""
import os
import sys
import time

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torchvision import transforms as T

# Labels with few photographs to train or to test on, left out of the core.
RARE = {"aeroplane", "bicycle", "bird", "boat", "diningtable", "sheep"}


def read_split(root, labels, split):
    main, states = os.path.join(root, "ImageSets", "Main"), {}
    for column, label in enumerate(labels):
        for line in open(os.path.join(main, f"{label}_{split}.txt")):
            image, state = line.split()
            states.setdefault(image, [0] * len(labels))[column] = int(state)
    images = sorted(states)
    return images, np.array([states[i] for i in images])


@torch.inference_mode()
def features(root, images, net):
    prepare = T.Compose([T.Resize((224, 224)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)])
    load = lambda i: prepare(Image.open(os.path.join(root, "JPEGImages", i + ".jpg")).convert("RGB"))
    batches = (images[i : i + 64] for i in range(0, len(images), 64))
    return torch.cat([net(torch.stack([load(i) for i in b])) for b in batches])


def average_precision(scores, states):
    known = states != 0
    hits = (states[known] > 0).astype(float)[np.argsort(-scores[known], kind="stable")]
    return 100 * (hits * np.cumsum(hits) / np.arange(1, len(hits) + 1)).sum() / hits.sum() if hits.sum() else np.nan


def angular_loss(z, states, k=0.8, shift=0.05, scale=7.0):
    y, known = (states > 0).float(), (states != 0).float()
    p, q = torch.sigmoid(z), (torch.sigmoid(-z) + shift).clamp(max=1)
    value = -k * y * p.clamp(min=1e-8).log() - (1 - k) * (1 - y) * p * q.clamp(min=1e-8).log()
    return (value * known).sum() / scale


def cosine_head(x, states, test, lr, epochs):
    torch.manual_seed(0)
    w = F.normalize(torch.randn(states.shape[1], x.shape[1])).requires_grad_()
    cosines = lambda x: (F.normalize(x) @ F.normalize(w).t()).clamp(-1, 1)
    optimizer = torch.optim.SGD([w], lr, momentum=0.9, weight_decay=5e-4)
    steps = len(x) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=epochs * steps, pct_start=0.2, div_factor=100, final_div_factor=10, cycle_momentum=False
    )
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for i in range(steps):
            batch = order[i * 64 : (i + 1) * 64]
            optimizer.zero_grad()
            angular_loss(7.0 * cosines(x[batch]), states[batch]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return cosines(test).numpy()


def main():
    root, weights = sys.argv[1:3]
    main_folder = os.path.join(root, "ImageSets", "Main")
    labels = sorted({f.rsplit("_", 1)[0] for f in os.listdir(main_folder) if f.endswith("_test.txt")})
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    net.load_state_dict({k: v.float() for k, v in load_file(weights).items() if not k.startswith("classifier")}, strict=False)
    (train, y), (test, truth) = (read_split(root, labels, s) for s in ("train", "test"))
    start = time.time()
    x, t = features(root, train, net), features(root, test, net)
    print(f"features of {len(train) + len(test)} images in {time.time() - start:.0f} s")
    mean, std = x.mean(0), x.std(0) + 1e-6
    xs, ts = (x - mean) / std, (t - mean) / std
    core = [i for i, label in enumerate(labels) if label not in RARE]

    def report(name, scores):
        ap = np.array([average_precision(scores[:, c], truth[:, c]) for c in range(len(labels))])
        print(f"{name:55s} {np.nanmean(ap):.1f} / {np.nanmean(ap[core]):.1f}", flush=True)

    columns = []
    for c in range(len(labels)):
        known = y[:, c] != 0
        probe = LogisticRegression(C=0.01, max_iter=2000).fit(xs[known], y[known, c] > 0)
        columns.append(probe.decision_function(ts))
    report("logistic regression, standardised", np.stack(columns, 1))
    states = torch.tensor(y)
    for name, a, b in (("as they are", x, t), ("standardised", xs, ts)):
        for lr in (0.0049, 0.049):
            for epochs in (5, 20):
                report(f"cosine head, {name}, lr {lr}, {epochs} epochs", cosine_head(a, states, b, lr, epochs))


if __name__ == "__main__":
    main()
