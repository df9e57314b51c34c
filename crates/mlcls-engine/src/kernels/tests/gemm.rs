//! Products in all layouts.

use super::exact::{Exact, assert_exact};
use super::{output, random, wide};
use crate::kernels::gemm::{Panels, Product, Runs, gemm, pack, packed_len};
use crate::kernels::simd::Isa;

const M: [usize; 9] = [1, 2, 3, 5, 7, 12, 13, 23, 24];
const N: [usize; 13] = [1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65, 100];
const K: [usize; 5] = [1, 2, 3, 9, 40];

/// What all layouts of a product have in common.
#[derive(Clone, Copy, Debug)]
struct Case {
    isa: Isa,
    /// Rows of one group, columns, and depth of one segment.
    size: (usize, usize, usize),
    groups: usize,
    segments: usize,
    /// Elements between the end of a row or of a run and the start of the next.
    gap: usize,
    /// Start from a bias.
    bias: bool,
    accumulate: bool,
}

/// Matrices of the same size one behind the other.
struct Matrices {
    data: Vec<f32>,
    /// Distance between rows.
    row: usize,
    /// Distance between matrices.
    next: usize,
}

impl Matrices {
    fn random(count: usize, rows: usize, columns: usize, gap: usize, seed: u64) -> Self {
        let row = columns + gap;
        let len = (rows - 1) * row + columns;
        let next = len + gap;
        Self { data: random((count - 1) * next + len, seed), row, next }
    }
}

fn all_layouts(case: Case) {
    let Case { isa, size: (m, n, k), groups, segments, gap, bias, accumulate } = case;
    let b = Matrices::random(segments, k, n, gap, 2);
    let c = Matrices::random(1, groups * m, n, gap, 3);
    let bias = bias.then(|| random(n, 4));
    let b_at = |l: usize, j: usize| l / k * b.next + l % k * b.row + j;
    let mut packed = vec![f32::NAN; packed_len(isa, segments * k, n)];
    pack(isa, segments * k, n, |l, j| b.data[b_at(l, j)], &mut packed);
    for a_down_columns in [false, true] {
        let (rows, columns) = if a_down_columns { (k, m) } else { (m, k) };
        let a = Matrices::random(groups * segments, rows, columns, gap, 1);
        let (a_row, a_col) = if a_down_columns { (1, a.row) } else { (a.row, 1) };
        let group = Runs { count: groups, a: segments * a.next, b: 0 };
        let segment = Runs { count: segments, a: a.next, b: b.next };
        let (a64, b64) = (wide(&a.data), wide(&b.data));
        let want: Vec<Exact> = (c.data.iter().enumerate())
            .map(|(at, &old)| {
                let (i, j) = (at / c.row, at % c.row);
                if j >= n {
                    return Exact::kept(old);
                }
                let first = i / m * group.a + i % m * a_row;
                let a_at = |l: usize| first + l / k * segment.a + l % k * a_col;
                let dot = (0..segments * k).map(|l| a64[a_at(l)] * b64[b_at(l, j)]);
                let start = bias.as_ref().map(|b| f64::from(b[j]));
                Exact::sum(dot.chain(start).chain(accumulate.then(|| old.into())))
            })
            .collect();
        for b in [Panels::Packed(packed.as_ptr()), Panels::Rows(b.data.as_ptr(), b.row)] {
            let got = output(&c.data, |to| {
                let plain = Product::plain(m, n, k, a.data.as_ptr(), b, to);
                let runs = Product { groups: group, segments: segment, ..plain };
                let bias = bias.as_ref().map_or(std::ptr::null(), |b| b.as_ptr());
                let p = Product { a_row, a_col, c_row: c.row, bias, ..runs }.accumulate(accumulate);
                // SAFETY: the matrices have exactly these sizes and distances.
                unsafe { gemm(isa, &p) }
            });
            assert_exact(&got, want.iter().copied(), (case, a_down_columns, b));
        }
    }
}

#[test]
fn products_of_all_layouts() {
    for isa in Isa::available() {
        for m in M {
            for n in N {
                for k in K {
                    for (groups, segments, gap, bias, accumulate) in [
                        (1, 1, 0, false, false),
                        (1, 1, 5, false, true),
                        (1, 1, 0, true, false),
                        (2, 3, 0, true, true),
                        (3, 2, 5, false, false),
                    ] {
                        all_layouts(Case { isa, size: (m, n, k), groups, segments, gap, bias, accumulate });
                    }
                }
            }
        }
    }
}
