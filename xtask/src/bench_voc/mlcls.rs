//! The binary `mlcls`, driven as a user drives it: arguments in, JSON and error messages out.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::shell::{self, command};
use crate::{machine, shell::read};

/// Where the computing is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    #[default]
    Cpu,
    /// The GPU of this number, from 0.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl FromStr for Device {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let number = s.strip_prefix("cuda:").and_then(|n| n.parse().ok());
                number.map(Self::Cuda).ok_or("expected cpu, cuda, or cuda:N with the number of a GPU from 0")
            }
        }
    }
}

/// The numbers to compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    Fp32,
    Tf32,
    Bf16,
    Fp16,
}

impl Precision {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }
}

/// The binary.
#[derive(Debug)]
pub struct Mlcls {
    program: PathBuf,
    /// The commit that it was built from.
    pub commit: String,
    /// Goes to its children as standard input, so that the lock on it lives as long as the last of them.
    lock: File,
}

/// How a training came back.
#[derive(Debug, PartialEq, Eq)]
pub enum Trained {
    Finished,
    /// It was asked to stop, and can be continued.
    Interrupted,
}

impl Mlcls {
    /// The binary that the user names, or the one built from this source for the device.
    pub fn new(given: Option<&Path>, device: Device, lock: File) -> Result<Self> {
        let (program, commit) = match given {
            Some(program) => {
                let program = std::path::absolute(program)?;
                let version = read(Command::new(&program).arg("--version"))?;
                (program, format!("{}, commit not known (--mlcls)", version.trim()))
            }
            None => {
                let features: &[&str] =
                    if device == Device::Cpu { &[] } else { &["--features", "serve,cuda"] };
                let build = ["build", "--locked", "--release", "--package", "mlcls-cli"];
                shell::run(&mut command("cargo", &[&build[..], features].concat()))?;
                (shell::target().join("release/mlcls"), machine::commit())
            }
        };
        if let Device::Cuda(number) = device {
            let doctor = read(Command::new(&program).args(["doctor", "--json"]))?;
            let doctor: Value = serde_json::from_str(&doctor).context("`mlcls doctor` printed no JSON")?;
            check_gpu(&doctor["cuda"], number).with_context(|| format!("--device {device}"))?;
        }
        Ok(Self { program, commit, lock })
    }

    fn command(&self, args: &[String]) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::from(self.lock.try_clone()?)).stderr(Stdio::piped());
        Ok(command)
    }

    /// What a command prints; the error is its message.
    pub fn text(&self, args: &[String]) -> Result<String> {
        let output = self.command(args)?.output().with_context(|| self.cannot_start())?;
        ensure!(output.status.success(), "{}", message(&output.stderr, output.status));
        String::from_utf8(output.stdout).context("mlcls printed bytes that are not text")
    }

    /// The JSON that a command prints.
    pub fn json(&self, args: &[String]) -> Result<Value> {
        let text = self.text(args)?;
        serde_json::from_str(&text).with_context(|| format!("mlcls {} printed no JSON", args.join(" ")))
    }

    /// Runs a training with `--json`: its events are added to `log` and shown to `on_event`.
    pub fn train(&self, args: &[String], log: &Path, mut on_event: impl FnMut(&Value)) -> Result<Trained> {
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut child =
            self.command(args)?.stdout(Stdio::piped()).spawn().with_context(|| self.cannot_start())?;
        // Errors are few and at the end, so that the pipe for them does not fill while events are read.
        let events = child.stdout.take().map(|out| BufReader::new(out).lines());
        for line in events.into_iter().flatten() {
            let kept = line.and_then(|line| writeln!(log, "{line}").map(|()| line));
            match kept {
                Ok(line) => serde_json::from_str(&line).iter().for_each(&mut on_event),
                Err(error) => {
                    child.kill()?; // what nobody listens to must not go on
                    child.wait()?;
                    return Err(error).context("cannot keep the events of mlcls");
                }
            }
        }
        let output = child.wait_with_output()?;
        match output.status.code() {
            Some(0) => Ok(Trained::Finished),
            Some(130) => Ok(Trained::Interrupted),
            _ => bail!("{}", message(&output.stderr, output.status)),
        }
    }

    fn cannot_start(&self) -> String {
        format!("cannot start {}", self.program.display())
    }
}

/// Whether mlcls can use a GPU, by what its doctor says of CUDA.
fn check_gpu(cuda: &Value, number: usize) -> Result<()> {
    ensure!(
        cuda["built"] == true,
        "this mlcls was built without CUDA; build it with --features cuda, or take --device cpu"
    );
    if let Some(error) = ["error", "compiler_error"].into_iter().find_map(|key| cuda[key].as_str()) {
        bail!("{error}");
    }
    let gpus = cuda["gpus"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(gpu) = gpus.get(number) else {
        bail!("there is no such GPU: the driver shows {}; take another, or --device cpu", gpus.len());
    };
    ensure!(
        gpu["supported"] == true,
        "{} is not supported: it has compute capability {}; take another, or --device cpu",
        gpu["name"].as_str().unwrap_or("the GPU"),
        gpu["compute_capability"].as_str().unwrap_or("unknown")
    );
    Ok(())
}

/// The error message of a command, without the word `error`; how it ended where it said nothing.
fn message(stderr: &[u8], status: std::process::ExitStatus) -> String {
    let text = String::from_utf8_lossy(stderr);
    // Warnings may stand before it, and it may quote others' errors.
    let text = format!("\n{}", text.trim());
    match text.rsplit_once("\nerror: ").map_or(text.trim(), |(_, said)| said) {
        "" => format!("mlcls ended with {status}"),
        said => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program in place of mlcls, as a shell script.
    fn stand_in(dir: &Path, script: &str) -> Mlcls {
        let program = dir.join("mlcls");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Mlcls { program, commit: String::new(), lock: File::create(dir.join("lock")).unwrap() }
    }

    #[test]
    fn the_message_is_what_the_program_said_last() {
        let dir = tempfile::tempdir().unwrap();
        let fail = |script: &str| stand_in(dir.path(), script).text(&[]).unwrap_err().to_string();
        assert_eq!(fail("echo 'error: no data' >&2; exit 1"), "no data");
        assert_eq!(
            fail("echo 'warning: x' >&2; echo 'error: a: request error: b\nc' >&2; exit 1"),
            "a: request error: b\nc"
        );
        assert!(fail("exit 3").contains("ended with exit status: 3"));
    }

    #[test]
    fn devices_have_one_name_each() {
        for (given, name) in [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda"), ("cuda:2", "cuda:2")] {
            assert_eq!(given.parse::<Device>().unwrap().to_string(), name);
        }
        for wrong in ["", "gpu", "cuda:", "cuda:x"] {
            assert!(wrong.parse::<Device>().unwrap_err().contains("cuda:N"));
        }
    }

    #[test]
    fn a_gpu_that_cannot_be_used_is_refused_with_the_reason() {
        let gpu = |supported| serde_json::json!({"name": "T4", "compute_capability": "7.5", "supported": supported});
        let message = |cuda: Value, number| check_gpu(&cuda, number).unwrap_err().to_string();
        assert!(message(serde_json::json!({"built": false}), 0).contains("--features cuda"));
        assert_eq!(
            message(serde_json::json!({"built": true, "error": "CUDA: no driver"}), 0),
            "CUDA: no driver"
        );
        let no_compiler = serde_json::json!({"built": true, "error": null, "gpus": [gpu(true)], "compiler_error": "CUDA: no compiler"});
        assert_eq!(message(no_compiler, 0), "CUDA: no compiler");
        let one = serde_json::json!({"built": true, "error": null, "gpus": [gpu(false), gpu(true)]});
        assert!(message(one.clone(), 2).contains("the driver shows 2"));
        assert!(message(one.clone(), 0).contains("T4 is not supported: it has compute capability 7.5"));
        assert!(check_gpu(&one, 1).is_ok());
    }

    #[test]
    fn events_are_kept_and_shown_and_exit_codes_understood() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("events.jsonl");
        let mut seen = vec![];
        let mut train = |script: &str| {
            stand_in(dir.path(), script)
                .train(&[], &log, |e| seen.push(e["event"].as_str().unwrap().to_owned()))
        };
        assert_eq!(train("echo '{\"event\":\"a\"}'; exit 130").unwrap(), Trained::Interrupted);
        assert_eq!(train("echo '{\"event\":\"b\"}'").unwrap(), Trained::Finished);
        assert_eq!(
            train("echo 'error: out of memory' >&2; exit 1").unwrap_err().to_string(),
            "out of memory"
        );
        assert_eq!(seen, ["a", "b"]);
        assert_eq!(fs::read_to_string(&log).unwrap(), "{\"event\":\"a\"}\n{\"event\":\"b\"}\n");
    }

    #[test]
    fn a_child_that_outlives_us_keeps_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let mlcls = stand_in(dir.path(), "sleep 60");
        mlcls.lock.lock().unwrap();
        let mut child = mlcls.command(&[]).unwrap().spawn().unwrap();
        drop(mlcls);
        let other = File::open(dir.path().join("lock")).unwrap();
        assert!(other.try_lock().is_err(), "the child holds no lock");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
