//! Schedules, early stopping and the adaptive settings against PyTorch, MMCV and OTX (fixture made by
//! `xtask/reference/schedule.py`), and their laws.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_train::{
    AdaptiveInterval, Cosine, EarlyStopping, EarlyStoppingConfig, Improvement, OneCycle, Plateau,
    PlateauConfig, Policy, Schedule, Warmup, adaptive_repeats,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    one_cycle: Vec<OneCycleCase>,
    cosine: Vec<CosineCase>,
    warmup: Vec<WarmupCase>,
    plateau: Vec<PlateauCase>,
    early_stopping: Vec<EarlyStoppingCase>,
    /// Steps per epoch, epochs; interval, plateau patience, early-stopping patience.
    adaptive: Vec<[usize; 5]>,
    /// Images, batch size; repeats.
    repeats: Vec<[usize; 3]>,
}

#[derive(Deserialize)]
struct OneCycleCase {
    source: String,
    #[serde(flatten)]
    policy: OneCycle,
    rates: Vec<(u64, f64)>,
}

#[derive(Deserialize)]
struct CosineCase {
    #[serde(flatten)]
    policy: Cosine,
    rates: Vec<(u64, f64)>,
}

#[derive(Deserialize)]
struct WarmupCase {
    lr: f64,
    #[serde(flatten)]
    warmup: Warmup,
    torch: Vec<f64>,
    mmcv: Vec<f64>,
}

#[derive(Deserialize)]
struct PlateauCase {
    source: String,
    lr: f64,
    factor: f64,
    patience: usize,
    min_lr: f64,
    threshold: f64,
    scores: Vec<f64>,
    after: Vec<f64>,
}

#[derive(Deserialize)]
struct EarlyStoppingCase {
    start: usize,
    warmup_steps: u64,
    patience: usize,
    min_delta_ratio: f64,
    best: f64,
    /// Epoch, steps so far, score; checks without improvement, whether the run stops.
    rows: Vec<(usize, u64, f64, usize, bool)>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("fixtures/schedule.json")).unwrap()
}

/// Both sides compute in f64, in another order.
fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-11 * expected.abs(), "{what}: {found}, expected {expected}");
}

/// Saved as text and read back.
fn resumed<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

#[test]
fn one_cycle_equals_pytorch_and_mmcv() {
    let cases = reference().one_cycle;
    assert_eq!(cases.len(), 6);
    for case in cases {
        let schedule = Schedule::new(Policy::OneCycle(case.policy));
        for &(step, rate) in &case.rates {
            assert_close(schedule.lr(step), rate, &format!("{} {:?} step {step}", case.source, case.policy));
        }
    }
}

#[test]
fn one_cycle_with_its_peak_at_step_0_only_falls() {
    // PyTorch and MMCV divide by zero here: pct_start * total_steps is 1.
    let policy =
        OneCycle { max_lr: 0.1, total_steps: 5, pct_start: 0.2, div_factor: 100.0, final_div_factor: 10.0 };
    let rates: Vec<f64> = (0..5).map(|step| policy.lr(step)).collect();
    assert_eq!(rates[0], 0.1);
    assert!(rates.is_sorted_by(|a, b| a > b), "{rates:?}");
    assert_close(rates[4], 1e-4, "end");
}

#[test]
fn cosine_equals_pytorch() {
    for case in reference().cosine {
        let schedule = Schedule::new(Policy::Cosine(case.policy));
        for &(step, rate) in &case.rates {
            let found = schedule.lr(step);
            // PyTorch multiplies rates from step to step, which adds up rounding relative to the first rate.
            let what = format!("{:?} step {step}: {found}, expected {rate}", case.policy);
            assert!(
                (found - rate).abs() <= 1e-14 * case.policy.total_steps as f64 * case.policy.lr,
                "{what}"
            );
        }
    }
}

#[test]
fn warmup_equals_pytorch_and_mmcv() {
    for case in reference().warmup {
        let schedule = Schedule::new(Policy::Constant(case.lr)).with_warmup(case.warmup);
        for (step, (&torch, &mmcv)) in case.torch.iter().zip(&case.mmcv).enumerate() {
            let what = format!("{:?} step {step}", case.warmup);
            assert_close(schedule.lr(step as u64), torch, &what);
            assert_close(schedule.lr(step as u64), mmcv, &what);
        }
    }
}

#[test]
fn the_plain_ramp_is_a_warmup() {
    let warmup = Warmup { steps: 7, ratio: 1.0 / 8.0 };
    for step in 0..10 {
        assert_close(warmup.factor(step), ((step + 1) as f64 / 8.0).min(1.0), "ramp of 8 steps");
    }
}

impl PlateauCase {
    fn plateau(&self) -> Plateau {
        let &Self { lr, factor, min_lr, .. } = self;
        let (patience, improvement) = match self.source.as_str() {
            "torch" => (self.patience + 1, Improvement::OverBest(self.threshold)),
            _ => (self.patience, Improvement::AtLeast),
        };
        Plateau::new(PlateauConfig { lr, factor, patience, min_lr, improvement })
    }
}

#[test]
fn plateau_equals_pytorch_and_otx() {
    let cases = reference().plateau;
    assert_eq!(cases.len(), 6);
    for case in cases {
        let mut schedule = Schedule::new(Policy::Plateau(case.plateau()));
        let mut before = case.lr;
        for (check, (&score, &after)) in case.scores.iter().zip(&case.after).enumerate() {
            let what = format!("{} patience {} check {check}", case.source, case.patience);
            let lowered = schedule.observe(10 * (check as u64 + 1), score);
            assert_eq!(lowered, (after < before).then_some(after), "{what}");
            assert_eq!(schedule.lr(0), after, "{what}");
            schedule = resumed(&schedule);
            before = after;
        }
    }
}

#[test]
fn plateau_waits_for_the_end_of_warmup() {
    let improvement = Improvement::AtLeast;
    let config = PlateauConfig { lr: 0.1, factor: 0.5, patience: 1, min_lr: 1e-6, improvement };
    let mut schedule = Schedule::new(Policy::Plateau(Plateau::new(config)));
    assert_eq!(schedule.observe(0, 90.0), None, "validated before training");
    assert_eq!(schedule.observe(1, 50.0), None, "the first that counts");
    assert_eq!(schedule.observe(2, 40.0), Some(0.05));

    let mut no_warmup = schedule.with_warmup(Warmup { steps: 0, ratio: 0.333 });
    assert_eq!(no_warmup.observe(0, 30.0), None, "before training, with a warm-up of no steps");

    let mut schedule = schedule.with_warmup(Warmup { steps: 10, ratio: 0.333 });
    assert_eq!(schedule.observe(9, 30.0), None);
    assert_eq!(schedule.observe(10, 30.0), Some(0.025));
}

#[test]
fn a_plateau_that_starts_below_its_lowest_rate_stays() {
    let improvement = Improvement::AtLeast;
    let config = PlateauConfig { lr: 1e-7, factor: 0.5, patience: 1, min_lr: 1e-6, improvement };
    let mut plateau = Plateau::new(config);
    assert_eq!([1.0, 0.0, 0.0].map(|score| plateau.observe(score)), [None; 3]);
    assert_eq!(plateau.lr(), 1e-7);
}

#[test]
fn early_stopping_equals_otx() {
    let cases = reference().early_stopping;
    assert!(cases.iter().any(|case| case.rows.iter().any(|row| row.4)), "no case stops");
    for case in cases {
        let &EarlyStoppingCase { start, warmup_steps, patience, min_delta_ratio, .. } = &case;
        let improvement = Improvement::ShrunkScore(min_delta_ratio);
        let config = EarlyStoppingConfig { start, warmup_steps, patience, improvement };
        let mut stopping = EarlyStopping::new(config);
        for &(epoch, steps, score, wait, stop) in &case.rows {
            let found = stopping.observe(epoch, steps, score);
            assert_eq!((stopping.bad_checks(), found), (wait, stop), "{config:?}, epoch {epoch}");
            stopping = resumed(&stopping);
        }
        assert_eq!(stopping.best(), Some(case.best));
    }
}

#[test]
fn early_stopping_ignores_what_comes_before_its_start() {
    let improvement = Improvement::ShrunkScore(0.0);
    let config = EarlyStoppingConfig { start: 3, warmup_steps: 40, patience: 1, improvement };
    let mut stopping = EarlyStopping::new(config);
    // Before training, twice before the start, in the warm-up.
    for (epoch, steps) in [(0, 0), (1, 10), (2, 50), (3, 39)] {
        assert!(!stopping.observe(epoch, steps, 90.0));
        assert_eq!(stopping.best(), None, "epoch {epoch}, {steps} steps");
    }
    assert!(!stopping.observe(3, 40, 50.0));
    assert_eq!(stopping.best(), Some(50.0));
    assert!(stopping.observe(4, 50, 50.0), "a tie is no improvement");

    let mut stopping = EarlyStopping::new(EarlyStoppingConfig { start: 0, warmup_steps: 0, ..config });
    stopping.observe(0, 0, 90.0);
    assert_eq!(stopping.best(), None, "a validation before training never counts");
}

#[test]
fn a_score_that_is_no_number_is_no_improvement() {
    let improvement = Improvement::AtLeast;
    let config = EarlyStoppingConfig { start: 1, warmup_steps: 0, patience: 3, improvement };
    let mut stopping = EarlyStopping::new(config);
    let scores = [f64::NAN, 50.0, f64::NAN, f64::NAN, f64::NAN];
    let stop: Vec<bool> =
        scores.iter().zip(1..).map(|(&score, epoch)| stopping.observe(epoch, 0, score)).collect();
    assert_eq!(stop, [false, false, false, false, true]);
    assert_eq!(stopping.best(), Some(50.0));
}

#[test]
fn adaptive_settings_equal_otx() {
    for [steps_per_epoch, epochs, interval, plateau_patience, early_stopping_patience] in reference().adaptive
    {
        let expected = AdaptiveInterval { interval, plateau_patience, early_stopping_patience };
        assert_eq!(
            AdaptiveInterval::new(steps_per_epoch, epochs),
            expected,
            "{steps_per_epoch} steps, {epochs} epochs"
        );
    }
    for [images, batch_size, repeats] in reference().repeats {
        assert_eq!(
            adaptive_repeats(images, batch_size),
            repeats,
            "{images} images in batches of {batch_size}"
        );
    }
    assert_eq!(adaptive_repeats(0, 0), 5, "no images, no panic");
}

proptest! {
    #[test]
    fn one_cycle_rises_then_falls_between_its_ends(
        max_lr in 1e-5f64..1.0,
        total_steps in 1u64..500,
        pct_start in 0.0f64..=1.0,
        div_factor in 1.0f64..1e3,
        final_div_factor in 1.0f64..1e4,
    ) {
        let policy = OneCycle { max_lr, total_steps, pct_start, div_factor, final_div_factor };
        let rates: Vec<f64> = (0..total_steps + 3).map(|step| policy.lr(step)).collect();
        let lowest = max_lr / div_factor / final_div_factor;
        let within = |r: &f64| *r >= lowest * (1.0 - 1e-9) && *r <= max_lr * (1.0 + 1e-9);
        prop_assert!(rates.iter().all(within), "{:?}", rates);
        let top = rates.iter().copied().fold(0.0, f64::max);
        let peak = rates.iter().position(|&r| r == top).unwrap();
        let slack = 1e-12 * max_lr;
        prop_assert!(rates[..=peak].is_sorted_by(|a, b| *a <= b + slack));
        prop_assert!(rates[peak..].is_sorted_by(|a, b| a + slack >= *b));
    }

    #[test]
    fn what_is_saved_reads_back_exactly(lr in 1e-9f64..1.0, factor in 0.01f64..0.99, scores: Vec<f64>) {
        let improvement = Improvement::OverBest(factor / 100.0);
        let config = PlateauConfig { lr, factor, patience: 1, min_lr: 0.0, improvement };
        let mut schedule = Schedule::new(Policy::Plateau(Plateau::new(config)));
        for (step, score) in (1..).zip(scores) {
            schedule.observe(step, score);
            prop_assert_eq!(resumed(&schedule), schedule);
        }
    }

    #[test]
    fn a_steady_climb_never_stops(patience in 1usize..5, gain in 0.02f64..0.5) {
        let improvement = Improvement::ShrunkScore(0.01);
        let config = EarlyStoppingConfig { start: 1, warmup_steps: 0, patience, improvement };
        let mut stopping = EarlyStopping::new(config);
        for epoch in 1..20 {
            prop_assert!(!stopping.observe(epoch, 0, (1.0 + gain).powi(epoch as i32)));
        }
    }
}
