//! `cargo xtask profile MODEL`: where the time of a training step or of inference goes, stage by stage, beside the floor that
//! this machine allows.

use anyhow::Result;

use crate::shell;

/// What to profile.
#[derive(clap::Args)]
pub struct Args {
    /// Model, by timm's name.
    #[arg(value_name = "MODEL")]
    model: String,
    /// train or infer.
    #[arg(long, default_value = "train")]
    mode: String,
    /// Images per step.
    #[arg(long, default_value = "32")]
    batch: usize,
    /// Side of the images in pixels.
    #[arg(long, default_value = "224")]
    size: usize,
    /// Threads.
    #[arg(long, default_value = "2")]
    threads: usize,
    /// Timed steps.
    #[arg(long, default_value = "5")]
    reps: usize,
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    let run = ["run", "--release", "--quiet", "--package", "mlcls-train", "--example", "profile", "--"];
    let mut command = shell::command("cargo", &run);
    command.args([&args.model, &args.mode]);
    command.args([args.batch, args.size, args.reps].map(|n| n.to_string()));
    shell::run(command.env("RAYON_NUM_THREADS", args.threads.to_string()))
}
