//! The formulas of `xtask/reference/models.py`: weights, pixels, and sketches of tensors.
#![allow(dead_code, clippy::unwrap_used)] // each test uses a part; helpers of tests may panic

use std::path::PathBuf;

use mlcls_engine::{Graph, Weights};
use mlcls_models::{Model, ModelOptions, build};
use safetensors::SafeTensors;

/// Random vectors in a sketch.
pub const K: usize = 8;
/// Labels of the reference models.
pub const CLASSES: usize = 5;

/// 64 random bits per element: SplitMix64 over the index, keyed by the FNV-1a hash of the name.
pub fn bits(name: &str) -> impl Fn(usize) -> u64 + use<> {
    let key =
        name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
    move |i| {
        let mut z = key.wrapping_add((i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Multiples of 2^-23 in [-1, 1).
pub fn uniform(name: &str) -> impl Fn(usize) -> f64 + use<> {
    let bits = bits(name);
    move |i| (bits(i) >> 40) as f64 / f64::from(1 << 23) - 1.0
}

fn fill(name: &str, shape: &[usize], out: &mut [f32]) {
    let (middle, spread) = if name.ends_with("running_mean") {
        (0.0, 0.2)
    } else if name.ends_with("running_var") {
        (1.0, 0.5)
    } else if name == "head.act.weight" {
        (0.25, 0.05)
    } else if name.ends_with("bias") {
        (0.0, 0.1)
    } else if name == "pos_embed" {
        (0.0, 0.5)
    } else if shape.len() == 1 {
        (1.0, 0.3)
    } else {
        (0.0, (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt())
    };
    let u = uniform(name);
    for (i, v) in out.iter_mut().enumerate() {
        *v = (middle + spread * u(i)) as f32;
    }
}

/// The weights of the formula.
pub fn weights(graph: &Graph) -> Weights {
    let mut weights = Weights::init(graph, 0);
    for p in graph.params() {
        fill(&p.name, &p.shape, &mut weights.params[p.range()]);
    }
    for b in graph.buffers() {
        fill(&b.name, &b.shape, &mut weights.buffers[b.range()]);
    }
    weights
}

/// Pixels of a batch, NHWC.
pub fn pixels(batch: usize, size: usize, salt: &str) -> Vec<u8> {
    let bits = bits(&format!("pixels{size}.{salt}"));
    (0..batch * size * size * 3).map(|i| (bits(i) >> 56) as u8).collect()
}

/// L2 norm, then dot products with vectors of +-1.
pub fn sketch(name: &str, values: &[f32]) -> [f64; 1 + K] {
    let bits = bits(&format!("sketch:{name}"));
    let mut out = [0.0; 1 + K];
    for (i, &v) in values.iter().enumerate() {
        let (v, b) = (f64::from(v), bits(i));
        out[0] += v * v;
        for (k, dot) in out[1..].iter_mut().enumerate() {
            *dot += if (b >> k) & 1 == 0 { v } else { -v };
        }
    }
    out[0] = out[0].sqrt();
    out
}

/// Makes the model's linear head return the dot products of the sketch of its pooled features.
pub fn sketch_head(model: &Model, weights: &mut Weights) {
    let bits = bits("sketch:features");
    let width = model.feature_width();
    let (_, rows) = weights.tensor_mut(&model.graph, "head.weight").unwrap();
    for (k, row) in rows.chunks_exact_mut(width).enumerate() {
        row.iter_mut().enumerate().for_each(|(i, v)| *v = if (bits(i) >> k) & 1 == 0 { 1.0 } else { -1.0 });
    }
    weights.tensor_mut(&model.graph, "head.bias").unwrap().1.fill(0.0);
}

/// Estimated L2 norm of the difference of two tensors, from the dot products of their sketches.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    (squares.sum::<f64>() / a.len() as f64).sqrt()
}

/// L2 norm of the difference over the L2 norm of the reference.
pub fn relative(ours: &[f32], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let error: f64 = ours.iter().zip(reference).map(|(o, r)| (f64::from(*o) - r).powi(2)).sum();
    (error / reference.iter().map(|r| r * r).sum::<f64>()).sqrt()
}

/// A file that `xtask/reference` made.
pub struct Fixture {
    bytes: Vec<u8>,
}

impl Fixture {
    pub fn open(name: &str) -> Self {
        let path = fixtures().join(name);
        Self { bytes: std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) }
    }

    pub fn text(&self, key: &str) -> String {
        SafeTensors::read_metadata(&self.bytes).unwrap().1.metadata().as_ref().unwrap()[key].clone()
    }

    pub fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).is_ok()
    }

    pub fn tensor(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(name).unwrap().data();
        data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
    }
}

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A model with the reference's number of labels.
pub fn model(name: &str, size: usize) -> Model {
    build(name, &ModelOptions { classes: CLASSES, size, ..Default::default() }).unwrap()
}
