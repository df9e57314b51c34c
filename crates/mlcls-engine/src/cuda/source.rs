//! The source of all kernels, for the compiler at run time.

/// Puts what the machine has in front of the kernels.
macro_rules! kernels {
    ($machine:literal) => {
        concat!(
            include_str!(concat!("../kernels/cuda/", $machine)),
            include_str!("../kernels/cuda/common.cuh"),
            include_str!("../kernels/cuda/activation.cuh"),
            include_str!("../kernels/cuda/view.cuh"),
            include_str!("../kernels/cuda/block.cuh"),
            include_str!("../kernels/cuda/matrix.cuh"),
            include_str!("../kernels/cuda/windows.cuh"),
            include_str!("../kernels/cuda/conv.cuh"),
            include_str!("../kernels/cuda/tile.cuh"),
            include_str!("../kernels/cuda/depthwise.cuh"),
            include_str!("../kernels/cuda/norm.cuh"),
            include_str!("../kernels/cuda/gate.cuh"),
            include_str!("../kernels/cuda/join.cuh"),
            include_str!("../kernels/cuda/cosine.cuh"),
            include_str!("../kernels/cuda/update.cuh"),
        )
    };
}

/// For NVIDIA's compiler.
pub const SOURCE: &str = kernels!("hardware.cuh");

/// For a C++ compiler of this machine.
#[cfg(any(test, feature = "emulator"))]
pub const EMULATED: &str = kernels!("emulate.h");
