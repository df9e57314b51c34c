#!/usr/bin/env python3
"""What NVIDIA's compiler says of the CUDA kernels: registers, spilled bytes, shared memory. Needs no GPU.

usage: cuda_kernels.py [--precision fp32|tf32|bf16|fp16] [--arch sm_90] [--match REGEX]

Compiles the kernels with NVRTC (pip install nvidia-cuda-nvrtc, or a CUDA toolkit in LD_LIBRARY_PATH), as `mlcls` does when it
opens a GPU, and lists what spills first. Blocks: how many of a kernel a processor holds at a time, by its 65,536 registers.
"""
import argparse
import ctypes
import glob
import os
import re
import sys

ENGINE = os.path.join(os.path.dirname(__file__), "../../crates/mlcls-engine/src")
PRECISIONS = ["fp32", "tf32", "bf16", "fp16"]


def source():
    """The kernels' files in the order in which cuda/source.rs has them."""
    listed = re.findall(r'(\w+\.cuh)"', open(f"{ENGINE}/cuda/source.rs").read())
    return "".join(open(f"{ENGINE}/kernels/cuda/{name}").read() for name in dict.fromkeys(["hardware.cuh", *listed]))


def nvrtc():
    pattern = os.path.join(sys.prefix, "lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.*")
    found = [path for path in sorted(glob.glob(pattern)) if "builtins" not in path and "alt" not in path]
    for name in [*found, "libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    sys.exit("no NVRTC found: pip install nvidia-cuda-nvrtc")


def compiler_log(precision, arch):
    library, program, size = nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    code = source().encode()
    assert library.nvrtcCreateProgram(ctypes.byref(program), code, b"kernels.cu", 0, None, None) == 0
    options = ["--std=c++17", f"-DPRECISION={PRECISIONS.index(precision)}", f"--gpu-architecture={arch}", "--ptxas-options=-v"]
    failed = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*[o.encode() for o in options]))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    if failed:
        sys.exit(log.value.decode())
    return log.value.decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="bf16", choices=PRECISIONS)
    parser.add_argument("--arch", default="sm_90", help="a compute capability, such as sm_80")
    parser.add_argument("--match", default="", help="kernels whose names this finds")
    args = parser.parse_args()
    threads = dict(re.findall(r"KERNEL\((\w+), \w+, (\d+)\)", source()))
    rows = []
    for entry in compiler_log(args.precision, args.arch).split("Compiling entry function ")[1:]:
        number = lambda pattern: int((re.search(pattern, entry) or [0, 0])[1])
        rows.append((re.match(r"'(\w+)'", entry)[1], number(r"Used (\d+) registers"), number(r"(\d+) bytes spill stores"),
                     number(r"(\d+) bytes stack frame"), number(r"(\d+) bytes smem")))
    print(f"{'kernel':28} {'registers':>9} {'spilled':>8} {'stack':>6} {'shared':>7} {'blocks':>6}")
    for name, registers, spilled, stack, shared in sorted(rows, key=lambda row: (-row[2], -row[1])):
        if re.search(args.match, name):
            # Tiles of 64 rows have 128 threads; all kernels that the macros name otherwise have 256.
            size = int(threads.get(name, 128 if re.search("_64|conv_weight", name) else 256))
            blocks = min(65536 // (-(-max(registers, 1) // 8) * 8 * size), 2048 // size)
            print(f"{name:28} {registers:9} {spilled:8} {stack:6} {shared:7} {blocks:6}")


if __name__ == "__main__":
    main()
