//! `cargo xtask sanitize`: the engine's tests under AddressSanitizer, which sees every access outside a kernel's memory that
//! happens to do no harm.

use anyhow::{Context, Result};

use crate::shell::{self, command, read};

/// Which tests to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only tests whose names contain one of these, for example kernels; all when none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    let version = read(&mut command("rustc", &["--version", "--verbose"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    // With a target named, build scripts and macros, which run in the compiler, are built without the sanitizer.
    let test = ["+nightly", "test", "--locked", "--package", "mlcls-engine", "--lib", "--target", host, "--"];
    shell::run(command("cargo", &test).args(&args.names).env("RUSTFLAGS", "-Zsanitizer=address"))
}
