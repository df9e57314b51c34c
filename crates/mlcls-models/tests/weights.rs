//! Loading, saving and transferring weights: what is right arrives, what is wrong is named.
#![allow(clippy::unwrap_used)] // helpers of tests may panic

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use mlcls_engine::{ConvOptions, Graph, GraphBuilder, Weights};
use mlcls_models::{Error, Head, ModelOptions, WeightFile, build, save_weights, transfer, write_atomic};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const LITE0: &str = "tf_efficientnet_lite0";

/// A file's tensors as the safetensors crate writes them.
#[derive(Default)]
struct Tensors(BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn of(graph: &Graph, weights: &Weights, dtype: Dtype) -> Self {
        let mut out = Self::default();
        for (name, shape, values) in weights.tensors(graph) {
            let bytes = values.iter().flat_map(|v| match dtype {
                Dtype::F16 => f16::from_f32(*v).to_le_bytes().to_vec(),
                Dtype::BF16 => bf16::from_f32(*v).to_le_bytes().to_vec(),
                _ => v.to_le_bytes().to_vec(),
            });
            out.0.insert(name.to_owned(), (dtype, shape.to_vec(), bytes.collect()));
        }
        out
    }

    fn add(&mut self, name: &str, shape: &[usize]) {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        self.0.insert(name.to_owned(), (Dtype::F32, shape.to_vec(), bytes));
    }

    fn write(&self, path: &Path) {
        let views = self.0.iter().map(|(n, (d, s, b))| (n, TensorView::new(*d, s.clone(), b).unwrap()));
        std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }
}

/// Two small tensors and two buffers: enough for the file format.
fn tiny() -> (Graph, Weights) {
    let mut b = GraphBuilder::new("tiny", 8);
    let x = b.input([0.5; 3], [0.5; 3]);
    let x = b.conv("stem", x, 4, ConvOptions { kernel: 3, stride: 2, ..Default::default() }).unwrap();
    let map = b.batch_norm("bn", x, 1e-5, 0.1).unwrap();
    let features = b.global_pool(map);
    let logits = b.cosine_linear("head", features, 3, 7.0).unwrap();
    let graph = b.finish(map, features, logits).unwrap();
    let weights = common::weights(&graph);
    (graph, weights)
}

#[test]
fn a_saved_file_is_byte_for_byte_what_pythons_safetensors_was_seen_to_read() {
    // xtask/reference/weights.py checks the fixture with the Python package.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let (graph, weights) = tiny();
    let metadata: BTreeMap<String, String> =
        [("model", "tiny"), ("labels", "[\"cat\", \"dög\"]")].map(|(k, v)| (k.into(), v.into())).into();
    save_weights(&path, &graph, &weights, &metadata).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes, std::fs::read(common::fixtures().join("saved.safetensors")).unwrap());

    let file = WeightFile::open(&path).unwrap();
    let mut found = file.metadata().clone();
    assert!(found.remove("blake3").is_some(), "the hash of the content");
    assert_eq!(found, metadata);
    assert_eq!(file.weights(&graph).unwrap(), weights);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["w.safetensors"], "no temporary file stays");
}

#[test]
fn half_precision_is_widened_as_pytorch_does() {
    // xtask/reference/weights.py: the same tensors in f16, bf16 and f32, and what PyTorch makes of them in float32.
    let (graph, _) = tiny();
    let load =
        |name: &str| WeightFile::open(&common::fixtures().join(name)).unwrap().weights(&graph).unwrap();
    assert_eq!(load("dtypes.safetensors"), load("dtypes_f32.safetensors"));
}

#[test]
fn a_timm_file_fills_the_backbone_and_leaves_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    for (name, classifier) in [
        (LITE0, vec!["classifier.bias", "classifier.weight"]),
        (
            "mobilenetv3_large_100",
            vec!["classifier.bias", "classifier.weight", "conv_head.bias", "conv_head.weight"],
        ),
    ] {
        let model = common::model(name, 32);
        let mut source = Tensors::of(&model.graph, &common::weights(&model.graph), Dtype::F32);
        source.0.retain(|name, _| !name.starts_with("head."));
        let backbone = source.0.len();
        for tensor in &classifier {
            source.add(tensor, &[1000]);
        }
        source.add("bn1.num_batches_tracked", &[]);
        source.write(&path);

        let start = Weights::init(&model.graph, 3);
        let mut weights = start.clone();
        let report = WeightFile::open(&path).unwrap().backbone(&model, &mut weights).unwrap();
        assert_eq!((report.loaded, &report.skipped[..]), (backbone, &names(&classifier)[..]));
        let expected = common::weights(&model.graph);
        for ((name, _, new), ((_, _, formula), (_, _, old))) in
            weights.tensors(&model.graph).zip(expected.tensors(&model.graph).zip(start.tensors(&model.graph)))
        {
            assert_eq!(new, if name.starts_with("head.") { old } else { formula }, "{name}");
        }
    }
}

#[test]
fn every_difference_is_in_one_error_and_nothing_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let model = common::model(LITE0, 32);
    let mut source = Tensors::of(&model.graph, &common::weights(&model.graph), Dtype::F32);
    let stem = source.0.remove("conv_stem.weight").unwrap();
    source.0.insert("conv_stm.weight".to_owned(), stem);
    source.add("blocks.9.0.conv.weight", &[4, 4]);
    source.add("blocks.0.0.conv_dw.weight", &[1, 32, 3, 3]);
    source.0.get_mut("bn1.weight").unwrap().0 = Dtype::I32;
    source.0.get_mut("bn1.bias").unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    source.write(&path);

    let mut weights = Weights::init(&model.graph, 0);
    let before = weights.clone();
    let error = WeightFile::open(&path).unwrap().backbone(&model, &mut weights).unwrap_err();
    assert_eq!(weights, before);
    let Error::Mismatch { mismatch, .. } = &error else { panic!("{error}") };
    assert_eq!(mismatch.missing, ["conv_stem.weight"]);
    assert_eq!(mismatch.unexpected.len(), 2);
    assert_eq!(
        mismatch.wrong,
        [
            "bn1.weight: expected f32, f16 or bf16, found I32",
            "bn1.bias: 1 of 32 values are NaN or infinite",
            "blocks.0.0.conv_dw.weight: expected shape [32, 1, 3, 3], found [1, 32, 3, 3]",
        ]
    );
    let message = error.to_string();
    assert!(message.contains("does not fit tf_efficientnet_lite0:"), "{message}");
    assert!(message.contains("conv_stm.weight (did you mean `conv_stem.weight`?)"), "{message}");
}

#[test]
fn a_checkpoint_of_another_model_is_refused_with_counts_not_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let (other, mine) = (common::model("efficientnet_b0", 32), common::model("mobilenetv3_large_100", 32));
    save_weights(&path, &other.graph, &common::weights(&other.graph), &BTreeMap::new()).unwrap();
    let mut weights = Weights::init(&mine.graph, 0);
    let message = WeightFile::open(&path).unwrap().backbone(&mine, &mut weights).unwrap_err().to_string();
    assert!(message.lines().count() < 130, "{message}");
    assert!(message.contains("more"), "{message}");
    // A checkpoint of the same backbone with another head and labels is a fine start.
    let options = ModelOptions { classes: 9, size: 64, head: Some(Head::Linear), ..Default::default() };
    let other = build("mobilenet_v3_large", &options).unwrap();
    save_weights(&path, &other.graph, &common::weights(&other.graph), &BTreeMap::new()).unwrap();
    let report = WeightFile::open(&path).unwrap().backbone(&mine, &mut weights).unwrap();
    assert_eq!(report.skipped, ["head.bias", "head.weight"]);
}

#[test]
fn damaged_files_are_named_and_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let (graph, weights) = tiny();
    save_weights(&path, &graph, &weights, &[("k".to_owned(), "v".to_owned())].into()).unwrap();
    let good = std::fs::read(&path).unwrap();

    let check = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = WeightFile::open(&path).map(|_| ()).expect_err(what);
        assert!(matches!(error, Error::Format { .. }), "{what}: {error}");
        assert!(error.to_string().contains("w.safetensors is not a whole safetensors file"), "{error}");
    };
    for cut in (0..good.len()).step_by(7) {
        check(&good[..cut], "truncated");
    }
    check(&[&good[..], b"x"].concat(), "a byte too many");
    check(b"<!doctype html><html>not found</html>", "a web page");
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    check(&u64::MAX.to_le_bytes(), "a header of 2^64 bytes");
    check(&header("{}}"), "bad JSON");
    check(&header("[]"), "not an object");
    check(
        &header(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}}"#),
        "overflow",
    );
    check(&header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#), "offsets the wrong way");

    let missing = dir.path().join("absent.safetensors");
    let message = WeightFile::open(&missing).unwrap_err().to_string();
    assert!(message.starts_with("cannot read ") && message.contains("absent.safetensors"), "{message}");
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_atomic(&path, |out| out.write_all(b"old")).unwrap();
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = write_atomic(&path, |out| out.write_all(b"half of the new").and(Err(full()))).unwrap_err();
    assert!(error.to_string().starts_with("cannot write "), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    write_atomic(&path, |out| out.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    write_atomic(&dir.path().join("no/such/folder"), |_| Ok(())).unwrap_err();
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn class_vectors_follow_their_labels() {
    for head in Head::ALL {
        let options = |classes| ModelOptions { classes, size: 32, head: Some(head), ..Default::default() };
        let old = build("mobilenet_v3_large", &options(3)).unwrap();
        let new = build("mobilenet_v3_large", &options(4)).unwrap();
        let old_weights = common::weights(&old.graph);
        let start = Weights::init(&new.graph, 5);
        let mut weights = start.clone();
        let result = transfer(
            (&old.graph, &old_weights, &names(&["cat", "dog", "eel"])),
            (&new.graph, &mut weights, &names(&["ant", "eel", "cat", "bee"])),
        )
        .unwrap();
        assert_eq!(result.copied, ["eel", "cat"]);
        assert_eq!(result.fresh, ["ant", "bee"]);

        let tensor = |graph: &Graph, w: &Weights, name: &str| -> Option<Vec<f32>> {
            w.tensors(graph).find(|(n, ..)| *n == name).map(|(_, _, v)| v.to_vec())
        };
        for name in ["head.weight", "head.bias"] {
            let Some(before) = tensor(&old.graph, &old_weights, name) else { continue };
            let (fresh, after) =
                (tensor(&new.graph, &start, name).unwrap(), tensor(&new.graph, &weights, name).unwrap());
            let width = before.len() / 3;
            let row = |v: &[f32], i: usize| v[i * width..(i + 1) * width].to_vec();
            assert_eq!(row(&after, 0), row(&fresh, 0), "{head} {name}");
            assert_eq!(row(&after, 1), row(&before, 2), "{head} {name}");
            assert_eq!(row(&after, 2), row(&before, 0), "{head} {name}");
            assert_eq!(row(&after, 3), row(&fresh, 3), "{head} {name}");
        }
        for (name, _, values) in weights.tensors(&new.graph) {
            if !["head.weight", "head.bias"].contains(&name) {
                assert_eq!(values, tensor(&old.graph, &old_weights, name).unwrap(), "{head} {name}");
            }
        }
    }
}

#[test]
fn a_transfer_between_different_heads_or_with_wrong_labels_is_refused() {
    let options = |head| ModelOptions { classes: 2, size: 32, head: Some(head), ..Default::default() };
    let cosine = build("efficientnet_lite0", &options(Head::Cosine)).unwrap();
    let deep = build("efficientnet_lite0", &options(Head::NonLinear)).unwrap();
    let (from, mut to) = (common::weights(&cosine.graph), common::weights(&deep.graph));
    let before = to.clone();
    let two = names(&["a", "b"]);
    let error = transfer((&cosine.graph, &from, &two), (&deep.graph, &mut to, &two)).unwrap_err().to_string();
    assert!(error.contains("head.hidden.weight"), "{error}");
    let error = transfer((&deep.graph, &before, &two), (&cosine.graph, &mut from.clone(), &two)).unwrap_err();
    assert!(error.to_string().contains("not in the model"), "{error}");
    let error = transfer((&deep.graph, &before, &names(&["a"])), (&deep.graph, &mut to, &two)).unwrap_err();
    assert!(error.to_string().contains("the other model: expected 2 labels, found 1"), "{error}");
    assert_eq!(to, before);
}
