//! What is measured: the cases, the named sets of them, and the speed that the project asks of itself in each.

use std::fmt;

use clap::ValueEnum;

/// What one step is.
#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
pub enum Mode {
    /// Forward, loss, backward, SGD.
    Train,
    /// The same with the two passes of SAM.
    Sam,
    /// Forward through the network in inference form.
    Infer,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Sam => "sam",
            Self::Infer => "infer",
        })
    }
}

/// A named set of cases.
#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
pub enum Suite {
    /// MobileNetV3 in every mode.
    Quick,
    /// Three models, every mode, several batches; then one thread, then small and large images.
    Full,
}

/// One workload, the same for every contestant.
#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    /// timm's name.
    pub model: String,
    pub mode: Mode,
    /// Images per step.
    pub batch: usize,
    /// Side of the images in pixels.
    pub size: usize,
    pub threads: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, mode, batch, size, threads } = self;
        let s = if *threads == 1 { "" } else { "s" };
        write!(f, "{model} {mode}, batch {batch}, {size} px, {threads} thread{s}")
    }
}

const MOBILENET: &str = "mobilenetv3_large_100";
const B0: &str = "efficientnet_b0";
const V2_S: &str = "tf_efficientnetv2_s";

/// The models of the full suite with the batch they are trained with there.
const TRAINED: [(&str, usize); 3] = [(MOBILENET, 32), (B0, 32), (V2_S, 16)];

impl Suite {
    /// Its cases, on a machine with `cores`.
    pub fn cases(self, cores: usize) -> Vec<Case> {
        let case = |model: &str, mode, batch, size, threads| Case {
            model: model.to_owned(),
            mode,
            batch,
            size,
            threads,
        };
        if self == Self::Quick {
            let modes = [(Mode::Train, 32), (Mode::Sam, 32), (Mode::Infer, 16)];
            return modes.map(|(mode, batch)| case(MOBILENET, mode, batch, 224, cores)).into();
        }
        let mut cases = vec![];
        for mode in [Mode::Train, Mode::Sam] {
            cases.push(case(MOBILENET, mode, 32, 224, cores));
            cases.push(case(MOBILENET, mode, 64, 224, cores));
            cases.extend(TRAINED[1..].iter().map(|&(model, batch)| case(model, mode, batch, 224, cores)));
        }
        for batch in [16, 1] {
            cases.extend(TRAINED.map(|(model, _)| case(model, Mode::Infer, batch, 224, cores)));
        }
        if cores > 1 {
            cases.extend(TRAINED.map(|(model, batch)| case(model, Mode::Train, batch, 224, 1)));
            cases.extend(TRAINED.map(|(model, _)| case(model, Mode::Infer, 16, 224, 1)));
        }
        cases.extend([128, 448].map(|size| case(MOBILENET, Mode::Train, 32, size, cores)));
        cases
    }
}

/// Peak memory of training as a part of PyTorch's that the project asks of itself at most.
pub const MEMORY_GOAL: f64 = 0.5;

impl Case {
    /// Images per second over the fastest rival's that the project asks of itself at least; none for a model that it made
    /// no promise about.
    pub fn goal(&self) -> Option<f64> {
        let (training, inference) = match self.model.as_str() {
            MOBILENET => (1.5, 1.0),
            B0 => (1.4, 1.0),
            V2_S => (1.3, 0.9),
            _ => return None,
        };
        Some(if self.mode == Mode::Infer { inference } else { training })
    }

    /// Timed steps of one run: an odd number, so that the median is one of them, and a few seconds on two cores.
    pub fn default_reps(&self) -> usize {
        match (self.mode, self.batch) {
            (Mode::Infer, 0..8) => 61,
            (Mode::Infer, _) => 11,
            (Mode::Train | Mode::Sam, _) => 3,
        }
    }
}

/// Every combination of the given values, models outermost.
pub fn matrix(
    models: &[String],
    modes: &[Mode],
    batches: &[usize],
    sizes: &[usize],
    threads: &[usize],
) -> Vec<Case> {
    let mut cases = vec![];
    for model in models {
        for &mode in modes {
            for &batch in batches {
                for &size in sizes {
                    let with = |&threads| Case { model: model.clone(), mode, batch, size, threads };
                    cases.extend(threads.iter().map(with));
                }
            }
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_has_every_combination_once() {
        let models = ["a".to_owned(), "b".to_owned()];
        let cases = matrix(&models, &[Mode::Train, Mode::Infer], &[1, 16], &[224], &[1, 2]);
        assert_eq!(cases.len(), 16);
        assert_eq!(cases[1].to_string(), "a train, batch 1, 224 px, 2 threads");
        assert_eq!(cases[8].model, "b");
        assert!(cases.iter().enumerate().all(|(i, case)| !cases[..i].contains(case)));
    }

    #[test]
    fn suites_repeat_nothing_and_one_core_needs_no_one_thread_part() {
        for (suite, cores, expected) in [(Suite::Full, 2, 22), (Suite::Full, 1, 16), (Suite::Quick, 2, 3)] {
            let cases = suite.cases(cores);
            assert_eq!(cases.len(), expected, "{suite:?} on {cores}");
            assert!(cases.iter().enumerate().all(|(i, case)| !cases[..i].contains(case)));
            assert!(cases.iter().all(|case| case.goal().is_some() && case.default_reps() % 2 == 1));
        }
    }

    #[test]
    fn the_goal_depends_on_model_and_mode() {
        let goal = |model: &str, mode| {
            Case { model: model.to_owned(), mode, batch: 1, size: 224, threads: 1 }.goal()
        };
        assert_eq!(goal(MOBILENET, Mode::Train), Some(1.5));
        assert_eq!(goal(B0, Mode::Sam), Some(1.4));
        assert_eq!(goal(V2_S, Mode::Infer), Some(0.9));
        assert_eq!(goal("resnet50", Mode::Train), None);
    }
}
