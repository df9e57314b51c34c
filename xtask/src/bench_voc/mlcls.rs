//! The binary `mlcls`, driven as a user drives it: arguments in, JSON and error messages out.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::shell::{self, command};
use crate::{machine, shell::read};

/// Where the computing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    Cpu,
    Cuda,
}

impl Device {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
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
        let no_cuda = "--device cuda: this mlcls has no CUDA engine; --device cpu computes on the processor";
        let (program, commit) = match given {
            Some(program) => {
                let program = std::path::absolute(program)?;
                let version = read(Command::new(&program).arg("--version"))?;
                (program, format!("{}, commit not known (--mlcls)", version.trim()))
            }
            None => {
                ensure!(
                    device == Device::Cpu || has_cuda_feature()?,
                    "{no_cuda} (mlcls-cli has no feature `cuda`)"
                );
                let features: &[&str] = if device == Device::Cuda { &["--features", "cuda"] } else { &[] };
                let build = ["build", "--locked", "--release", "--package", "mlcls-cli"];
                shell::run(&mut command("cargo", &[&build[..], features].concat()))?;
                (shell::target().join("release/mlcls"), machine::commit())
            }
        };
        if device == Device::Cuda {
            let help = read(Command::new(&program).args(["train", "--help"]))?;
            ensure!(help.contains("--device"), "{no_cuda} (`mlcls train` has no --device)");
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

/// Whether the package of the binary can be built for CUDA.
fn has_cuda_feature() -> Result<bool> {
    let metadata = read(&mut command("cargo", &["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|p| p["name"] == "mlcls-cli").context("there is no package mlcls-cli")?;
    Ok(package["features"].get("cuda").is_some())
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
