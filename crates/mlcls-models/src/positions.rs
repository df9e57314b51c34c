//! Positions of patches, learnt for a grid, for a grid of another size.

/// Resamples a square grid `[from, from, d]` to `[to, to, d]` as timm does: bicubic with a = -0.5, smoothed where the grid shrinks
/// (PyTorch's `interpolate(mode="bicubic", antialias=True)`).
///
/// # Panics
/// There are fewer than `from * from * d` numbers.
///
/// ```
/// // One number per place: the middle of a slope is its mean.
/// let slope: Vec<f32> = (0..9).map(|i| (i % 3) as f32).collect();
/// let one = mlcls_models::resample_positions(&slope, 3, 1, 1);
/// assert!((one[0] - 1.0).abs() < 1e-6);
/// ```
pub fn resample_positions(grid: &[f32], from: usize, to: usize, d: usize) -> Vec<f32> {
    if from == to {
        return grid.to_vec();
    }
    let taps = taps(from, to);
    // Along rows, then along columns; a place holds `d` values.
    let rows = mix(grid, &taps, from, d);
    mix(&rows, &taps, 1, to * d)
}

/// Mixes the middle axis of `[outer, from, inner]`.
fn mix(values: &[f32], taps: &[Taps], outer: usize, inner: usize) -> Vec<f32> {
    let from = values.len() / outer / inner;
    let mut out = Vec::with_capacity(outer * taps.len() * inner);
    for block in values.chunks_exact(from * inner) {
        for tap in taps {
            let places = block[tap.first * inner..].chunks_exact(inner).zip(&tap.weights);
            let mut sum = vec![0.0; inner];
            for (place, weight) in places {
                sum.iter_mut().zip(place).for_each(|(sum, v)| *sum += weight * v);
            }
            out.extend(sum);
        }
    }
    out
}

/// What one place is mixed from.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let one = |place: usize| {
        let centre = scale * (place as f64 + 0.5);
        let first = (centre - 2.0 * wide + 0.5).max(0.0) as usize;
        let end = ((centre + 2.0 * wide + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end).map(|i| cubic((i as f64 + 0.5 - centre) / wide)).collect();
        let sum: f64 = weights.iter().sum();
        Taps { first, weights: weights.iter().map(|w| (w / sum) as f32).collect() }
    };
    (0..to).map(one).collect()
}

/// Keys' cubic with a = -0.5.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    match x {
        ..1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        ..2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torch 2.15: `F.interpolate(torch.arange(25.).square().reshape(1, 1, 5, 5), size=(n, n), mode="bicubic",
    /// antialias=True)`, for n = 2 and 7.
    #[test]
    fn grids_are_those_of_pytorch() {
        let grid: Vec<f32> = (0..25u16).map(|i| f32::from(i * i)).collect();
        let small = resample_positions(&grid, 5, 2, 1);
        let large = resample_positions(&grid, 5, 7, 1);
        for (found, expected) in
            small.iter().chain([&large[0], &large[10], &large[24], &large[48]]).zip(EXPECTED)
        {
            assert!(
                (found - expected).abs() < 1e-3 * expected.abs().max(1.0),
                "{found}, expected {expected}"
            );
        }
        assert_eq!(resample_positions(&grid, 5, 5, 1), grid);
    }

    const EXPECTED: [f32; 8] =
        [36.854_176, 65.589_7, 285.088_38, 366.102_17, -1.480_629_4, 22.864_275, 144.0, 591.296_14];

    /// Each of `d` values is resampled for itself.
    #[test]
    fn values_of_a_place_stay_apart() {
        let one: Vec<f32> = (0..16u8).map(f32::from).collect();
        let two: Vec<f32> = one.iter().flat_map(|v| [*v, 100.0 - v]).collect();
        let (one, two) = (resample_positions(&one, 4, 3, 1), resample_positions(&two, 4, 3, 2));
        for (single, pair) in one.iter().zip(two.chunks_exact(2)) {
            assert_eq!(*single, pair[0]);
            assert!((100.0 - single - pair[1]).abs() < 1e-4);
        }
    }
}
