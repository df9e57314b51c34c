//! The cosine classifier on plain slices: `scale * clamp(x/|x| . w/|w|, -1, 1)`, and its gradient.

/// Norms below this are taken as this, as `torch.nn.functional.normalize` does.
pub const EPS: f32 = 1e-12;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen sums, so that the compiler can keep them in vectors.
    let mut acc = [0f32; 16];
    let (a_whole, a_rest) = a.as_chunks::<16>();
    let (b_whole, b_rest) = b.as_chunks::<16>();
    for (x, y) in a_whole.iter().zip(b_whole) {
        for i in 0..16 {
            acc[i] += x[i] * y[i];
        }
    }
    acc.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

/// Writes each row divided by its length to `out`, and one over the lengths to `inverse`.
pub fn normalise(rows: &[f32], d: usize, out: &mut [f32], inverse: &mut [f32]) {
    for ((row, out), inv) in rows.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(inverse) {
        *inv = 1.0 / dot(row, row).sqrt().max(EPS);
        out.iter_mut().zip(row).for_each(|(o, v)| *o = v * *inv);
    }
}

/// Rows of length `d`, each divided by its length, which is taken as at least 1e-12: the class vectors of a
/// [`CosineLinear`](crate::Op::CosineLinear) as inference uses them.
pub fn unit_rows(rows: &[f32], d: usize) -> Vec<f32> {
    let (mut unit, mut inverse) = (vec![0.0; rows.len()], vec![0.0; rows.len() / d.max(1)]);
    normalise(rows, d.max(1), &mut unit, &mut inverse);
    unit
}

/// Logits of one image from its unit features and the unit class vectors.
pub fn logits(x: &[f32], classes: &[f32], scale: f32, out: &mut [f32]) {
    for (class, out) in classes.chunks_exact(x.len()).zip(out) {
        *out = scale * dot(x, class).clamp(-1.0, 1.0);
    }
}

/// Gradient of a row from that of its unit vector: the part along the row has no effect.
pub fn normalise_backward(unit: &[f32], inverse: f32, grad: &mut [f32]) {
    // Below EPS the length is a constant, and nothing is projected out.
    let along = if inverse < 1.0 / EPS { dot(unit, grad) } else { 0.0 };
    grad.iter_mut().zip(unit).for_each(|(g, u)| *g = (*g - along * u) * inverse);
}
