//! Runs on an emulated GPU: they go where the processor's go, and interrupted they end with the same bytes.

use mlcls_engine::{CudaDevice, Precision};
use mlcls_models::WeightFile;

use super::tests::{Case, at, outcome_of};
use super::together_tests::{resume_all, start_all, start_until};
use super::*;
use crate::state::SavedState;
use crate::testing;

/// Settings that between them use every kind of state.
const RECIPES: [&[&str]; 3] = [
    &["train.epochs=2", "train.freeze=backbone", "train.freeze_epochs=1"],
    &["train.epochs=2", "train.save_every=3"],
    &[
        "train.epochs=2",
        "optim.name=adamw",
        "optim.accumulate=2",
        "optim.clip_norm=0.5",
        "optim.sam_rho=0",
        "eval.before_training=true",
    ],
];

/// A case on the emulator; `None` where this machine cannot emulate.
fn emulated(changes: &[&str], precision: Precision) -> Option<Case> {
    let device = CudaDevice { ordinal: CudaDevice::EMULATED, precision };
    let settings =
        [format!("train.device=cuda:{}", device.ordinal), format!("train.precision={}", precision.name())];
    let changes: Vec<&str> = changes.iter().copied().chain(settings.iter().map(String::as_str)).collect();
    device.emulates().then(|| Case::new(&changes))
}

#[test]
fn a_run_goes_where_the_processor_s_goes() {
    for changes in RECIPES {
        let Some(case) = emulated(changes, Precision::Fp32) else { return };
        let plain = Case::new(changes);
        case.start("run", &mut (), &StopFlag::default()).unwrap();
        plain.start("run", &mut (), &StopFlag::default()).unwrap();
        for file in ["last", "ema"] {
            let [got, want] = [&case, &plain].map(|case| {
                let path = case.path("run").join(format!("checkpoints/{file}.safetensors"));
                let weights = WeightFile::open(&path).unwrap().weights(&testing::model().graph).unwrap();
                [weights.params, weights.buffers].concat()
            });
            let d = testing::distance(&got, &want);
            assert!(d < 1e-3, "{changes:?} {file}: {d:e}");
        }
    }
}

#[test]
fn an_interrupted_run_is_the_undisturbed_run() {
    for changes in RECIPES {
        let Some(case) = emulated(changes, Precision::Bf16) else { return };
        case.start("whole", &mut (), &StopFlag::default()).unwrap();
        let stop = StopFlag::default();
        let mut steps = 0;
        let mut sink = at(|_, event| {
            steps += usize::from(matches!(event, Event::Step(_)));
            if steps == 2 {
                stop.request();
            }
        });
        assert_eq!(case.start("cut", &mut sink, &stop).unwrap().outcome, Outcome::Interrupted);
        assert_eq!(case.resume("cut", &mut (), &StopFlag::default()).unwrap().outcome, Outcome::Completed);
        let [mut whole, mut cut] = ["whole", "cut"].map(|run| outcome_of(&case.path(run)));
        // Its scalars count the bytes of metrics.csv, and so the digits of seconds.
        whole.remove("state");
        cut.remove("state");
        let others: Vec<_> = whole.keys().filter(|file| whole[*file] != cut[*file]).collect();
        assert!(others.is_empty(), "{changes:?}: {others:?} differ");
        let names =
            if changes.contains(&"optim.name=adamw") { ["mean", "mean_square"] } else { ["velocity"; 2] };
        for name in names.map(|name| format!("optimizer.{name}")) {
            let [whole, cut] = ["whole", "cut"].map(|run| {
                let mut values = vec![0.0; testing::model().graph.param_len()];
                let path = RunDir::open(&case.path(run)).unwrap().state();
                SavedState::open(&path).unwrap().fill(&name, &mut values).unwrap();
                values
            });
            assert!(whole == cut && whole.iter().any(|v| *v != 0.0), "{name}");
        }
    }
}

#[test]
fn processes_with_a_gpu_each_go_where_those_with_processors_go() {
    for synced in ["train.sync_batch_norm=false", "train.sync_batch_norm=true"] {
        let changes = &["train.epochs=2", "train.save_every=3", synced];
        let Some(case) = emulated(changes, Precision::Fp32) else { return };
        let plain = Case::new(changes);
        start_all(2, &case, "run");
        start_all(2, &plain, "run");
        let [got, want] = [&case, &plain].map(|case| {
            let path = case.path("run/checkpoints/last.safetensors");
            let weights = WeightFile::open(&path).unwrap().weights(&testing::model().graph).unwrap();
            [weights.params, weights.buffers].concat()
        });
        let d = testing::distance(&got, &want);
        assert!(d < 1e-3, "{d:e}");

        let stop = StopFlag::default();
        let asked = stop.clone();
        let mut sink = at(|_, event| {
            if matches!(event, Event::Step(_)) {
                asked.request();
            }
        });
        for summary in start_until(2, &case, "cut", (&mut sink, &stop)) {
            assert_eq!(summary.unwrap().outcome, Outcome::Interrupted);
        }
        resume_all(2, &case, "cut");
        let [mut whole, mut cut] = ["run", "cut"].map(|run| outcome_of(&case.path(run)));
        whole.remove("state");
        cut.remove("state");
        assert!(whole == cut);
    }
}

#[test]
fn a_group_of_one_goes_where_one_alone_goes() {
    let Some(case) = emulated(&["train.epochs=2", "train.sync_batch_norm=true"], Precision::Fp32) else {
        return;
    };
    case.start("alone", &mut (), &StopFlag::default()).unwrap();
    start_all(1, &case, "group").remove(0).unwrap();
    let [mut alone, mut group] = ["alone", "group"].map(|run| outcome_of(&case.path(run)));
    alone.remove("state");
    group.remove("state");
    assert!(alone == group);
}
