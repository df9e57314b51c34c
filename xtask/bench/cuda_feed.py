#!/usr/bin/env python3
"""Whether training from JPEG files keeps an NVIDIA GPU busy.

    cargo build --release -p mlcls-cli --features cuda
    python xtask/bench/cuda_feed.py target/release/mlcls DATA [--models M,..] [--recipes table,plateau] [--batches 64,256]
           [--precision bf16] [--repeats 10] [--device cuda] [--results docs/results/cuda_feed]

Trains two epochs of `--repeats` times all images of DATA from random weights, without a cache, so that every image is decoded
each time. Of the second epoch, without its validation: images per second, the share of the time that the run waited for data,
both as the run itself tells, and the share that the GPU was busy, from nvidia-smi (time with a kernel running, ten samples a
second). Needs no Rust where it runs. Writes NAME.md after each case.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time


class Busy:
    """Per cent of the time that a GPU is busy, sampled while this is open."""

    def __init__(self, ordinal):
        self.samples = []
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100", "-i", str(ordinal)]
        try:
            self.process = subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except FileNotFoundError:
            sys.exit("there is no nvidia-smi")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.strip().isdigit():
                self.samples.append((time.monotonic(), int(line)))

    def between(self, start, end):
        found = [busy for at, busy in self.samples if start <= at <= end]
        return statistics.mean(found) if found else None

    def close(self):
        self.process.kill()
        self.process.wait()


def train(command, busy):
    """Pace, waiting and busy share of the second epoch; a reason in place of them where it fails."""
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    errors = []
    threading.Thread(target=lambda: errors.extend(run.stderr), daemon=True).start()
    start = last = None
    for line in run.stdout:
        event = json.loads(line)
        if event["event"] == "epoch_start" and event["epoch"] == 2:
            start = time.monotonic()
        elif event["event"] == "step" and event["epoch"] == 2:
            last, end = event, time.monotonic()
    if run.wait() != 0 or last is None:
        return (errors or ["no message"])[-1].strip()
    return {
        "img_per_s": last["images_per_second"],
        "waiting": 100 * last["data_wait_seconds"] / (end - start),
        "busy": busy.between(start, end),
        "seconds": end - start,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mlcls", help="the built program")
    parser.add_argument("data", help="a data set of JPEG files")
    words = lambda text: text.split(",")
    parser.add_argument("--models", type=words, default=words("mobilenetv3_large_100,efficientnet_b0,tf_efficientnetv2_s"))
    parser.add_argument("--recipes", type=words, default=words("table,plateau"))
    parser.add_argument("--batches", type=words, default=words("64,256"))
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--results", default="cuda_feed", help="path of the file without its ending")
    args = parser.parse_args()

    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)  # where mlcls finds the libraries of this Python's pip
    device, _, ordinal = args.device.partition(":")
    precision = args.precision if device == "cuda" else "auto"
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True)
    rows = [
        "# Training from JPEG files on one GPU", "",
        "By `xtask/bench/cuda_feed.py`, which says what is measured.", "",
        f"GPU and driver: {gpu.stdout.strip()}; {os.cpu_count()} cores; {precision}, {args.size} px, {args.repeats} times all images.", "",
        "| model | recipe | batch | images/s | waiting for data, % | GPU busy, % | seconds |", "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(rows[-2:]), flush=True)
    busy = Busy(ordinal or 0)
    for model in args.models:
        for recipe in args.recipes:
            for batch in args.batches:
                with tempfile.TemporaryDirectory() as folder:
                    settings = ["train.epochs=2", f"train.repeats={args.repeats}", f"train.batch_size={batch}", "train.early_stop=false",
                                "data.cache_mb=0", "log.every=1", "train.save_every=1000000"]
                    command = [args.mlcls, "train", args.data, "--model", model, "--recipe", recipe, "--pretrained", "none",
                               "--image-size", str(args.size), "--device", args.device, "--precision", precision, "--json",
                               "--out", os.path.join(folder, "run"), *(word for setting in settings for word in ("--set", setting))]
                    found = train(command, busy)
                if isinstance(found, str):
                    cells = [found.replace("|", "/"), "-", "-", "-"]
                else:
                    share = lambda value: "-" if value is None else f"{value:.1f}"
                    cells = [f"{found['img_per_s']:.0f}", share(found["waiting"]), share(found["busy"]), f"{found['seconds']:.1f}"]
                rows.append("| " + " | ".join([model, recipe, batch, *cells]) + " |")
                print(rows[-1], flush=True)
                with open(args.results + ".md", "w") as file:
                    file.write("\n".join(rows) + "\n")
    busy.close()


if __name__ == "__main__":
    main()
