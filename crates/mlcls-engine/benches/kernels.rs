//! Speed of each kernel by itself, on one thread, with the layers of real nets at 224 px; about 40 seconds.
//!
//!     cargo bench -p mlcls-engine --features bench --bench kernels
//!
//! `-- gemm/forward` runs the benches whose names contain that; `-- --save-baseline before` and later `-- --baseline before`
//! compare two versions. Products are named `gemm/WAY/ROWSxCOUTxCIN/SET`, those that read 3x3 windows in place
//! `gemm/window/LINESxSIDExCOUTxCIN/SET`, depthwise convolutions `depthwise/WAY/SIDExCHANNELS kKERNELsSTRIDE/SET` (all sides are
//! those of the output, in pixels), passes over rows `rows/PASS/ROWSxCHANNELS/SET`. `Gelem/s` is GFLOP/s, two operations per
//! multiply-add; `GiB/s` counts each map once for every time that it is read or written.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use mlcls_engine::Activation;
use mlcls_engine::bench::{Channels, Depthwise, Set, axpy, packed, product, weight_product, window_product};

/// Products as `[rows, cout, cin]`. Rows are those of one tile, or of an image where that is smaller.
const PRODUCTS: &[[usize; 3]] = &[
    [240, 64, 16],   // MobileNetV3-large blocks.1.0.conv_pw, 112 px
    [240, 40, 72],   // MobileNetV3-large blocks.2.0.conv_pwl, 28 px
    [196, 480, 80],  // MobileNetV3-large blocks.4.0.conv_pw, 14 px
    [196, 112, 672], // MobileNetV3-large blocks.4.1.conv_pwl, 14 px
    [98, 160, 960],  // MobileNetV3-large blocks.5.1.conv_pwl, two images of 7 px
    [224, 48, 192],  // EfficientNet-V2-S blocks.1.1.conv_pwl, 56 px
    [98, 256, 1536], // EfficientNet-V2-S blocks.5.1.conv_pwl, two images of 7 px
];

/// 3x3 convolutions as `[lines, side, cout, cin]`, in tiles of some lines of the output.
const WINDOWS: &[[usize; 4]] = &[
    [2, 112, 24, 24], // EfficientNet-V2-S blocks.0.0.conv
    [4, 56, 192, 48], // EfficientNet-V2-S blocks.1.1.conv_exp
    [8, 28, 256, 64], // EfficientNet-V2-S blocks.2.1.conv_exp
];

/// Depthwise convolutions as `[side of the output, channels, kernel, stride]`.
const DEPTHWISE: &[[usize; 4]] = &[
    [112, 16, 3, 1], // MobileNetV3-large blocks.0.0.conv_dw
    [56, 64, 3, 2],  // MobileNetV3-large blocks.1.0.conv_dw
    [28, 120, 5, 1], // MobileNetV3-large blocks.2.1.conv_dw
    [14, 960, 3, 1], // EfficientNet-V2-S blocks.4.1.conv_dw
    [7, 960, 5, 1],  // MobileNetV3-large blocks.5.1.conv_dw
];

/// Passes as `[rows, channels]`.
const ROWS: &[[usize; 2]] = &[
    [196, 240],   // 0.2 MB: a tile in the second-level cache
    [12_544, 64], // 3 MB: a map of MobileNetV3-large's blocks.1.0, from the third level or memory
];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .nresamples(2000)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(250))
        .configure_from_args();
    products(&mut criterion);
    windows(&mut criterion);
    depthwise(&mut criterion);
    passes(&mut criterion);
    criterion.final_summary();
}

/// Numbers that start on a cache line, as all maps in an arena do; elsewhere some kernels take half as long again.
struct Aligned {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        numbers(self.len)
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[self.start..][..self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// Numbers of both signs, none of them tiny.
fn numbers(len: usize) -> Aligned {
    let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 * 2f32.powi(-23) - 1.0;
    let memory: Vec<f32> = (0..len + 16).map(number).collect();
    let start = memory.as_ptr().align_offset(64);
    Aligned { memory, start, len }
}

/// Benches `f` on every instruction set.
fn on_each(group: &mut BenchmarkGroup<WallTime>, case: &str, mut f: impl FnMut(Set)) {
    for set in Set::all() {
        group.bench_function(BenchmarkId::new(case, set.name()), |b| b.iter(|| f(set)));
    }
}

fn products(criterion: &mut Criterion) {
    for way in ["forward", "data", "weight"] {
        let mut group = criterion.benchmark_group(format!("gemm/{way}"));
        for &[rows, cout, cin] in PRODUCTS {
            let case = format!("{rows}x{cout}x{cin}");
            group.throughput(Throughput::Elements(2 * (rows * cout * cin) as u64));
            let (x, dy, w) = (numbers(rows * cin), numbers(rows * cout), numbers(cout * cin));
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
            for set in Set::all() {
                // Panels have the width of the instruction set.
                let (n, k) = if way == "data" { (cin, cout) } else { (cout, cin) };
                let panels = packed(set, &w, k, n);
                group.bench_function(BenchmarkId::new(&case, set.name()), |b| match way {
                    "forward" => b.iter(|| product(set, [rows, n, k], &x, &panels, &mut y)),
                    "data" => b.iter(|| product(set, [rows, n, k], &dy, &panels, &mut dx)),
                    _ => b.iter(|| weight_product(set, [rows, cout, cin], &dy, &x, &mut dw)),
                });
            }
        }
    }
}

fn windows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm/window");
    for &[lines, side, cout, cin] in WINDOWS {
        let case = format!("{lines}x{side}x{cout}x{cin}");
        group.throughput(Throughput::Elements(2 * (lines * side * cout * 9 * cin) as u64));
        let (x, w) = (numbers((lines + 2) * (side + 2) * cin), numbers(9 * cin * cout));
        let mut y = numbers(lines * side * cout);
        for set in Set::all() {
            let panels = packed(set, &w, 9 * cin, cout);
            let id = BenchmarkId::new(&case, set.name());
            let shape = [lines, side, cout, cin];
            group.bench_function(id, |b| b.iter(|| window_product(set, shape, &x, &panels, &mut y)));
        }
    }
}

fn depthwise(criterion: &mut Criterion) {
    for way in ["forward", "weight"] {
        let mut group = criterion.benchmark_group(format!("depthwise/{way}"));
        for &[side, c, kernel, stride] in DEPTHWISE {
            let case = format!("{side}x{c} k{kernel}s{stride}");
            group.throughput(Throughput::Elements(2 * (side * side * c * kernel * kernel) as u64));
            let layer = Depthwise::new(side, c, kernel, stride);
            let [x, w, y] = layer.lens().map(numbers);
            let (mut out, mut dw) = (y.clone(), w.clone());
            on_each(&mut group, &case, |set| match way {
                "forward" => layer.forward(set, &x, &w, &mut out),
                _ => layer.weight_gradient(set, &x, &y, &mut dw),
            });
        }
    }
}

fn passes(criterion: &mut Criterion) {
    for &[rows, c] in ROWS {
        let case = format!("{rows}x{c}");
        let mut group = |pass: &str, maps: usize, f: &mut dyn FnMut(Set)| {
            let mut group = criterion.benchmark_group(format!("rows/{pass}"));
            group.throughput(Throughput::Bytes(4 * (maps * rows * c) as u64));
            on_each(&mut group, &case, f);
        };
        // A bias above zero, so that passes in place, run again and again, do not shrink their map to numbers so small that
        // the processor treats them apart; and so far above that every slope is 1.
        let with = |act| Channels {
            act,
            scale: vec![1.0; c],
            shift: vec![30.0; c],
            gate: vec![],
            mean: vec![0.5; c],
        };
        let plain = with(Activation::HardSwish);
        let silu = with(Activation::Silu);
        let gated = Channels { gate: vec![0.5; c], ..with(Activation::Silu) };
        let [y, d] = [numbers(rows * c), numbers(rows * c)];
        let (mut to, mut vector) = (y.clone(), vec![0.0; c]);
        let (mut sums, mut gated_sums) = (vec![0.0; 2 * c], vec![0.0; gated.gated_sums()]);

        group("activate hard-swish", 2, &mut |set| plain.activate(set, &mut to, &y));
        group("activate silu", 2, &mut |set| silu.activate(set, &mut to, &y));
        group("activate silu gated", 2, &mut |set| gated.activate(set, &mut to, &y));
        group("apply silu", 2, &mut |set| silu.apply(set, &mut to));
        group("pool silu", 1, &mut |set| silu.pool(set, &y, &mut vector));
        group("moments", 1, &mut |set| plain.moments(set, &y, &mut sums));
        group("gradient", 3, &mut |set| plain.gradient(set, &mut to, &d, &y));
        group("gradient silu gated", 3, &mut |set| gated.gradient(set, &mut to, &d, &y));
        to.copy_from_slice(&d);
        group("finish hard-swish", 3, &mut |set| plain.finish(set, &mut to, &y, &mut sums));
        group("finish silu", 3, &mut |set| silu.finish(set, &mut to, &y, &mut sums));
        group("finish_gated silu", 2, &mut |set| gated.finish_gated(set, &d, &y, &mut gated_sums));
        group("axpy", 3, &mut |set| axpy(set, &mut to, &d, 0.5, true));
    }
}
