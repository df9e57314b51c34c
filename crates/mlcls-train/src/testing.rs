//! A data set and a network small enough to train in tests.

use std::path::Path;

use mlcls_data::{Dataset, Format, Item, LabelState, Split};
use mlcls_engine::{Activation, ConvOptions, GraphBuilder, Weights};
use mlcls_loss::Loss;
use mlcls_models::{Head, Model, Normalization};

use crate::checkpoint::{Checkpoint, CheckpointInfo};
use crate::config::{Config, Layers};
use crate::error::Result;
use crate::setup::Setup;
use crate::world::Placement;

/// Side of the images.
const SIDE: usize = 32;

/// Labels of [`dataset`]: each says that its channel is bright.
pub(crate) const LABELS: [&str; 3] = ["red", "green", "blue"];

/// A checkpoint of [`model`] with random weights.
pub(crate) fn checkpoint() -> Checkpoint {
    let model = model();
    let info = CheckpointInfo::new(&model, LABELS.map(str::to_owned).into(), Loss::default());
    let weights = Weights::init(&model.graph, 3);
    Checkpoint { info, model, weights }
}

/// Writes a data set whose images are noise, bright in the channels of their labels: all eight combinations in turn.
/// Every tenth answer is unknown.
pub(crate) fn dataset(root: &Path, train: usize, val: usize) -> Dataset {
    let split = |name: &str, images: usize| {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let item = |i: usize| {
            let path = folder.join(format!("{i}.bmp"));
            std::fs::write(&path, bitmap(i as u32 % 8, (i + 1000 * name.len()) as u32)).unwrap();
            let state = |label: usize| match (i * 3 + label) % 10 == 9 {
                true => LabelState::Unknown,
                false if i >> label & 1 == 1 => LabelState::Present,
                false => LabelState::Absent,
            };
            Item { id: format!("{name}{i}"), image: path, states: (0..3).map(state).collect() }
        };
        Split { name: name.to_owned(), items: (0..images).map(item).collect() }
    };
    Dataset {
        root: root.to_owned(),
        format: Format::Datumaro,
        labels: LABELS.map(str::to_owned).into(),
        splits: vec![split("train", train), split("val", val)],
        notes: vec![],
    }
}

/// An uncompressed 24-bit BMP: noise from `seed`, brighter in the channels whose bit (red, green, blue) is set.
fn bitmap(bits: u32, seed: u32) -> Vec<u8> {
    let len = 54 + SIDE * SIDE * 3;
    let mut bytes = b"BM".to_vec();
    for field in [len as u32, 0, 54, 40, SIDE as u32, SIDE as u32, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    let mut noise = seed.wrapping_mul(2_654_435_761) | 1;
    for i in 0..SIDE * SIDE * 3 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let channel = 2 - i % 3; // BMP stores blue first
        bytes.push((noise >> 25) as u8 + if bits >> channel & 1 == 1 { 100 } else { 0 });
    }
    bytes
}

/// A network of two convolutions with every kind of random and running state: batch-norm, dropout, drop-path.
pub(crate) fn model() -> Model {
    model_with(0.2, 0.1)
}

/// The same without what is random in training.
pub(crate) fn steady_model() -> Model {
    model_with(0.0, 0.0)
}

fn model_with(drop_path: f32, dropout: f32) -> Model {
    let preprocessing = Normalization::HALF;
    let mut b = GraphBuilder::new("tiny", SIDE);
    let conv = ConvOptions { kernel: 3, stride: 2, ..ConvOptions::default() };
    let x = b.input(preprocessing.mean, preprocessing.std);
    let x = b.conv("stem", x, 8, conv).unwrap();
    let x = b.batch_norm("bn1", x, 1e-5, 0.1).unwrap();
    let shortcut = b.activation(x, Activation::Relu);
    let x = b.conv("branch", shortcut, 8, ConvOptions::default()).unwrap();
    let x = b.batch_norm("bn2", x, 1e-5, 0.1).unwrap();
    let map = b.add(x, shortcut, drop_path).unwrap();
    let features = b.global_pool(map);
    let x = b.dropout(features, dropout);
    let logits = b.cosine_linear("head", x, LABELS.len(), 7.0).unwrap();
    let graph = b.finish(map, features, logits).unwrap();
    Model { name: "efficientnet_b0", graph, preprocessing, head: Head::Cosine, scale: 7.0 }
}

/// Length of the difference beside that of what is expected.
pub(crate) fn distance(got: &[f32], want: &[f32]) -> f64 {
    let length = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    length(&mut got.iter().zip(want).map(|(a, b)| a - b)) / length(&mut want.iter().copied())
}

/// A run of [`model`] in one process.
pub(crate) fn setup(config: Config, dataset: &Dataset) -> Result<Setup> {
    Setup::new(config, dataset, model(), &Placement::alone())
}

/// Settings for [`model`]: three epochs of batches of four, everything reported, nothing downloaded; then `changes`.
pub(crate) fn config(changes: &[&str]) -> Config {
    let base = [
        "model.pretrained=none",
        "model.image_size=32",
        "train.epochs=3",
        "train.batch_size=4",
        "train.early_stop=false",
        "train.ema=true",
        "train.ema_decay=0.9",
        "eval.ema_from_epoch=1",
        "train.save_every=2",
        "log.every=1",
        "optim.lr=0.02",
    ];
    let layers = base.iter().chain(changes).try_fold(Layers::new(), |l, s| l.set(s)).unwrap();
    layers.resolve().unwrap()
}
