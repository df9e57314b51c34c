#!/usr/bin/env python3
"""mlcls beside PyTorch on one NVIDIA GPU: whether it computes what it should, and how fast.

    cargo build --release -p mlcls-train --features cuda --example cuda
    python xtask/bench/cuda.py target/release/examples/cuda [--models M,..] [--modes train,sam,infer] [--batches 64,256]
           [--precisions bf16,tf32] [--rounds 3] [--reps 20] [--results docs/results/cuda]

Needs a GPU, its driver and NVRTC; PyTorch and timm for the comparison, else it times mlcls alone. No Rust: the example may be
built elsewhere. First the example's `check` runs, and nothing is timed if that fails. Then every case is timed round by round, mlcls,
PyTorch eager and PyTorch compiled in turn, each in a process of its own; the table has medians over all steps of all rounds.
PyTorch has its images on the GPU beforehand, in channels last, with autocast and cudnn.benchmark; mlcls brings uint8 pixels there in each step
and takes the logits back. Writes NAME.md and NAME.json after each case.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

RIVALS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rivals.py")
CONTESTANTS = ["mlcls", "torch", "torch-compile"]


def lines(command, limit):
    """The JSON lines that a process prints; a reason in place of them where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"stopped after {limit} s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def command(contestant, case, args):
    model, mode, batch, precision = case
    if contestant == "mlcls":
        return [args.example, "speed", model, mode, str(batch), precision, str(args.size), str(args.reps)]
    return [sys.executable, RIVALS, "run", contestant, "--device", "cuda", "--dtype", precision, "--model", model,
            "--mode", mode, "--batch", str(batch), "--size", str(args.size), "--reps", str(args.reps), "--warmup", "5",
            "--threads", str(os.cpu_count())]


def measure(case, args):
    """Images per second of every step of every contestant; and why one has none."""
    rates, reasons = {name: [] for name in CONTESTANTS}, {}
    for _ in range(args.rounds):
        for name in CONTESTANTS:
            if name in reasons:
                continue
            found = lines(command(name, case, args), args.limit)
            if isinstance(found, str):
                reasons[name] = found
            else:
                rates[name] += [line["img_per_s"] for line in found if "img_per_s" in line]
    return rates, reasons


def row(case, rates, reasons):
    ours = statistics.median(rates["mlcls"]) if rates["mlcls"] else None
    cells = [*map(str, case)]
    for name in CONTESTANTS:
        cells.append(f"{statistics.median(rates[name]):.0f}" if rates[name] else reasons.get(name, "-"))
    for name in CONTESTANTS[1:]:
        cells.append(f"{ours / statistics.median(rates[name]):.2f}" if ours and rates[name] else "-")
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", help="the built example `cuda`")
    words = lambda text: text.split(",")
    parser.add_argument("--models", type=words, default=words("mobilenetv3_large_100,efficientnet_b0,tf_efficientnetv2_s"))
    parser.add_argument("--modes", type=words, default=words("train,sam,infer"))
    parser.add_argument("--batches", type=words, default=words("64,256"))
    parser.add_argument("--precisions", type=words, default=["bf16"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reps", type=int, default=20, help="timed steps of a process")
    parser.add_argument("--limit", type=int, default=300, help="seconds after which a process is stopped")
    parser.add_argument("--results", default="cuda", help="path of the two files without their endings")
    args = parser.parse_args()

    check = subprocess.run([args.example, "check", str(args.size)], text=True, stdout=subprocess.PIPE)
    print(check.stdout, flush=True)
    if check.returncode != 0:
        sys.exit("the check failed, so nothing is timed")
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True)
    packages = lines([sys.executable, RIVALS, "versions"], args.limit)
    head = [
        "# mlcls and PyTorch on one GPU", "",
        "Images per second, medians over all steps of all rounds; by `xtask/bench/cuda.py`, which says what is timed.", "",
        f"GPU and driver: {gpu.stdout.strip()}; {json.dumps(packages)}; {args.size} px, {args.rounds} rounds of {args.reps} steps.", "",
        check.stdout,
        "| model | mode | batch | precision | " + " | ".join(CONTESTANTS) + " | ratio to eager | ratio to compiled |",
        "|" + "---|" * (6 + len(CONTESTANTS)),
    ]
    print("\n".join(head[-2:]), flush=True)
    rows, records = [], []
    cases = [(model, mode, int(batch), precision) for model in args.models for mode in args.modes for batch in args.batches
             for precision in args.precisions]
    for case in cases:
        rates, reasons = measure(case, args)
        rows.append(row(case, rates, reasons))
        records.append({"case": case, "img_per_s": rates, "failed": reasons})
        print(rows[-1], flush=True)
        with open(args.results + ".md", "w") as file:
            file.write("\n".join(head + rows) + "\n")
        with open(args.results + ".json", "w") as file:
            json.dump({"gpu": gpu.stdout.strip(), "packages": packages, "cases": records}, file, indent=1)


if __name__ == "__main__":
    main()
