//! What holds for every logit and parameter: finite, never negative, masked, and a gradient that is the derivative.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_loss::{Aam, Asl, Bce, Error, Focal, Loss};
use proptest::prelude::*;

fn gamma() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(4.0), 0.0..6.0]
}

fn shift() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(0.05), 0.0..0.9]
}

fn any_loss() -> impl Strategy<Value = Loss> {
    let aam = (0.0..=1.0, gamma(), gamma(), 0.0..0.5, shift(), 0.5..30.0).prop_map(
        |(k, gamma_pos, gamma_neg, margin, shift, scale)| {
            Loss::Aam(Aam { k, gamma_pos, gamma_neg, margin, shift, scale })
        },
    );
    let asl = (gamma(), gamma(), shift(), 0.5..30.0).prop_map(|(gamma_pos, gamma_neg, shift, scale)| {
        Loss::Asl(Asl { gamma_pos, gamma_neg, shift, scale })
    });
    let focal = (proptest::option::of(0.0..=1.0), gamma(), 0.5..30.0)
        .prop_map(|(alpha, gamma, scale)| Loss::Focal(Focal { alpha, gamma, scale }));
    let bce = (0.5..30.0).prop_map(|scale| Loss::Bce(Bce { scale }));
    prop_oneof![aam, asl, focal, bce]
}

/// Any finite logit, with the sizes where sigmoids saturate and under- or overflow well covered.
fn finite_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        -20.0f32..20.0,
        -1e4f32..1e4,
        Just(f32::MAX),
        Just(f32::MIN),
        Just(f32::MIN_POSITIVE),
        Just(-0.0)
    ]
}

proptest! {
    #[test]
    fn finite_for_every_finite_logit(loss in any_loss(), z in finite_logit(), present in any::<bool>()) {
        let mut slope = [0.0];
        let value = loss.value_and_grad(&[z], &[f32::from(present)], &[1.0], &mut slope).unwrap();
        prop_assert!(value.objective.is_finite() && value.objective >= 0.0, "{value:?}");
        prop_assert!(slope[0].is_finite(), "slope {}", slope[0]);
    }

    #[test]
    fn unknown_entries_change_nothing(
        loss in any_loss(),
        entries in prop::collection::vec((finite_logit(), any::<bool>(), any::<bool>()), 1..20),
        junk in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), -1e4f32..1e4],
    ) {
        let column = |f: &dyn Fn(&(f32, bool, bool)) -> f32| entries.iter().map(f).collect::<Vec<f32>>();
        let (logits, targets, mask) =
            (column(&|e| e.0), column(&|e| f32::from(e.1)), column(&|e| f32::from(e.2)));
        let (other_logits, other_targets) =
            (column(&|e| if e.2 { e.0 } else { junk }), column(&|e| if e.2 { f32::from(e.1) } else { junk }));
        let (mut grad, mut other_grad) = (vec![1.0; entries.len()], vec![2.0; entries.len()]);
        let value = loss.value_and_grad(&logits, &targets, &mask, &mut grad).unwrap();
        let other = loss.value_and_grad(&other_logits, &other_targets, &mask, &mut other_grad).unwrap();
        prop_assert_eq!(value, other);
        prop_assert_eq!(&grad, &other_grad);
        prop_assert!(grad.iter().zip(&mask).all(|(g, m)| *m == 1.0 || *g == 0.0));
    }
}

#[test]
fn an_empty_batch_and_a_batch_of_unknowns_are_zero() {
    let loss = Loss::default();
    let value = loss.value_and_grad(&[], &[], &[], &mut []).unwrap();
    assert_eq!((value.objective, value.known, value.mean()), (0.0, 0, 0.0));
    let mut grad = [9.0; 2];
    let value = loss.value_and_grad(&[1.0, 2.0], &[1.0, 0.0], &[0.0, 0.0], &mut grad).unwrap();
    assert_eq!((value.objective, value.known, value.mean()), (0.0, 0, 0.0));
    assert_eq!(grad, [0.0; 2]);
}

#[test]
fn a_nan_logit_is_found_by_its_image() {
    let loss = Loss::default();
    let (logits, targets, mask) = ([0.5, 0.5, f32::NAN, 0.5, 0.5, 0.5], [0.0; 6], [1.0; 6]);
    assert!(loss.value(&logits, &targets, &mask).unwrap().objective.is_nan());
    let culprits: Vec<bool> =
        loss.per_image(&logits, &targets, &mask, 2).unwrap().iter().map(|part| part.is_nan()).collect();
    assert_eq!(culprits, [false, true, false]);
}

#[test]
fn wrong_input_is_refused_with_its_place() {
    let loss = Loss::default();
    let error =
        |targets: &[f32], mask: &[f32]| loss.value(&[0.0, 0.0], targets, mask).unwrap_err().to_string();
    assert_eq!(
        error(&[0.0], &[1.0, 1.0]),
        "the targets array has 1 entries where the logits have 2; all four arrays are [images, labels]"
    );
    assert_eq!(
        error(&[0.0, 0.5], &[1.0, 1.0]),
        "entry 1 of the targets is 0.5; expected 0 or 1 (an unknown answer has mask 0 and any target)"
    );
    assert!(error(&[0.0, 0.0], &[f32::NAN, 1.0]).starts_with("entry 0 of the mask is NaN"));
    assert_eq!(loss.per_image(&[0.0; 3], &[0.0; 3], &[1.0; 3], 2), Err(Error::Rows { logits: 3, labels: 2 }));
    assert_eq!(loss.per_image(&[], &[], &[], 0), Err(Error::Rows { logits: 0, labels: 0 }));
    assert!(loss.value_and_grad(&[0.0], &[0.0], &[1.0], &mut []).is_err());
}

#[test]
fn parameters_out_of_range_are_refused() {
    let aam = Aam::default();
    let asl = Asl::default();
    for (loss, parameter) in [
        (Loss::Aam(Aam { k: 1.1, ..aam }), "k"),
        (Loss::Aam(Aam { gamma_pos: -0.1, ..aam }), "gamma_pos"),
        (Loss::Aam(Aam { gamma_neg: f64::INFINITY, ..aam }), "gamma_neg"),
        (Loss::Aam(Aam { margin: f64::NAN, ..aam }), "margin"),
        (Loss::Aam(Aam { shift: 1.0, ..aam }), "shift"),
        (Loss::Asl(Asl { shift: -0.1, ..asl }), "shift"),
        (Loss::Focal(Focal { alpha: Some(2.0), ..Focal::default() }), "alpha"),
        (Loss::default().with_scale(0.0), "scale"),
        (Loss::Bce(Bce { scale: f64::NAN }), "scale"),
    ] {
        let error = loss.check().unwrap_err();
        assert!(matches!(error, Error::Parameter { parameter: p, .. } if p == parameter), "{error}");
        assert_eq!(loss.value(&[0.0], &[0.0], &[1.0]).map_err(|e| e.to_string()), Err(error.to_string()));
    }
}

#[test]
fn configuration_has_names_defaults_and_no_unknown_keys() {
    let read = |text: &str| serde_json::from_str::<Loss>(text).map_err(|e| e.to_string());
    for loss in
        [Loss::default(), Loss::Asl(Asl::default()), Loss::Focal(Focal::default()), Loss::Bce(Bce::default())]
    {
        assert_eq!(read(&format!(r#"{{"name": "{}"}}"#, loss.name())), Ok(loss));
        assert_eq!(read(&serde_json::to_string(&loss).unwrap()), Ok(loss));
        assert_eq!(loss.with_scale(3.0).scale(), 3.0);
    }
    assert_eq!(read(r#"{"name": "bce", "scale": 7}"#), Ok(Loss::Bce(Bce { scale: 7.0 })));
    assert!(read(r#"{"name": "aam", "gama_neg": 2}"#).unwrap_err().contains("gama_neg"));
    assert!(read(r#"{"name": "hinge"}"#).unwrap_err().contains("hinge"));
}
