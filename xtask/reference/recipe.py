#!/usr/bin/env python3
"""A run of `mlcls train` once more in PyTorch and timm: the rival of docs/results/voc_mini.md.

usage: recipe.py SETTINGS VOC_DIR --weights FILE [--seed N] [--device cpu|cuda] [--compile] [--workers N]
       [--eval SPLIT ...]

SETTINGS is the `config.yaml` of a run folder, so that both train by the same settings; what is not here (AdamW, losses other
than aam, gradient clipping, accumulation) is refused. FILE holds timm's tensors for the backbone. VOC_DIR is a set in VOC
layout with files per label. Made with torch 2.15.0, torchvision 0.29.2, timm 1.0.31, Pillow 13.0.0.

Prints a line of JSON per epoch, and at the end one with mAP and AP per label (definition D, per cent) of best, last and
averaged weights on each split of --eval. Where it differs from mlcls: random numbers are others; `data.resize: bilinear` is PyTorch's
interpolate, which OpenCV's equals up to rounding; AugMix shifts by Pillow, half a pixel from OpenCV's; images go through
floats between augmentation and network. Everything else follows OTX as `configs/` spells it.
"""
import argparse
import copy
import json
import math
import os
import random
import time

import numpy as np
import timm
import torch
import torch.nn.functional as F
import yaml
from PIL import Image, ImageEnhance, ImageOps
from safetensors.torch import load_file
from torchvision.transforms import RandomResizedCrop

import crops

IMAGENET, HALF, UNIT = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), ([0.5] * 3, [0.5] * 3), ([0.0] * 3, [1.0] * 3)
NORMALIZATIONS = {"imagenet": IMAGENET, "half": HALF, "unit": UNIT}


def auto(value, decided):
    return decided if value == "auto" else value


# Data.


def read_split(root, split, difficult, limit):
    """Image paths, and 1 (present), -1 (absent) or 0 (unknown) per image and label."""
    lists = os.path.join(root, "ImageSets", "Main")
    labels = sorted(f[: -len("_train.txt")] for f in os.listdir(lists) if f.endswith("_train.txt"))
    ids = [line.strip() for line in open(os.path.join(lists, f"{split}.txt")) if line.strip()][:limit]
    doubtful = {"unknown": 0, "positive": 1, "negative": -1}[difficult]
    states = np.zeros((len(ids), len(labels)), int)
    for column, label in enumerate(labels):
        rows = dict(line.split() for line in open(os.path.join(lists, f"{label}_{split}.txt")))
        states[:, column] = [int(rows[i]) or doubtful for i in ids]
    return [os.path.join(root, "JPEGImages", i + ".jpg") for i in ids], states


def resize(image, size, method):
    if image.size == (size, size):
        return image
    if method == "antialias":
        return image.resize((size, size), Image.BILINEAR)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
    return Image.fromarray(x[0].round().byte().permute(1, 2, 0).numpy())


def chain_op(image):
    """One of AugMix's operations at a random level up to 5 of 10."""
    level, sign = random.uniform(0, 5), random.choice((-1, 1))
    factor, (width, height) = 1 + sign * 0.09 * level, image.size
    affine = lambda *m: image.transform(image.size, Image.AFFINE, m, Image.BILINEAR)
    ops = [lambda e=e: e(image).enhance(factor) for e in
           (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness, ImageEnhance.Sharpness)]
    ops += [
        lambda: ImageOps.autocontrast(image),
        lambda: ImageOps.equalize(image),
        lambda: ImageOps.posterize(image, 4 - int(0.4 * level)),
        lambda: ImageOps.solarize(image, 256 - int(25.6 * level)),
        lambda: affine(1, sign * 0.03 * level, 0, 0, 1, 0),
        lambda: affine(1, 0, 0, sign * 0.03 * level, 1, 0),
        lambda: affine(1, 0, sign * 0.045 * level * width, 0, 1, 0),
        lambda: affine(1, 0, 0, 0, 1, sign * 0.045 * level * height),
    ]
    return random.choice(ops)()


def augmix(image):
    shares = [-math.log(1 - random.random()) for _ in range(3)]
    mix = random.random()
    out = (1 - mix) * np.asarray(image, np.float32)
    for share in shares:
        chain = image
        for _ in range(random.randint(1, 3)):
            chain = chain_op(chain)
        out += mix * share / sum(shares) * np.asarray(chain, np.float32)
    return Image.fromarray(out.clip(0, 255).astype(np.uint8))


def augmented(image, preset, size, method):
    squashed = resize(image, size, method) if image.width * image.height > size * size else image
    if preset == "crop_flip":
        y, x, h, w = RandomResizedCrop.get_params(torch.empty(3, image.height, image.width), [0.08, 1.0], [3 / 4, 4 / 3])
        image = resize(image.crop((x, y, x + w, y + h)), size, method)
    elif preset == "plateau":
        x, y, w, h = crops.efficientnet(*squashed.size, size)
        image = resize(squashed.crop((x, y, x + w, y + h)), size, method)
    else:
        image = resize(squashed, size, method)
    if preset != "none" and random.random() < 0.5:
        image = ImageOps.mirror(image)
    if preset == "table":
        image = augmix(image)
        if random.random() < 0.35:
            image = image.rotate(random.randint(-10, 10))
    return image


class Images(torch.utils.data.Dataset):
    def __init__(self, paths, states, preset, config, normalization, repeats=1):
        self.paths, self.states, self.preset, self.repeats = paths, torch.tensor(states), preset, repeats
        self.size, self.method = config["model"]["image_size"], config["data"]["resize"]
        self.mean, self.std = (torch.tensor(v)[:, None, None] for v in normalization)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = augmented(Image.open(self.paths[index]).convert("RGB"), self.preset, self.size, self.method)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (x - self.mean) / self.std, self.states[index]


class Order(torch.utils.data.Sampler):
    """A new order each epoch, the copies of an image one after another; without a last image that would be alone."""

    def __init__(self, images, repeats, batch):
        self.images, self.repeats = images, repeats
        self.length = images * repeats - (images * repeats % batch == 1)

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(torch.randperm(self.images).repeat_interleave(self.repeats)[: self.length].tolist())


# Network and loss.


class Net(torch.nn.Module):
    def __init__(self, config, labels, weights):
        super().__init__()
        name, self.scale = config["model"]["name"], config["model"]["scale"]
        self.backbone = timm.create_model(name, pretrained=False, num_classes=0)
        if name.startswith("mobilenetv3"):
            self.backbone.conv_head = torch.nn.Identity()  # forward_features, and OTX, end before it
        self.backbone.load_state_dict(self.fitting(load_file(weights)), strict=False)
        with torch.no_grad():
            size = config["model"]["image_size"]
            width = self.backbone.eval().forward_features(torch.zeros(1, 3, size, size)).shape[1]
        head = auto(config["model"]["head"], "nonlinear" if name.startswith("mobilenetv3") else "cosine")
        assert head in ("cosine", "nonlinear"), head
        self.hidden = torch.nn.Identity()
        if head == "nonlinear":
            linear = torch.nn.Linear(width, 1280)
            torch.nn.init.normal_(linear.weight, std=0.01)
            torch.nn.init.zeros_(linear.bias)
            self.hidden = torch.nn.Sequential(linear, torch.nn.BatchNorm1d(1280), torch.nn.PReLU())
            width = 1280
        self.classes = torch.nn.Parameter(F.normalize(torch.randn(labels, width)))

    def fitting(self, tensors):
        """The file's tensors for what forward_features uses; one that is missing is an error."""
        ours = {k for k in self.backbone.state_dict() if not k.endswith("num_batches_tracked")}
        assert ours <= tensors.keys(), sorted(ours - tensors.keys())[:5]
        return {k: tensors[k].float() for k in ours}

    def forward(self, x):
        features = self.hidden(self.backbone.forward_features(x).mean((2, 3)))
        return self.scale * (F.normalize(features) @ F.normalize(self.classes).t()).clamp(-1, 1)


def angular_loss(logits, states, scale, k=0.8, shift=0.05):
    """Summed, and divided by the scale; loss.py has it beside autograd."""
    present, known = (states > 0).float(), (states != 0).float()
    p, q = torch.sigmoid(logits), (torch.sigmoid(-logits) + shift).clamp(max=1)
    value = -k * present * p.clamp(min=1e-8).log() - (1 - k) * (1 - present) * p * q.clamp(min=1e-8).log()
    return (value * known).sum() / scale


def label_aps(scores, states):
    """AP of each label that has positives, per cent: definition D. Equal scores stand in the order of the images."""
    aps = {}
    for label, (s, state) in enumerate(zip(scores.T, states.T)):
        hits = (state[state != 0] > 0).astype(float)[np.argsort(-s[state != 0], kind="stable")]
        if hits.sum():
            aps[label] = 100 * float((hits * np.cumsum(hits) / np.arange(1, len(hits) + 1)).sum() / hits.sum())
    return aps


def mean_ap(scores, states):
    return float(np.mean(list(label_aps(scores, states).values())))


# Training.


def one_cycle(step, total, lr, schedule):
    start = lr / schedule["div_factor"]
    end, peak, last = start / schedule["final_div_factor"], schedule["pct_start"] * total - 1, total - 1
    anneal = lambda a, b, t: b + (a - b) * (1 + math.cos(math.pi * t)) / 2
    return anneal(start, lr, step / peak) if step <= peak and peak > 0 else anneal(lr, end, (step - peak) / (last - peak))


class Stall:
    """How many scores in a row did not improve on the best."""

    def __init__(self, improves):
        self.improves, self.best, self.bad = improves, None, 0

    def observe(self, score):
        if self.best is None or self.improves(score, self.best):
            self.best, self.bad = score, 0
        else:
            self.bad += 1
        return self.bad


def numbers(value):
    """YAML 1.1 takes 1e-6 for a word."""
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, str) and value[:1].isdigit():
        return float(value)
    return value


def refuse(config):
    o, t = config["optim"], config["train"]
    known = [
        (o["name"], "sgd"), (o["nesterov"], False), (o["no_bias_decay"], False), (o["clip_norm"], None), (o["accumulate"], 1),
        (config["loss"]["name"], "aam"), (config["augment"]["source"], "auto"), (config["eval"]["best_by"], "mAP"),
        (config["model"]["dropout"], 0), (config["model"]["drop_path"], 0), *((v, "auto") for k, v in config["loss"].items() if k != "name"),
    ]
    different = [found for found, expected in known if found != expected]
    assert not different and config["schedule"]["name"] in ("one_cycle", "plateau", "constant"), f"not here: {different}"
    assert isinstance(config["augment"]["ops"], (str, list)), config["augment"]["ops"]


def preset_of(ops):
    """The name of the preset that a config.yaml spells out."""
    if isinstance(ops, str):
        return ops
    kinds = [(op["op"], op.get("style")) for op in ops]
    names = {(): "none", (("flip", None), ("augmix", None), ("rotate", None)): "table",
             (("random_crop", "efficientnet"), ("flip", None)): "plateau", (("random_crop", "torchvision"), ("flip", None)): "crop_flip"}
    return names[tuple(kinds)]


def normalization_of(model):
    return NORMALIZATIONS[auto(model["normalization"], "half" if "lite0" in model["name"] else "imagenet")]


def sam_step(optimizer, params, loss, rho):
    """A step of SAM, or of the optimizer alone where rho is 0. Gives the loss at the weights that it began with."""
    optimizer.zero_grad()
    first = loss()
    first.backward()
    if rho > 0:
        norm = torch.sqrt(sum((p.grad**2).sum() for p in params))
        shifts = [p.grad * (rho / (norm + 1e-12)) for p in params]
        with torch.no_grad():
            torch._foreach_add_(params, shifts)
        optimizer.zero_grad()
        loss().backward()
        with torch.no_grad():
            torch._foreach_sub_(params, shifts)
    optimizer.step()
    return first.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings")
    parser.add_argument("root")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--seed", type=int, help="in place of the settings'")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="train through torch.compile")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--eval", nargs="+", default=["test", "val"])
    args = parser.parse_args()
    config = numbers(yaml.safe_load(open(args.settings)))
    refuse(config)
    data, model, optim, schedule, train = (config[k] for k in ("data", "model", "optim", "schedule", "train"))
    seed = train["seed"] if args.seed is None else args.seed
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)

    split = lambda name, limit=data["limit"]: read_split(args.root, name, data["difficult"], limit)
    paths, states = split(data["train"])
    normalization = normalization_of(model)
    batch = min(train["batch_size"], len(paths))
    repeats = auto(train["repeats"], int(max(5 - 0.7 * math.sqrt(math.ceil(len(paths) / batch) - 1), 1)))
    order = Order(len(paths), repeats, batch)
    images = lambda paths, states, preset: Images(paths, states, preset, config, normalization)
    feed = dict(batch_size=batch, num_workers=args.workers, persistent_workers=args.workers > 0)
    loader = torch.utils.data.DataLoader(images(paths, states, preset_of(config["augment"]["ops"])), sampler=order, **feed)
    val = torch.utils.data.DataLoader(images(*split(data["val"]), "none"), **feed)

    net = Net(config, states.shape[1], args.weights).to(args.device, memory_format=torch.channels_last)
    # Validation and the average read the same parameters without it. The last batch is shorter: two shapes, not one of any size.
    learner = torch.compile(net, dynamic=False) if args.compile else net
    steps, epochs, scale = len(loader), train["epochs"], model["scale"]
    interval = max(round(min(epochs, 5) * math.exp(-0.025 * steps)), 1)
    every = auto(config["eval"]["every"], interval)
    plateau_patience = auto(schedule["patience"], max(math.ceil(5 / interval), 2))
    stop_patience = auto(train["early_stop_patience"], max(math.ceil(10 / interval), 3))
    stop_start, gain = auto(train["early_stop_start"], every), train["early_stop_min_delta"]
    optimizer = torch.optim.SGD(net.parameters(), optim["lr"], momentum=optim["momentum"], weight_decay=optim["weight_decay"])
    plateau, stopping = Stall(lambda s, best: s >= best), Stall(lambda s, best: s - s * gain > best)
    average = copy.deepcopy(net) if auto(train["ema"], len(paths) > 2000) else None
    params = list(net.parameters())
    move = lambda x: x.to(args.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def scores(net, loader):
        net.eval()
        found = [(torch.sigmoid(net(move(x))).cpu(), y) for x, y in loader]
        return torch.cat([s for s, _ in found]).numpy(), torch.cat([y for _, y in found]).numpy()

    step, lr, updates, best = 0, optim["lr"], 0, (-1.0, None, None)
    for epoch in range(1, epochs + 1):
        began, total, known = time.time(), 0.0, 0
        net.train()
        for x, y in loader:
            x, y = move(x), y.to(args.device)
            now = one_cycle(step, steps * epochs, optim["lr"], schedule) if schedule["name"] == "one_cycle" else lr
            if step < schedule["warmup_iters"]:
                now *= 1 - (1 - step / schedule["warmup_iters"]) * (1 - schedule["warmup_ratio"])
            optimizer.param_groups[0]["lr"] = now
            total += sam_step(optimizer, params, lambda: angular_loss(learner(x), y, scale), optim["sam_rho"])
            known += int((y != 0).sum())
            step += 1
            if average is not None:
                updates += 1
                decay = min(train["ema_decay"], (1 + updates) / (10 + updates)) if train["ema_warmup"] else train["ema_decay"]
                with torch.no_grad():
                    for a, v in zip(average.state_dict().values(), net.state_dict().values()):
                        a.lerp_(v, 1 - decay) if a.is_floating_point() else a.copy_(v)
        row = {"epoch": epoch, "train_loss": total / known, "lr": now, "img_per_s": len(order) / (time.time() - began)}
        if epoch % every == 0 or epoch == epochs:
            s, y = scores(net, val)
            row["mAP"], row["accuracy"] = mean_ap(s, y), 100 * float(((s >= config["eval"]["threshold"]) == (y > 0))[y != 0].mean())
            # A tie goes to the later epoch.
            if row["mAP"] >= best[0]:
                best = (row["mAP"], f"epoch {epoch}, raw", copy.deepcopy(net.state_dict()))
            if average is not None and epoch >= config["eval"]["ema_from_epoch"]:
                row["ema_mAP"] = mean_ap(*scores(average, val))
                if row["ema_mAP"] > best[0]:
                    best = (row["ema_mAP"], f"epoch {epoch}, ema", copy.deepcopy(average.state_dict()))
            watched = row[schedule["monitor"]]
            if schedule["name"] == "plateau" and step >= schedule["warmup_iters"] and plateau.observe(watched) >= plateau_patience:
                lr, plateau.bad = max(lr * schedule["factor"], schedule["min_lr"]), 0
        row["seconds"] = time.time() - began
        print(json.dumps(row), flush=True)
        counts = "mAP" in row and epoch >= stop_start and step >= schedule["warmup_iters"]
        if train["early_stop"] and counts and stopping.observe(row["mAP"]) >= stop_patience:
            break

    result = {"model": model["name"], "recipe": config["recipe"], "seed": seed, "epochs": epoch, "best": best[1]}
    last = copy.deepcopy(net.state_dict())
    sets = [("best", best[2]), ("last", last)] + ([("ema", average.state_dict())] if average is not None else [])
    for name in args.eval:
        test = torch.utils.data.DataLoader(images(*split(name, None), "none"), **feed)
        for which, weights in sets:
            net.load_state_dict(weights)
            found = scores(net, test)
            result[f"{name} {which}"] = mean_ap(*found)
            result[f"{name} {which} by label"] = {label: round(ap, 1) for label, ap in label_aps(*found).items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
