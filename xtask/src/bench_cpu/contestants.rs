//! Who takes part: this project and its rivals, each a command that runs as a process of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};

use super::cases::{Case, Mode};
use super::measure::{Sample, finish, measure};
use super::python::Python;

/// A program.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Program {
    Mlcls,
    Torch,
    TorchCompile,
    OnnxRuntime,
    OpenVino,
}

/// What its malloc does with freed memory.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Memory {
    /// As installed: glibc gives large blocks back to the kernel, and getting them again costs page faults.
    Stock,
    /// glibc told to keep it in the process.
    Kept,
    /// jemalloc in glibc's place.
    Jemalloc,
}

/// A program and its malloc. On the command line `torch`, `torch+kept`, `torch-compile+jemalloc`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Contestant {
    pub program: Program,
    pub memory: Memory,
}

/// This project, which takes its memory once and needs no help from malloc.
pub const OURS: Contestant = Contestant { program: Program::Mlcls, memory: Memory::Stock };

/// The rivals when none are named.
pub const RIVALS: &str = "torch,torch+kept,torch+jemalloc,torch-compile+kept,onnxruntime,openvino";

const PROGRAMS: [(&str, Program); 4] = [
    ("torch", Program::Torch),
    ("torch-compile", Program::TorchCompile),
    ("onnxruntime", Program::OnnxRuntime),
    ("openvino", Program::OpenVino),
];

const KEPT: &str = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:\
                    glibc.malloc.top_pad=268435456";

/// Freed memory is kept for good, and large blocks are treated like others. PyTorch's tuning guide says
/// `oversize_threshold:1` instead, with which jemalloc 5.3 returns large blocks at once: half the speed in training.
const JEMALLOC: &str = "oversize_threshold:0,metadata_thp:auto,dirty_decay_ms:-1,muzzy_decay_ms:-1";

impl FromStr for Contestant {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (name, memory) = match s.split_once('+') {
            None => (s, Memory::Stock),
            Some((name, "kept")) => (name, Memory::Kept),
            Some((name, "jemalloc")) => (name, Memory::Jemalloc),
            Some((_, other)) => {
                return Err(format!("no malloc is called {other}; there are kept and jemalloc"));
            }
        };
        match PROGRAMS.iter().find(|(known, _)| *known == name) {
            Some(&(_, program)) => Ok(Self { program, memory }),
            None => {
                Err(format!("no rival is called {name}; there are {}", PROGRAMS.map(|(n, _)| n).join(", ")))
            }
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.program {
            Program::Mlcls => "mlcls",
            Program::Torch => "PyTorch",
            Program::TorchCompile => "PyTorch, compiled",
            Program::OnnxRuntime => "onnxruntime",
            Program::OpenVino => "OpenVINO",
        })?;
        f.write_str(match self.memory {
            Memory::Stock => "",
            Memory::Kept => ", memory kept",
            Memory::Jemalloc => ", jemalloc",
        })
    }
}

/// What contestants need to run.
pub struct Stage {
    /// The example `step_speed`, built.
    pub ours: PathBuf,
    /// Folder for exported networks, compiled code and logs.
    pub cache: PathBuf,
    pub python: Option<Python>,
    pub jemalloc: Option<PathBuf>,
    /// A process that runs longer is stopped.
    pub limit: Duration,
}

impl Contestant {
    /// Whether it is PyTorch, compiled or not.
    pub fn is_torch(self) -> bool {
        matches!(self.program, Program::Torch | Program::TorchCompile)
    }

    /// Whether it can do what the case asks at all.
    pub fn takes(self, mode: Mode) -> bool {
        mode == Mode::Infer || !matches!(self.program, Program::OnnxRuntime | Program::OpenVino)
    }

    /// What must be there before it can be timed: the exported network, or compiled code. Both are kept for later runs.
    pub fn prepare(self, case: &Case, stage: &Stage) -> Result<()> {
        let (Some(python), false) = (&stage.python, self.program == Program::Mlcls) else {
            return Ok(());
        };
        let packages: &[&str] = match self.program {
            Program::OnnxRuntime => &["onnxruntime"],
            Program::OpenVino => &["openvino"],
            _ => &["torch", "timm"],
        };
        if let Some(missing) = packages.iter().find(|name| python.version(name).is_none()) {
            bail!("{missing} is not installed");
        }
        match self.program {
            Program::TorchCompile => {
                let done = compiled(case, stage, python);
                if !done.is_file() {
                    let mut command = self.command(case, 1, stage, python);
                    finish(&mut command, &stage.cache, stage.limit)?;
                    std::fs::write(&done, "")?;
                }
            }
            Program::OnnxRuntime | Program::OpenVino => {
                let onnx = exported(case, stage, python);
                if !onnx.is_file() {
                    let mut command = python.rival("export");
                    command.args(["--model", &case.model, "--batch", &case.batch.to_string()]);
                    command.args(["--size", &case.size.to_string(), "--onnx"]).arg(&onnx);
                    finish(&mut command, &stage.cache, stage.limit)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// One timed run of `reps` steps.
    pub fn measure(self, case: &Case, reps: usize, stage: &Stage) -> Result<Sample> {
        let mut command = match &stage.python {
            Some(python) if self != OURS => self.command(case, reps, stage, python),
            _ => own_command(case, reps, &stage.ours),
        };
        measure(&mut command, &stage.cache, stage.limit)
    }

    fn command(self, case: &Case, reps: usize, stage: &Stage, python: &Python) -> Command {
        let mut command = python.rival("run");
        command.arg(match self.program {
            Program::TorchCompile => "torch-compile",
            Program::OnnxRuntime => "onnxruntime",
            Program::OpenVino => "openvino",
            Program::Torch | Program::Mlcls => "torch",
        });
        command.args(["--model", &case.model, "--mode", &case.mode.to_string()]);
        let numbers =
            [("--batch", case.batch), ("--size", case.size), ("--threads", case.threads), ("--reps", reps)];
        for (flag, n) in numbers {
            command.args([flag, &n.to_string()]);
        }
        if matches!(self.program, Program::OnnxRuntime | Program::OpenVino) {
            command.arg("--onnx").arg(exported(case, stage, python));
        }
        command.env("TORCHINDUCTOR_CACHE_DIR", stage.cache.join(COMPILED));
        match (self.memory, &stage.jemalloc) {
            (Memory::Kept, _) => {
                command.env("GLIBC_TUNABLES", KEPT);
            }
            (Memory::Jemalloc, Some(library)) => {
                command.env("LD_PRELOAD", library).env("MALLOC_CONF", JEMALLOC);
            }
            (Memory::Jemalloc, None) | (Memory::Stock, _) => {}
        }
        command
    }
}

fn own_command(case: &Case, reps: usize, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args([&case.model, &case.mode.to_string()]);
    command.args([case.batch, case.size, reps].map(|n| n.to_string()));
    command.env("RAYON_NUM_THREADS", case.threads.to_string());
    command
}

/// The folder of compiled code in the cache.
const COMPILED: &str = "inductor";

/// Where the case's network lies for the inference engines.
fn exported(case: &Case, stage: &Stage, python: &Python) -> PathBuf {
    stage.cache.join(format!("{}.onnx", name_for(case, python)))
}

/// A file beside the compiled code of a case that says that it is all there. The two passes of SAM are training's code.
fn compiled(case: &Case, stage: &Stage, python: &Python) -> PathBuf {
    let mode = if case.mode == Mode::Infer { "infer" } else { "train" };
    let name = format!("{}-{mode}-{}threads.done", name_for(case, python), case.threads);
    stage.cache.join(COMPILED).join(name)
}

fn name_for(case: &Case, python: &Python) -> String {
    let torch = python.version("torch").unwrap_or("none");
    format!("{}-{}x{}-torch{torch}", case.model, case.batch, case.size)
}

/// jemalloc where Linux distributions put it.
pub fn find_jemalloc() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    ];
    folders.iter().map(|folder| Path::new(folder).join("libjemalloc.so.2")).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_named_with_their_malloc() {
        let all: Vec<Contestant> = RIVALS.split(',').map(|s| s.parse().unwrap()).collect();
        assert_eq!(all[0], Contestant { program: Program::Torch, memory: Memory::Stock });
        assert_eq!(all[3].to_string(), "PyTorch, compiled, memory kept");
        assert_eq!("torch-compile+jemalloc".parse::<Contestant>().unwrap().memory, Memory::Jemalloc);
        let error = |s: &str| s.parse::<Contestant>().unwrap_err();
        assert!(error("tensorflow").contains("there are torch, torch-compile, onnxruntime, openvino"));
        assert!(error("torch+tcmalloc").contains("kept and jemalloc"));
    }

    #[test]
    fn inference_engines_do_not_train() {
        let [openvino, torch]: [Contestant; 2] = ["openvino", "torch"].map(|s| s.parse().unwrap());
        assert!(openvino.takes(Mode::Infer) && !openvino.takes(Mode::Train) && !openvino.takes(Mode::Sam));
        assert!(torch.takes(Mode::Sam) && OURS.takes(Mode::Train));
    }

    #[test]
    fn our_command_is_the_example_with_its_threads() {
        let case = Case { model: "m".to_owned(), mode: Mode::Sam, batch: 4, size: 64, threads: 3 };
        let command = own_command(&case, 5, Path::new("step_speed"));
        assert_eq!(crate::shell::words(&command), "step_speed m sam 4 64 5");
        assert!(command.get_envs().any(|(k, v)| k == "RAYON_NUM_THREADS" && v == Some("3".as_ref())));
    }
}
