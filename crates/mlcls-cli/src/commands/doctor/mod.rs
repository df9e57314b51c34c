//! `mlcls doctor`: what this machine offers, and what of it would slow a run down.

mod cuda;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Result;
use mlcls_engine::instruction_set;
use mlcls_models::{Hub, find, templates};
use mlcls_train::available_memory;
use serde::Serialize;

use crate::ui::table::Table;
use cuda::Cuda;

/// Say what this machine offers: instruction sets, cores, memory, GPU, weights.
///
/// Belongs into every report of a problem.
#[derive(clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Machine {
    mlcls: &'static str,
    system: String,
    /// What kernels are run with.
    instruction_set: &'static str,
    /// Cores that this process may use.
    cores: usize,
    /// Threads of the pool.
    threads: usize,
    /// Bytes that can still be taken; `null` where the system does not say.
    memory: Option<u64>,
    cuda: Cuda,
    weights: Weights,
    /// What would slow a run down, and what to do.
    advice: Vec<String>,
}

/// Published weights.
#[derive(Serialize)]
struct Weights {
    /// The hub's cache.
    cache: PathBuf,
    /// Whether the network is never used.
    offline: bool,
    /// timm's names of those on this machine.
    here: Vec<&'static str>,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let machine = Machine::look()?;
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&machine)?)?;
    } else {
        write!(out, "{}", machine.table())?;
        for advice in &machine.advice {
            writeln!(out, "\n- {advice}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Machine {
    fn look() -> Result<Self> {
        let mut machine = Self {
            mlcls: env!("CARGO_PKG_VERSION"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            instruction_set: instruction_set(),
            cores: available_parallelism().map_or(1, usize::from),
            threads: rayon::current_num_threads(),
            memory: available_memory(),
            cuda: Cuda::look(),
            weights: Weights::look()?,
            advice: vec![],
        };
        machine.advice = machine.advise();
        Ok(machine)
    }

    fn advise(&self) -> Vec<String> {
        let mut advice = vec![];
        if self.instruction_set == "scalar" {
            advice.push(
                "This processor has neither AVX2 nor AVX-512, and kernels have no other vectors: everything works, many times \
                 slower."
                    .to_owned(),
            );
        }
        if self.threads != self.cores {
            let plural = if self.threads == 1 { "" } else { "s" };
            advice.push(format!(
                "{} thread{plural} on {} cores: RAYON_NUM_THREADS says so; unset it to use each core once.",
                self.threads, self.cores
            ));
        }
        if let Some(memory) = self.memory.filter(|&bytes| bytes < 2 << 30) {
            advice.push(format!(
                "{} of memory is little: `mlcls train DATA --dry-run` says what a run takes; --batch-size and --image-size make it \
                 smaller.",
                gigabytes(memory)
            ));
        }
        advice.extend(self.cuda.advise());
        if self.weights.here.is_empty() {
            advice.push(
                "No published weights are here. `mlcls train` downloads those that it needs; without a network, `mlcls \
                 weights list --json` says where to put them."
                    .to_owned(),
            );
        }
        advice
    }

    fn table(&self) -> String {
        let mut table = Table::default();
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("mlcls", self.mlcls.to_owned());
        row("system", self.system.clone());
        row("kernels", self.instruction_set.to_owned());
        row("cores", format!("{}, threads {}", self.cores, self.threads));
        row("memory", self.memory.map_or("unknown".to_owned(), |bytes| format!("{} free", gigabytes(bytes))));
        row("CUDA", self.cuda.line());
        for (device, gpu) in self.cuda.gpus() {
            row(device, gpu);
        }
        let network = if self.weights.offline { ", offline" } else { "" };
        row(
            "weights",
            format!("{} here{network}; cache {}", self.weights.here.len(), self.weights.cache.display()),
        );
        table.to_string()
    }
}

impl Weights {
    fn look() -> Result<Self> {
        let hub = Hub::from_env();
        let mut here = vec![];
        for template in templates()? {
            let tags = find(template.name)?.weights.iter().map(|tag| tag.tag);
            here.extend(tags.filter(|tag| hub.find(tag).is_some()));
        }
        Ok(Self { cache: hub.cache, offline: hub.offline, here })
    }
}

/// Bytes in words.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slows_a_run_down_is_said() {
        let mut machine = Machine {
            mlcls: "0.1.0",
            system: "linux x86_64".to_owned(),
            instruction_set: "avx2",
            cores: 4,
            threads: 4,
            memory: Some(8 << 30),
            cuda: Cuda::default(),
            weights: Weights { cache: "hub".into(), offline: false, here: vec!["a"] },
            advice: vec![],
        };
        assert_eq!(machine.advise(), Vec::<String>::new());
        machine.instruction_set = "scalar";
        machine.threads = 1;
        machine.memory = Some(1 << 30);
        machine.weights.here.clear();
        let advice = machine.advise().join("\n");
        for part in ["AVX2", "1 thread on 4 cores", "1.1 GB of memory", "weights list"] {
            assert!(advice.contains(part), "{part}: {advice}");
        }
    }
}
