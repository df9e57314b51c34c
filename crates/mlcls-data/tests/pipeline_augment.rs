//! What holds for every draw of an augmentation, and how a recipe is written down.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_data::augment::{AugMix, CropStyle, OpKind, RandomCrop};
use mlcls_data::{Augment, AugmentRecipe, Resize, Rgb, SourceSize};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Means and deviations of the windows against those of `xtask/reference/crops.py` (torchvision itself; mmcls's
/// EfficientNet style restated in Python), within five standard errors.
#[test]
fn random_crops_are_distributed_as_the_references() {
    const DRAWS: usize = 20_000;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/augment/crops.json");
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let style: CropStyle = serde_json::from_value(case["style"].clone()).unwrap();
        let side = |key: &str| case[key].as_u64().unwrap() as u32;
        let image = Rgb::black(side("width"), side("height"));
        let crop = RandomCrop { style, area: [0.08, 1.0], size: 224 };
        let mut rng = rng(1);
        let drawn: Vec<[f64; 4]> = (0..DRAWS)
            .map(|_| crop.draw(&image, &mut rng))
            .map(|w| [w.x, w.y, w.width, w.height].map(f64::from))
            .collect();
        let reference_draws = case["draws"].as_f64().unwrap();
        let error = (1.0 / DRAWS as f64 + 1.0 / reference_draws).sqrt();
        for i in 0..4 {
            let mean = drawn.iter().map(|d| d[i]).sum::<f64>() / DRAWS as f64;
            let variance = drawn.iter().map(|d| (d[i] - mean).powi(2)).sum::<f64>() / DRAWS as f64;
            let (expected_mean, expected) =
                (case["mean"][i].as_f64().unwrap(), case["deviation"][i].as_f64().unwrap());
            let bound = 5.0 * expected * error;
            assert!((mean - expected_mean).abs() < bound, "{case} mean of {i}: {mean}");
            assert!(
                (variance.sqrt() - expected).abs() < bound,
                "{case} deviation of {i}: {}",
                variance.sqrt()
            );
        }
    }
}

#[test]
fn levels_give_the_strengths_of_the_source() {
    use mlcls_data::augment::Op;
    assert_eq!(OpKind::Color.at_level(5.0, true), Op::Color(1.45));
    assert_eq!(OpKind::Brightness.at_level(5.0, false), Op::Brightness(0.55));
    assert_eq!(OpKind::ShearX.at_level(10.0, false), Op::ShearX(-0.3));
    assert_eq!(OpKind::TranslateY.at_level(5.0, true), Op::TranslateY(0.225));
    let bits = |level| OpKind::Posterize.at_level(level, true);
    assert_eq!([bits(2.4), bits(2.5), bits(5.0), bits(10.0)], [4, 3, 2, 0].map(Op::Posterize));
    let threshold = |level| OpKind::Solarize.at_level(level, true);
    assert_eq!([threshold(0.0), threshold(5.0), threshold(10.0)], [256, 128, 0].map(Op::Solarize));
}

#[test]
fn augmix_uses_every_operation_and_chain_length() {
    let mut rng = rng(2);
    let mut kinds = std::collections::HashSet::new();
    let mut lengths = std::collections::HashSet::new();
    let mut mix = 0.0;
    for _ in 0..1000 {
        let plan = AugMix::default().draw(&mut rng);
        assert_eq!(plan.chains.len(), 3);
        let weights: f32 = plan.chains.iter().map(|chain| chain.weight).sum();
        assert!((weights - 1.0).abs() < 1e-6);
        mix += plan.mix / 1000.0;
        for chain in plan.chains {
            lengths.insert(chain.ops.len());
            kinds.extend(chain.ops.iter().map(std::mem::discriminant));
        }
    }
    assert!((mix - 0.5).abs() < 0.05);
    assert_eq!((kinds.len(), lengths), (12, [1, 2, 3].into()));
}

#[test]
fn presets_are_what_their_names_say() {
    let table = AugmentRecipe::preset("table").unwrap();
    assert_eq!(
        serde_json::to_string(&table).unwrap(),
        r#"[{"op":"flip","probability":0.5},{"op":"augmix","magnitude":5.0,"width":3},{"op":"rotate","probability":0.35,"degrees":10}]"#
    );
    for name in AugmentRecipe::PRESETS {
        let recipe = AugmentRecipe::preset(name).unwrap();
        let written = serde_json::to_value(&recipe).unwrap();
        assert_eq!(serde_json::from_value::<AugmentRecipe>(written).unwrap(), recipe);
        assert_eq!(AugmentRecipe::new(recipe.augments().to_vec()).unwrap(), recipe);
    }
    assert_eq!(AugmentRecipe::preset("plateau").unwrap().default_source(), SourceSize::Squash);
    assert_eq!(AugmentRecipe::preset("crop_flip").unwrap().default_source(), SourceSize::Original);
}

#[test]
fn mistakes_in_a_recipe_are_explained() {
    let error = |json: &str| serde_json::from_str::<AugmentRecipe>(json).unwrap_err().to_string();
    assert!(error(r#""plato""#).contains("did you mean 'plateau'?"));
    let range =
        error(r#"[{"op": "flip", "probability": 0.5}, {"op": "rotate", "probability": 1.5, "degrees": 3}]"#);
    assert!(range.contains("augmentation 2 (rotate): probability is 1.5, expected 0 to 1"), "{range}");
    assert!(
        error(r#"[{"op": "random_crop", "style": "torchvision", "area": [0.5, 0.1]}]"#)
            .contains("[0.5, 0.1]")
    );
    assert!(error(r#"[{"op": "flip", "probability": 0.5, "chance": 1}]"#).contains("chance"));
    assert!(error(r#"[{"op": "flop"}]"#).contains("flop"));
    assert!(AugmentRecipe::new(vec![Augment::Flip { probability: f64::NAN }]).is_err());
    assert!(AugmentRecipe::new(vec![Augment::AugMix { magnitude: 5.0, width: 0 }]).is_err());
    assert!(AugmentRecipe::new(vec![Augment::AugMix { magnitude: 11.0, width: 3 }]).is_err());
}

#[test]
fn source_sizes_are_written_as_a_word_or_a_number() {
    for (text, size) in [
        (r#""squash""#, SourceSize::Squash),
        (r#""original""#, SourceSize::Original),
        ("256", SourceSize::ShortSide(256)),
    ] {
        assert_eq!(serde_json::from_str::<SourceSize>(text).unwrap(), size);
        assert_eq!(serde_json::to_string(&size).unwrap(), text);
    }
    for wrong in ["0", "-3", r#""squish""#, "1.5"] {
        assert!(serde_json::from_str::<SourceSize>(wrong).is_err(), "{wrong}");
    }
}

fn noise(width: u32, height: u32, seed: u64) -> Rgb {
    use rand::Rng;
    let mut data = vec![0; width as usize * height as usize * 3];
    rng(seed).fill_bytes(&mut data);
    Rgb::new(width, height, data).unwrap()
}

/// Runs are repeated by their seed, so neither the draws nor the bits of the pixels may change. The hash was made by the first
/// version of these loops, which were plain; another processor takes other ones.
#[test]
fn a_seed_gives_the_pixels_that_it_always_gave() {
    let mut hash = blake3::Hasher::new();
    for seed in 0..200 {
        let image = noise(20 + seed as u32 * 7 % 90, 20 + seed as u32 * 11 % 70, seed);
        for name in AugmentRecipe::PRESETS {
            let method = [Resize::Bilinear, Resize::Antialias][seed as usize % 2];
            let recipe = AugmentRecipe::preset(name).unwrap();
            hash.update(recipe.apply(&image, 48 + seed as u32 % 3, method, &mut rng(seed)).data());
        }
    }
    assert_eq!(
        hash.finalize().to_hex().as_str(),
        "fc62391159cf804aab171dc8c02693ebc98ca04df7ad1e1afdc1c22df2363c3f"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_window_lies_inside_its_image(width in 1u32..400, height in 1u32..400, size in 1u32..400, seed: u64) {
        let image = Rgb::black(width, height);
        for style in [CropStyle::Efficientnet, CropStyle::Torchvision] {
            let w = RandomCrop { style, area: [0.08, 1.0], size }.draw(&image, &mut rng(seed));
            prop_assert!(w.width >= 1 && w.height >= 1);
            prop_assert!(w.x + w.width <= width && w.y + w.height <= height);
        }
    }

    #[test]
    fn any_recipe_gives_the_size_asked_for(width in 1u32..60, height in 1u32..60, size in 1u32..50, seed: u64) {
        let image = noise(width, height, seed);
        for name in AugmentRecipe::PRESETS {
            for method in [Resize::Bilinear, Resize::Antialias] {
                let out = AugmentRecipe::preset(name).unwrap().apply(&image, size, method, &mut rng(seed));
                prop_assert_eq!((out.width(), out.height()), (size, size));
            }
        }
    }

    #[test]
    fn operations_accept_any_size_and_level(width in 1u32..12, height in 1u32..12, level in 0.0f64..10.0, raise: bool) {
        for kind in OpKind::ALL {
            let mut image = noise(width, height, 3);
            kind.at_level(level, raise).apply(&mut image);
            prop_assert_eq!((image.width(), image.height()), (width, height));
        }
    }

    #[test]
    fn resizing_stays_within_the_range_of_the_image(width in 1u32..40, height in 1u32..40, w in 1u32..40, h in 1u32..40) {
        let image = noise(width, height, 4);
        let (low, high) = (image.data().iter().min(), image.data().iter().max());
        for method in [Resize::Bilinear, Resize::Antialias] {
            let out = mlcls_data::resize(&image, w, h, method);
            // OpenCV's two truncating shifts may lose one level.
            prop_assert!(out.data().iter().min().unwrap() + 1 >= *low.unwrap());
            prop_assert!(out.data().iter().max() <= high);
        }
    }
}
