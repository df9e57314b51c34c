//! The source of all kernels, for the compiler at run time.

/// Puts what the machine has and what all kernels share in front of kernels.
macro_rules! kernels {
    ($machine:literal: $($file:literal)*) => {
        concat!(
            include_str!(concat!("../kernels/cuda/", $machine)),
            include_str!("../kernels/cuda/common.cuh"),
            include_str!("../kernels/cuda/activation.cuh"),
            include_str!("../kernels/cuda/view.cuh"),
            include_str!("../kernels/cuda/block.cuh"),
            $(include_str!(concat!("../kernels/cuda/", $file)),)*
        )
    };
}

/// For NVIDIA's compiler, in parts that can be compiled side by side.
pub const SOURCES: [&str; 3] = [
    kernels!("hardware.cuh": "matrix.cuh" "windows.cuh" "conv.cuh"),
    kernels!("hardware.cuh": "tile.cuh" "depthwise.cuh"),
    kernels!("hardware.cuh": "norm.cuh" "gate.cuh" "join.cuh" "cosine.cuh" "update.cuh"),
];

/// For a C++ compiler of this machine.
#[cfg(any(test, feature = "emulator"))]
pub const EMULATED: &str = concat!(
    include_str!("../kernels/cuda/blocks.h"),
    kernels!(
        "emulate.h":
        "matrix.cuh" "windows.cuh" "conv.cuh" "tile.cuh" "depthwise.cuh"
        "norm.cuh" "gate.cuh" "join.cuh" "cosine.cuh" "update.cuh"
    )
);
