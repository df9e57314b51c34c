//! Runs of several processes, as threads of this one: they go where one goes, stop together and fail together.

use std::path::PathBuf;
use std::sync::Mutex;

use mlcls_engine::Weights;

use super::start::{continue_run, saved_state, start};
use super::tests::{Case, at, outcome_of};
use super::*;
use crate::state::SavedState;
use crate::testing;
use crate::world::together;

type Results = Vec<Result<RunSummary>>;

/// What each process gets, with a pool of its own: those that wait for others must not keep these from working.
fn in_pools<T: Send>(processes: usize, act: impl Fn(World) -> T + Sync) -> Vec<T> {
    together(processes, |world| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| act(world))
    })
}

/// What each of so many processes comes to; the first one's sink and the last one's flag are given.
fn all(
    processes: usize,
    case: &Case,
    (sink, stop): (&mut (dyn EventSink + Send), &StopFlag),
    act: impl Fn(Setup, World, &mut dyn EventSink, &StopFlag) -> Result<RunSummary> + Sync,
) -> Results {
    let sink = Mutex::new(sink);
    in_pools(processes, |world| {
        let setup = Setup::new(case.config.clone(), &case.dataset, testing::model(), world.placement())?;
        if world.is_first() {
            let mut sink = sink.lock().unwrap();
            return act(setup, world, &mut **sink, &StopFlag::default());
        }
        let (last, never) = (world.rank() + 1 == world.size(), StopFlag::default());
        let unheard = &mut at(|_, event| panic!("heard {event:?}"));
        act(setup, world, unheard, if last { stop } else { &never })
    })
}

pub(super) fn start_until(
    processes: usize,
    case: &Case,
    name: &str,
    heard: (&mut (dyn EventSink + Send), &StopFlag),
) -> Results {
    all(processes, case, heard, |setup, world, sink, stop| {
        let dir = world.is_first().then(|| RunDir::create(&case.path(name))).transpose()?;
        start(setup, world, dir, sink, stop)
    })
}

pub(super) fn start_all(processes: usize, case: &Case, name: &str) -> Results {
    start_until(processes, case, name, (&mut (), &StopFlag::default()))
}

pub(super) fn resume_all(processes: usize, case: &Case, name: &str) -> Results {
    all(processes, case, (&mut (), &StopFlag::default()), |setup, world, sink, stop| {
        let dir = RunDir::open(&case.path(name))?;
        let saved = saved_state(&dir)?;
        continue_run(setup, world, dir, saved, sink, stop)
    })
}

/// The last state's vector of a name.
fn vector(case: &Case, run: &str, name: &str) -> Vec<f32> {
    let Weights { params, buffers } = Weights::init(&testing::model().graph, 0);
    let mut values = if name.ends_with("buffers") { buffers } else { params };
    let state = RunDir::open(&case.path(run)).unwrap().state();
    SavedState::open(&state).unwrap().fill(name, &mut values).unwrap();
    values
}

#[test]
fn processes_go_where_one_goes_with_as_many_batches_in_a_step() {
    for processes in [2, 3] {
        let several = Case::of(24, &[]);
        let one = Case::of(24, &[&format!("optim.accumulate={processes}")]);
        let summaries = start_all(processes, &several, "run");
        one.start("run", &mut (), &StopFlag::default()).unwrap();
        for name in ["params", "optimizer.velocity", "ema.params"] {
            let [got, want] = [&several, &one].map(|case| vector(case, "run", name));
            assert!(got == want, "{name} of {processes} processes");
        }
        let buffers = [&several, &one].map(|case| vector(case, "run", "buffers"));
        assert!(buffers[0] != buffers[1], "each takes its own statistics");
        let near = |a: f32, b: f32| (a - b).abs() < 0.25 * (1.0 + b.abs());
        assert!(buffers[0].iter().zip(&buffers[1]).all(|(a, b)| near(*a, *b)), "{buffers:?}");
        for summary in summaries {
            let summary = summary.unwrap();
            assert_eq!((summary.outcome, summary.epochs), (Outcome::Completed, 3));
            assert_eq!(summary.dir, several.path("run"));
        }
    }
}

#[test]
fn stopped_together_they_continue_as_if_undisturbed() {
    // 22 images in batches of 12 for three: four each, then 10 as 3, 3, 4; 8 images to validate as 2, 3, 3.
    let case = Case::new(&["optim.accumulate=1", "train.save_every=3", "log.tensorboard=true"]);
    start_all(3, &case, "whole").into_iter().for_each(|summary| drop(summary.unwrap()));
    let stop = StopFlag::default();
    let asked = stop.clone();
    let mut sink = at(|_, event| {
        if matches!(event, Event::Step(info) if info.epoch == 2) {
            asked.request();
        }
    });
    for summary in start_until(3, &case, "cut", (&mut sink, &stop)) {
        assert_eq!(summary.unwrap().outcome, Outcome::Interrupted);
    }
    let other = resume_all(2, &case, "cut").remove(0).unwrap_err().to_string();
    assert!(other.contains("shared by 3 processes, and now there are 2; start 3"), "{other}");
    let best: Vec<_> = resume_all(3, &case, "cut").into_iter().map(|summary| summary.unwrap().best).collect();
    assert!(best.iter().all(|b| b.is_some() && *b == best[0]), "{best:?}");
    let [whole, cut] = ["whole", "cut"].map(|run| outcome_of(&case.path(run)));
    let differ: Vec<_> = whole.keys().filter(|file| whole[*file] != cut[*file]).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

#[test]
fn an_image_that_breaks_ends_all() {
    let case = Case::new(&["data.cache_mb=0"]);
    let broken: PathBuf = case.dataset.splits[0].items[7].image.clone();
    let mut sink = at(|_, event| {
        if matches!(event, Event::EpochEnd(_)) {
            std::fs::write(&broken, b"").unwrap();
        }
    });
    let errors = start_until(3, &case, "run", (&mut sink, &StopFlag::default()));
    let errors: Vec<_> = errors.into_iter().map(|result| result.unwrap_err()).collect();
    let at_fault: Vec<_> = (0..3).filter(|&rank| matches!(errors[rank], Error::Load(_))).collect();
    let [at_fault] = at_fault[..] else { panic!("{errors:?}") };
    for (rank, error) in errors.iter().enumerate().filter(|(rank, _)| *rank != at_fault) {
        assert!(matches!(error, Error::World(_)), "{rank}: {error}");
        let lost = format!("rank {at_fault} is lost");
        assert!(error.to_string().starts_with(&lost), "{error}");
    }
    let dir = RunDir::open(&case.path("run")).unwrap();
    assert!(saved_state(&dir).unwrap().unwrap().progress.epochs_done >= 1);
}

#[test]
fn more_processes_than_images_can_feed_are_refused() {
    let case = Case::of(7, &[]);
    let refused = start_all(4, &case, "run").remove(0).unwrap_err().to_string();
    assert!(refused.contains("7 training images are too few for 4 processes"), "{refused}");
    assert!(refused.ends_with("start 3 at most"), "{refused}");
}

/// With the statistics of all batches it does not matter how many processes share them.
#[test]
fn synchronised_batch_norm_makes_of_several_processes_one_with_a_larger_batch() {
    let plain = ["augment.ops=none", "train.sync_batch_norm=true"];
    let several = Case::of(24, &plain);
    let one = Case::of(24, &[&plain[..], &["train.batch_size=8"]].concat());
    // Dropout and drop-path are drawn for each process.
    let steady = |case: &Case| -> Results {
        let processes = if case.config.train.batch_size == 4 { 2 } else { 1 };
        in_pools(processes, |world| {
            let model = testing::steady_model();
            let setup = Setup::new(case.config.clone(), &case.dataset, model, world.placement())?;
            let dir = world.is_first().then(|| RunDir::create(&case.path("run"))).transpose()?;
            start(setup, world, dir, &mut (), &StopFlag::default())
        })
    };
    for case in [&several, &one] {
        steady(case).into_iter().for_each(|summary| assert_eq!(summary.unwrap().outcome, Outcome::Completed));
    }
    for name in ["params", "buffers", "ema.params", "ema.buffers"] {
        let [got, want] = [&several, &one].map(|case| vector(case, "run", name));
        let d = testing::distance(&got, &want);
        assert!(d < 1e-4, "{name}: {d:e}");
    }
}
