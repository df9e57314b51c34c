//! Running other programs from the workspace root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace, wherever the chore was started.
pub fn root() -> PathBuf {
    let mut dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.pop();
    dir
}

/// A command in the workspace root.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs `command`, its output going to the terminal; an exit code other than 0 is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", words(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", words(command));
    }
    Ok(())
}

/// What `command` prints on standard output; its errors go to the terminal.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", words(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", words(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed bytes that are not text", words(command)))
}

/// cargo's target folder.
pub fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()))
}

/// The chore as one would type it elsewhere: of paths that only this machine has, the last part.
pub fn command_line(args: impl Iterator<Item = String>) -> String {
    let mut line = "cargo xtask".to_owned();
    for arg in args {
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) => (format!("{flag}="), value.to_owned()),
            None => (String::new(), arg),
        };
        let name = Path::new(&value).file_name().filter(|_| value.starts_with('/'));
        line += &format!(" {flag}{}", name.map_or(value.clone().into(), |n| n.to_string_lossy()));
    }
    line
}

/// Writes a text file under another name first, so that the file is always whole.
pub fn save(path: &Path, text: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!("{name}.tmp"));
    std::fs::write(&unfinished, text)
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The command as one would type it.
pub fn words(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_no_private_path() {
        let args = ["bench-cpu", "--python", "/a/b/python", "--out=/c/cpu.md", "--modes", "train"];
        let line = command_line(args.map(str::to_owned).into_iter());
        assert_eq!(line, "cargo xtask bench-cpu --python python --out=cpu.md --modes train");
    }
}
