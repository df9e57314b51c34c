//! `cargo xtask bench-cpu`: images per second and peak memory of a training or inference step, beside PyTorch.

use std::path::PathBuf;

use anyhow::Result;

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// PyTorch's side of the comparison.
    #[arg(long)]
    torch: Option<PathBuf>,
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    let _ = &args.torch;
    Ok(())
}
