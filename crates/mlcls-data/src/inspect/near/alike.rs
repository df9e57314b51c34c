//! Whether two thumbnails show the same picture.

use super::super::fingerprint::THUMB;

/// Two images look alike if their thumbnails correlate at least this much,
const MIN_GREY: f64 = 0.75;
/// and the differences between neighbouring pixels of their thumbnails this much.
const MIN_EDGES: f64 = 0.6;

pub(super) type Thumb = [u8; THUMB * THUMB];

/// The thumbnail of the picture in a mirror.
pub(super) fn mirrored(thumb: &Thumb) -> Thumb {
    let mut out = *thumb;
    out.chunks_exact_mut(THUMB).for_each(<[u8]>::reverse);
    out
}

/// Whether two thumbnails show the same picture.
pub(super) fn look_alike(a: &Thumb, b: &Thumb) -> bool {
    grey_correlation(a, b) >= MIN_GREY && edge_correlation(a, b) >= MIN_EDGES
}

/// Pearson's correlation of the grey levels.
fn grey_correlation(a: &Thumb, b: &Thumb) -> f64 {
    let (mut sum_a, mut sum_b) = (0, 0);
    let mut products = Products::default();
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (i32::from(a), i32::from(b));
        (sum_a, sum_b) = (sum_a + a, sum_b + b);
        products.add(a, b);
    }
    let (n, sum_a, sum_b) = (a.len() as f64, f64::from(sum_a), f64::from(sum_b));
    let covariance = f64::from(products.ab) - sum_a * sum_b / n;
    let variance_a = f64::from(products.aa) - sum_a * sum_a / n;
    let variance_b = f64::from(products.bb) - sum_b * sum_b / n;
    covariance / (variance_a * variance_b).sqrt()
}

/// The cosine between the differences of neighbouring pixels, across and down.
fn edge_correlation(a: &Thumb, b: &Thumb) -> f64 {
    let mut products = Products::default();
    let difference = |thumb: &Thumb, at: usize, next: usize| i32::from(thumb[next]) - i32::from(thumb[at]);
    for y in 0..THUMB {
        for at in y * THUMB..y * THUMB + THUMB - 1 {
            products.add(difference(a, at, at + 1), difference(b, at, at + 1));
        }
    }
    for at in 0..THUMB * (THUMB - 1) {
        products.add(difference(a, at, at + THUMB), difference(b, at, at + THUMB));
    }
    f64::from(products.ab) / (f64::from(products.aa) * f64::from(products.bb)).sqrt()
}

/// Sums of products; of 480 pairs of numbers up to 255 they fit 32 bits.
#[derive(Default)]
struct Products {
    aa: i32,
    ab: i32,
    bb: i32,
}

impl Products {
    fn add(&mut self, a: i32, b: i32) {
        self.aa += a * a;
        self.ab += a * b;
        self.bb += b * b;
    }
}
