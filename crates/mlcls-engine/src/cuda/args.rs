//! The kernels' arguments, field by field as `kernels/cuda/*.cuh` declares them. Every gap is a field, so that all bytes are
//! written; a launch compares the sizes on the emulator.

use super::device::Address;
use crate::graph::{Activation, Shape};

/// A structure of C that a kernel takes.
///
/// # Safety
/// It is `repr(C)`, of plain numbers without gaps, and its size is a multiple of 8.
pub unsafe trait Args: Copy {
    /// Its bytes in words.
    fn words(&self) -> Vec<u64> {
        const { assert!(size_of::<Self>().is_multiple_of(8)) };
        let mut words = vec![0u64; size_of::<Self>() / 8];
        // SAFETY: both are this long; the trait's contract says that all bytes are initialised.
        unsafe {
            std::ptr::from_ref(self)
                .cast::<u8>()
                .copy_to_nonoverlapping(words.as_mut_ptr().cast(), size_of::<Self>());
        }
        words
    }

    /// Its bytes, as they are in memory.
    fn bytes(&self) -> Vec<u8> {
        self.words().into_iter().flat_map(u64::to_ne_bytes).collect()
    }
}

/// Declares structures of C whose numbers start at zero.
macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default)]
            pub struct $name { $(pub $field: $type,)* }

            // SAFETY: numbers and structures of numbers in the order of C. The fields fill the structure, as their sizes
            // say, and the size is checked where it is used.
            unsafe impl Args for $name {}
            const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*, "a gap between fields");
        )*
    };
}

structures! {
    Map { at: Address, single: i32, pad: i32, }
    View { value: Address, scale: Address, shift: Address, gate: Address, act: i32, c: i32, }
    Gradient {
        d: Map, y: Address, a: Address, b: Address, k: Address, scale: Address, shift: Address, gate: Address,
        pooled: Address, act: i32, c: i32,
    }
    Target {
        d: Address, y: Address, scale: Address, shift: Address, mean: Address, sums: Address, act: i32,
        accumulate: i32,
    }
    Window {
        kernel: i32, stride: i32, top: i32, left: i32, h: i32, w: i32, c: i32, oh: i32, ow: i32, oc: i32,
    }
    Pack { weight: Address, forward: Address, backward: Address, out: i32, inputs: i32, taps: i32, pad: i32, }
    Packs { all: Address, }
    ConvForward {
        view: View, pixels: Address, normalise: Address, weight: Address, bias: Address, out: Map,
        moments: Address, win: Window, n: i32, pad: i32,
    }
    ConvInput { g: Gradient, weight: Address, target: Target, win: Window, n: i32, pad: i32, }
    ConvWeight {
        g: Gradient, view: View, pixels: Address, normalise: Address, shares: Address, win: Window, n: i32,
        length: i32,
    }
    WeightSum { shares: Address, out: Address, parts: i32, outputs: i32, taps: i32, inputs: i32, }
    BiasSum { g: Gradient, shares: Address, rows: i32, pixels: i32, }
    TileCount { x: i32, y: i32, all: i32, pad: i32, }
    DepthwiseForward {
        view: View, weight: Address, out: Map, moments: Address, win: Window, tiles: TileCount,
    }
    DepthwiseInput { g: Gradient, weight: Address, target: Target, win: Window, tiles: TileCount, }
    DepthwiseWeight { g: Gradient, view: View, shares: Address, win: Window, tiles: TileCount, }
    NormForward {
        moments: Address, weight: Address, bias: Address, running_mean: Address, running_var: Address,
        mean: Address, inv_std: Address, scale: Address, shift: Address, shared: Address, blocks: i32, c: i32,
        eps: f32, momentum: f32,
    }
    NormBackward {
        sums: Address, weight: Address, inv_std: Address, mean: Address, weight_gradient: Address,
        bias_gradient: Address, a: Address, b: Address, k: Address, shared: Address, blocks: i32, c: i32,
        rows: i32, pad: i32,
    }
    Finish { target: Target, rows: i32, c: i32, }
    FinishGated { target: Target, pixels: i32, c: i32, }
    Gate {
        w1: Address, b1: Address, w2: Address, b2: Address, pooled: Address, hidden: Address,
        hidden_act: Address, raw: Address, gate: Address, sums: Address, pooled_grad: Address,
        norm_sums: Address, c: i32, r: i32, act: i32, gate_act: i32, share: f32, n: i32,
    }
    Outer { dy: Address, x: Address, weight: Address, bias: Address, n: i32, out: i32, inputs: i32, pad: i32, }
    Join {
        a: View, b: View, out: Map, target: Target, seed: Address, slope: Address, shares: Address, key: u64,
        p: f32, len: i32, count: i32, pixels: i32,
    }
    Cosine {
        view: View, weight: Address, x: Address, x_inverse: Address, w: Address, w_inverse: Address, out: Map,
        target: Target, weight_gradient: Address, dx: Address, n: i32, d: i32, classes: i32, scale: f32,
    }
    StepNumbers { norm: f64, rate: f32, root: f32, decay_rate: f32, average: f32, }
    Update {
        w: Address, saved: Address, g: Address, sum: Address, first: Address, second: Address,
        average: Address, decay: Address, numbers: Address, shares: Address, momentum: f32, rest1: f32,
        beta2: f32, rest2: f32, eps: f32, rho: f32, clip: f32, unscale: f32, len: i32, from: i32, nesterov: i32,
        pad: i32,
    }
    Average { values: Address, average: Address, numbers: Address, len: i32, pad: i32, }
    Mean { values: Address, len: i32, share: f32, }
}

/// The number of an activation in the kernels.
pub fn act(act: Activation) -> i32 {
    match act {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Relu6 => 2,
        Activation::HardSwish => 3,
        Activation::Silu => 4,
        Activation::Sigmoid => 5,
        Activation::HardSigmoid => 6,
    }
}

impl Window {
    /// A window between two maps.
    pub fn new(window: &crate::graph::Window, input: Shape, output: Shape) -> Self {
        Self {
            kernel: int(window.kernel),
            stride: int(window.stride),
            top: int(window.pads.top),
            left: int(window.pads.left),
            h: int(input.h),
            w: int(input.w),
            c: int(input.c),
            oh: int(output.h),
            ow: int(output.w),
            oc: int(output.c),
        }
    }
}

/// A count as the kernels take it.
///
/// # Panics
/// It does not fit; [`Plan::new`](super::plan::Plan::new) refuses larger maps.
pub fn int(count: usize) -> i32 {
    i32::try_from(count).expect("counts were checked when the plan was made")
}
