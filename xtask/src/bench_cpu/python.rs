//! The rivals' side: a Python with PyTorch and the inference engines, found or installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::shell;

/// The rivals' script and the versions it is meant for, relative to the root.
const SCRIPT: &str = "xtask/bench/rivals.py";
const REQUIREMENTS: &str = "xtask/bench/requirements.txt";

/// An interpreter and what is installed in it.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
    versions: Map<String, Value>,
}

impl Python {
    /// The interpreter that the user names; it may lack some packages, and their contestants then stay out.
    pub fn existing(program: &Path) -> Result<Self> {
        let mut command = rival(program, "versions");
        let text = shell::read(&mut command)?;
        let versions = serde_json::from_str(&text)
            .with_context(|| format!("{} printed no JSON", shell::words(&command)))?;
        Ok(Self { program: program.to_owned(), versions })
    }

    /// A virtual environment in `folder` with the pinned versions, made now if it is not there.
    pub fn installed(folder: &Path) -> Result<Self> {
        let program = folder.join("bin/python");
        let wanted = std::fs::read_to_string(shell::root().join(REQUIREMENTS))?;
        // Written last, so that it is there only if everything else is.
        let stamp = folder.join("installed.txt");
        if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&*wanted) {
            println!(
                "installing PyTorch, onnxruntime and OpenVINO into {} (once; some 3 GB, minutes)",
                folder.display()
            );
            quiet(shell::command("python3", &["-m", "venv", "--clear"]).arg(folder))
                .context("python3 made no virtual environment")?;
            let pip = ["-m", "pip", "install", "--quiet", "--retries", "2", "--timeout", "30"];
            quiet(
                Command::new(&program)
                    .args(pip)
                    .args(["--requirement", REQUIREMENTS])
                    .current_dir(shell::root()),
            )
            .with_context(|| format!("pip could not install {REQUIREMENTS}"))?;
            std::fs::write(&stamp, wanted)?;
        }
        Self::existing(&program)
    }

    /// The version of a package, if it is installed.
    pub fn version(&self, package: &str) -> Option<&str> {
        self.versions.get(package)?.as_str()
    }

    /// Everything installed, as `name version, ...`.
    pub fn inventory(&self) -> String {
        let known = self.versions.iter().filter_map(|(name, v)| Some(format!("{name} {}", v.as_str()?)));
        known.collect::<Vec<_>>().join(", ")
    }

    /// The rivals' script with its first argument.
    pub fn rival(&self, verb: &str) -> Command {
        rival(&self.program, verb)
    }
}

fn rival(python: &Path, verb: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(shell::root().join(SCRIPT)).arg(verb);
    command
}

/// Runs a command without showing what it prints; the error is the last line of that.
fn quiet(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {}", shell::words(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&printed);
    match text.lines().rev().find(|l| !l.trim().is_empty()) {
        Some(said) => bail!("{said}"),
        None => bail!("{} ended with {}", shell::words(command), output.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_has_no_version() {
        let json = r#"{"python": "3.11.7", "torch": "2.15.0", "openvino": null}"#;
        let versions = serde_json::from_str(json).unwrap();
        let python = Python { program: PathBuf::from("python3"), versions };
        assert_eq!(python.version("torch"), Some("2.15.0"));
        assert_eq!((python.version("openvino"), python.version("timm")), (None, None));
        assert_eq!(python.inventory(), "python 3.11.7, torch 2.15.0");
    }

    #[test]
    fn a_quiet_command_fails_with_its_last_line() {
        let sh = |script: &str| quiet(Command::new("sh").args(["-c", script]));
        assert!(sh("echo hello").is_ok());
        assert!(sh("echo one; echo two >&2; exit 1").unwrap_err().to_string() == "two");
        assert!(
            quiet(&mut Command::new("no-such-program")).unwrap_err().to_string().contains("cannot start")
        );
    }
}
