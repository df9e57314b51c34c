//! Depthwise kernels.

use super::exact::{Exact, assert_exact};
use super::{CHANNELS, output, random, wide};
use crate::kernels::depthwise::{GradRow, KERNELS, Row, Tap, stencil, weight_gradient};
use crate::kernels::simd::Isa;

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

/// One row of outputs `apart` pixels from each other, as the data gradient of a strided convolution writes them.
fn stencil_of(case: Case, taps: &[Tap], apart: usize, accumulate: bool) {
    let Case { isa, c, count, kernel, stride } = case;
    let (x, w) = (case.input(), random(kernel * kernel * c, 2));
    let start = random(((count - 1) * apart + 1) * c, 3);
    let got = output(&start, |dst| {
        let (src, weights) = (x.as_ptr(), w.as_ptr());
        let row = Row { src, src_step: stride * c, dst, dst_step: apart * c, count, c, weights, accumulate };
        // SAFETY: input, weights and output have exactly these sizes.
        unsafe { stencil(isa, &row, taps) }
    });
    let (x, w) = (wide(&x), wide(&w));
    let want = start.iter().enumerate().map(|(at, &old)| {
        let (pixel, ch) = (at / c, at % c);
        if pixel % apart > 0 {
            return Exact::kept(old);
        }
        let first = pixel / apart * stride * c + ch;
        let products = taps.iter().map(|t| x[first + t.source] * w[t.weight + ch]);
        Exact::sum(products.chain(accumulate.then(|| old.into())))
    });
    assert_exact(&got, want, (case, taps.len(), apart, accumulate));
}

#[test]
fn stencils() {
    for_each_case(|case| {
        let taps: Vec<Tap> = case.taps().collect();
        stencil_of(case, &taps, 1, false);
        stencil_of(case, &taps, 2, true);
        // Input pixels that a strided convolution has passed over get no tap at all.
        stencil_of(case, &[], 2, case.stride == 1);
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
