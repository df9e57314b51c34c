//! Depthwise kernels.

use super::exact::{Exact, assert_exact};
use super::{CHANNELS, output, random, wide};
use crate::graph::Activation;
use crate::kernels::depthwise::{GradRow, KERNELS, Lines, Start, Tap, stencil, weight_gradient};
use crate::kernels::simd::Isa;
use crate::reference::ACTIVATIONS;

/// Pixels of a row: one and two blocks of the kernels, each full, short and uneven.
const COUNTS: [usize; 6] = [1, 2, 7, 8, 9, 14];

/// A row of outputs over its band of inputs.
#[derive(Clone, Copy, Debug)]
struct Case {
    isa: Isa,
    c: usize,
    count: usize,
    kernel: usize,
    stride: usize,
}

impl Case {
    /// Pixels of a row of inputs.
    fn width(&self) -> usize {
        (self.count - 1) * self.stride + self.kernel
    }

    /// Every tap with the place of its input under the first output.
    fn taps(&self) -> impl Iterator<Item = Tap> {
        let Self { c, kernel: k, .. } = *self;
        let width = self.width();
        (0..k * k).map(move |t| Tap { source: (t / k * width + t % k) * c, weight: t * c })
    }

    fn input(&self) -> Vec<f32> {
        random(self.kernel * self.width() * self.c, 1)
    }
}

fn for_each_case(f: impl Fn(Case)) {
    for isa in Isa::available() {
        for c in CHANNELS {
            for count in COUNTS {
                for kernel in KERNELS {
                    for stride in [1, 2] {
                        f(Case { isa, c, count, kernel, stride });
                    }
                }
            }
        }
    }
}

/// Two lines of outputs `apart` pixels from each other, as the data gradient of a strided convolution writes them.
fn stencil_of(case: Case, taps: &[Tap], apart: usize, from: &str, act: Activation) {
    let Case { isa, c, count, kernel, stride } = case;
    let (lines, src_line) = (2, case.width() * c);
    let (w, bias) = (random(kernel * kernel * c, 2), random(c, 4));
    let x = random((kernel + lines - 1) * src_line, 1);
    let dst_line = ((count - 1) * apart + 1) * c + 3;
    let start = random((lines - 1) * dst_line + dst_line - 3, 3);
    let got = output(&start, |dst| {
        let start = match from {
            "zero" => Start::Zero,
            "bias" => Start::Bias(bias.as_ptr()),
            _ => Start::Output,
        };
        let (src, weights) = (x.as_ptr(), w.as_ptr());
        let (src_step, dst_step) = (stride * c, apart * c);
        let lines =
            Lines { src, src_step, src_line, dst, dst_step, dst_line, lines, count, c, weights, start, act };
        // SAFETY: input, weights, bias and output have exactly these sizes.
        unsafe { stencil(isa, &lines, taps) }
    });
    let (x, w) = (wide(&x), wide(&w));
    let want = start.iter().enumerate().map(|(at, &old)| {
        let (line, pixel, ch) = (at / dst_line, at % dst_line / c, at % dst_line % c);
        if pixel % apart > 0 || pixel > (count - 1) * apart {
            return Exact::kept(old);
        }
        let first = line * src_line + pixel / apart * stride * c + ch;
        let products = taps.iter().map(|t| x[first + t.source] * w[t.weight + ch]);
        let from: f64 = match from {
            "zero" => 0.0,
            "bias" => bias[ch].into(),
            _ => old.into(),
        };
        Exact::sum(products.chain([from])).activated(act)
    });
    assert_exact(&got, want, (case, taps.len(), apart, from, act));
}

#[test]
fn stencils() {
    for_each_case(|case| {
        let taps: Vec<Tap> = case.taps().collect();
        stencil_of(case, &taps, 1, "zero", Activation::Identity);
        stencil_of(case, &taps, 2, "output", Activation::Identity);
        stencil_of(case, &taps, 1, "bias", ACTIVATIONS[case.c % ACTIVATIONS.len()]);
        // Input pixels that a strided convolution has passed over get no tap at all.
        let from = if case.stride == 1 { "output" } else { "zero" };
        stencil_of(case, &[], 2, from, Activation::Identity);
    });
}

#[test]
fn weight_gradients() {
    for_each_case(|case| {
        let Case { isa, c, count, kernel, stride } = case;
        let (x, dy, start) = (case.input(), random(count * c, 2), random(kernel * kernel * c, 3));
        let got = output(&start, |dw| {
            let (x, dy, x_row) = (x.as_ptr(), dy.as_ptr(), case.width() * c);
            let row = GradRow { dy, x, x_row, x_step: stride * c, count, c, kernel, dw };
            // SAFETY: inputs, gradients and weights have exactly these sizes.
            unsafe { weight_gradient(isa, &row) }
        });
        let (x, dy) = (wide(&x), wide(&dy));
        let want = case.taps().flat_map(|tap| (0..c).map(move |ch| (tap, ch))).map(|(tap, ch)| {
            let products = (0..count).map(|i| dy[i * c + ch] * x[i * stride * c + tap.source + ch]);
            Exact::sum(products.chain([start[tap.weight + ch].into()]))
        });
        assert_exact(&got, want, case);
    });
}
