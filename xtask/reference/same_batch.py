#!/usr/bin/env python3
"""Steps of SAM on one batch in PyTorch and timm, beside those that `mlcls train` took on the same images from the same start.

usage: same_batch.py RUN START VOC_DIR --weights FILE

RUN is the folder of a run whose epochs are one step each: all images are in the batch and none is augmented. START is a
checkpoint whose head is the one that RUN started from. Both are made by

  mlcls train VOC_DIR --model M --pretrained FILE --recipe plateau --set data.limit=64 --set train.repeats=1 \\
    --set augment.ops=none --set data.resize=antialias --set schedule.warmup_iters=0 --set train.early_stop=false \\
    --set train.ema=false --set train.epochs=12 --out RUN
  (the same with --set train.epochs=1 --set optim.lr=1e-30 --set schedule.min_lr=1e-31 --set optim.sam_rho=0 --out START_RUN)

Prints the loss of each step by both, and how far the weights are apart at the end, as a share of the way that they went.
Made with torch 2.15.0, timm 1.0.31, Pillow 13.0.0.
"""
import argparse
import csv
import os

import torch
import yaml
from safetensors.torch import load_file

import recipe


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("start", help="a checkpoint")
    parser.add_argument("root")
    parser.add_argument("--weights", required=True)
    args = parser.parse_args()
    config = recipe.numbers(yaml.safe_load(open(os.path.join(args.run, "config.yaml"))))
    data, optim, model = (config[k] for k in ("data", "optim", "model"))
    paths, states = recipe.read_split(args.root, data["train"], data["difficult"], data["limit"])
    images = recipe.Images(paths, states, "none", config, recipe.normalization_of(model))
    x, y = next(iter(torch.utils.data.DataLoader(images, batch_size=len(paths))))

    net = recipe.Net(config, states.shape[1], args.weights)
    net.classes.data = load_file(args.start)["head.weight"].float()
    net = net.to(memory_format=torch.channels_last).train()
    x = x.to(memory_format=torch.channels_last)
    params = list(net.parameters())
    began = [p.detach().clone() for p in params]
    optimizer = torch.optim.SGD(params, optim["lr"], momentum=optim["momentum"], weight_decay=optim["weight_decay"])
    loss = lambda: recipe.angular_loss(net(x), y, model["scale"])

    rows = list(csv.DictReader(open(os.path.join(args.run, "metrics.csv"))))
    for row in (row for row in rows if row["train_loss"]):
        first = recipe.sam_step(optimizer, params, loss, optim["sam_rho"])
        print(f"step {row['epoch']:>3}  mlcls {row['train_loss']}  torch {first / int((y != 0).sum()):.6f}", flush=True)

    theirs = load_file(os.path.join(args.run, "checkpoints/last.safetensors"))
    name = lambda key: "head.weight" if key == "classes" else key.removeprefix("backbone.")
    apart = sum(((p.detach() - theirs[name(key)]) ** 2).sum() for key, p in net.named_parameters())
    way = sum(((p.detach() - b) ** 2).sum() for p, b in zip(params, began))
    print(f"weights apart by {100 * float((apart / way).sqrt()):.1f} % of the way that they went")


if __name__ == "__main__":
    main()
