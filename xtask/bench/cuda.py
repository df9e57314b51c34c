#!/usr/bin/env python3
"""mlcls beside PyTorch on one NVIDIA GPU: whether it computes what it should, and how fast.

    cargo build --release -p mlcls-train --features cuda --example cuda
    python xtask/bench/cuda.py target/release/examples/cuda [--models M,..] [--modes train,sam,infer] [--batches 64,256]
           [--precisions bf16,tf32] [--contestants mlcls,torch,torch-compile] [--rounds 1] [--reps 20] [--seconds 2] [--no-check]
           [--results docs/results/cuda]

Needs a GPU, its driver and NVRTC; PyTorch and timm for the comparison, else it times mlcls alone. No Rust: the example may be
built elsewhere. First the example's `check` runs for each model; what fails it is timed all the same, with `check failed` beside
its numbers. Then every case is timed, mlcls, PyTorch eager and PyTorch compiled in turn, each in a process of its own that warms
up for a second or more; then all of that again in the next round. The table has medians over all steps of all rounds. PyTorch has
its images on the GPU beforehand, in channels last, with cudnn.benchmark; it trains with autocast and infers with weights in the
precision. mlcls brings uint8 pixels there in each step and takes the logits back. Writes NAME.md and NAME.json after each process,
so that an interrupted run leaves what it has.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import threading

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


def check(args):
    """Which models pass in which precisions, and the example's table, which is shown as it comes."""
    passed, table = {}, []
    for model in args.models:
        # A process for each: after some errors none can go on with its GPU.
        command = [args.example, "check", str(args.size), "16", model]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            clock = threading.Timer(args.limit, run.kill)
            clock.start()
            for line in map(str.rstrip, run.stdout):
                if line in table:
                    continue  # the head again
                print(line, flush=True)
                table.append(line)
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                if cells[0] == model:
                    passed[model, cells[1]] = cells[-1] == "ok"
            clock.cancel()
    return passed, table


def command(contestant, case, args):
    model, mode, batch, precision = case
    if contestant == "mlcls":
        return [args.example, "speed", model, mode, str(batch), precision, str(args.size), str(args.reps), str(args.seconds)]
    return [sys.executable, RIVALS, "run", contestant, "--device", "cuda", "--dtype", precision, "--model", model,
            "--mode", mode, "--batch", str(batch), "--size", str(args.size), "--reps", str(args.reps),
            "--seconds", str(args.seconds), "--warmup", "3", "--warmup-seconds", "1", "--threads", str(os.cpu_count())]


class Case:
    """Images per second of every step of every contestant; and why one has none."""

    def __init__(self, case, passed):
        self.case, self.passed = case, passed
        self.rates, self.reasons = {name: [] for name in CONTESTANTS}, {}

    def measure(self, name, args):
        if name in self.reasons:
            return
        found = lines(command(name, self.case, args), args.limit)
        if isinstance(found, str):
            self.reasons[name] = found
        else:
            self.rates[name] += [line["img_per_s"] for line in found if "img_per_s" in line]

    def row(self):
        medians = {name: statistics.median(rates) for name, rates in self.rates.items() if rates}
        cells = [*map(str, self.case)]
        for name in CONTESTANTS:
            cells.append(f"{medians[name]:.0f}" if name in medians else self.reasons.get(name, "-"))
            if name == "mlcls" and self.passed is False:
                cells[-1] += ", check failed"
        for name in CONTESTANTS[1:]:
            cells.append(f"{medians['mlcls'] / medians[name]:.2f}" if {"mlcls", name} <= medians.keys() else "-")
        return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"

    def record(self):
        return {"case": self.case, "check": self.passed, "img_per_s": self.rates, "failed": self.reasons}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", help="the built example `cuda`")
    words = lambda text: text.split(",")
    parser.add_argument("--models", type=words, default=words("mobilenetv3_large_100,efficientnet_b0,tf_efficientnetv2_s"))
    parser.add_argument("--modes", type=words, default=words("train,sam,infer"))
    parser.add_argument("--batches", type=words, default=words("64,256"))
    parser.add_argument("--precisions", type=words, default=["bf16"])
    parser.add_argument("--contestants", type=words, default=CONTESTANTS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--reps", type=int, default=20, help="timed steps of a process, at least")
    parser.add_argument("--seconds", type=int, default=2, help="how long they take together, at least")
    parser.add_argument("--limit", type=int, default=300, help="seconds after which a process is stopped")
    parser.add_argument("--no-check", action="store_true", help="does not ask whether mlcls computes what it should")
    parser.add_argument("--results", default="cuda", help="path of the two files without their endings")
    args = parser.parse_args()
    if not set(args.contestants) <= set(CONTESTANTS):
        parser.error(f"--contestants: expected some of {','.join(CONTESTANTS)}")

    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)  # where the example finds the libraries of this Python's pip
    passed, table = ({}, ["Not checked."]) if args.no_check else check(args)
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True)
    packages = lines([sys.executable, RIVALS, "versions"], args.limit)
    head = [
        "# mlcls and PyTorch on one GPU", "",
        "Images per second, medians over all steps of all rounds; by `xtask/bench/cuda.py`, which says what is timed.", "",
        f"GPU and driver: {gpu.stdout.strip()}; {json.dumps(packages)}; {args.size} px, {args.rounds} rounds of {args.reps} steps and "
        f"{args.seconds} s or more.", "",
        *table, "",
        "| model | mode | batch | precision | " + " | ".join(CONTESTANTS) + " | ratio to eager | ratio to compiled |",
        "|" + "---|" * (6 + len(CONTESTANTS)),
    ]
    cases = [(model, mode, int(batch), precision) for model in args.models for mode in args.modes for batch in args.batches
             for precision in args.precisions]
    # What the check has no line of has failed it, too.
    cases = [Case(case, None if args.no_check else passed.get((case[0], case[3]), False)) for case in cases]

    def write():
        with open(args.results + ".md", "w") as file:
            file.write("\n".join([*head, *(case.row() for case in cases)]) + "\n")
        with open(args.results + ".json", "w") as file:
            json.dump({"gpu": gpu.stdout.strip(), "packages": packages, "cases": [case.record() for case in cases]}, file, indent=1)

    print("\n".join(head[-2:]), flush=True)
    for _ in range(args.rounds):
        for case in cases:
            for name in args.contestants:
                case.measure(name, args)
                write()
            print(case.row(), flush=True)


if __name__ == "__main__":
    main()
