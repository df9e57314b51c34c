//! `cargo xtask fuzz`: the parsers of `mlcls-data` on inputs that libFuzzer makes up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{self, command, root};

/// Which targets to run, and for how long.
#[derive(clap::Args)]
pub struct Args {
    /// Targets to run, one after another; all when none is named.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Seconds for each target; 0 only goes over what was found before.
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Add to the kept corpus, of what was found, few and small inputs that reach code that nothing kept reaches.
    #[arg(long)]
    keep: bool,
}

/// The crate with the targets.
const FUZZ: &str = "crates/mlcls-data/fuzz";

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    let known = targets()?;
    if let Some(wrong) = args.targets.iter().find(|t| !known.contains(t)) {
        bail!("no target is called {wrong}; the targets are {}", known.join(", "));
    }
    for target in known.iter().filter(|t| args.targets.is_empty() || args.targets.contains(t)) {
        let found = root().join("target/fuzz-found").join(target);
        let kept = ["seeds", "corpus"].map(|kind| root().join(FUZZ).join(kind).join(target));
        for folder in kept.iter().chain([&found]) {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let [seeds, corpus] = &kept;
        let seconds = format!("-max_total_time={}", args.seconds);
        // A second for an input and 2 GB of memory are bounds that a parser of a few kilobytes must keep.
        let limits = ["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", &seconds];
        let dictionary = root().join(FUZZ).join("dictionaries").join(format!("{target}.dict"));
        let dictionary = dictionary.is_file().then(|| format!("-dict={}", dictionary.display()));
        let options: Vec<&str> = limits.into_iter().chain(dictionary.as_deref()).collect();
        if args.seconds > 0 {
            fuzz(target, &[&found, seeds, corpus], &options)?;
        }
        if args.keep {
            // Without counters, as how often code is reached would keep ten times as many; and small ones.
            let merge = ["-set_cover_merge=1", "-use_counters=0", "-max_len=700", "-rss_limit_mb=2048"];
            fuzz(target, &[corpus, seeds, &found], &merge)?;
        }
    }
    Ok(())
}

/// The names of the files in `fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = root().join(FUZZ).join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    Ok(names)
}

/// Runs a target on folders of inputs; what it finds goes to the first.
fn fuzz(target: &str, folders: &[&PathBuf], options: &[&str]) -> Result<()> {
    let start = ["+nightly", "fuzz", "run", "--fuzz-dir", FUZZ, "--target-dir", "target/fuzz", target];
    let mut command = command("cargo", &start);
    command.args(folders).arg("--").args(options);
    command.env("RAYON_NUM_THREADS", "1");
    // The targets write small files for every input.
    if Path::new("/dev/shm").is_dir() {
        command.env("TMPDIR", "/dev/shm");
    }
    shell::run(&mut command).context("`cargo install cargo-fuzz` and rustup's nightly toolchain are needed")
}
