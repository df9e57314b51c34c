//! `mlcls data fetch`: a published data set, downloaded, checked and unpacked.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressStyle};
use mlcls_data::fetch::{FetchEvent, FetchOptions, SOURCES, Source, Stage, fetch};

/// Download a published data set from its makers, check it, and unpack it.
///
/// Run again it continues a download that broke off, and does nothing where all is there. Archives that you got another
/// way are used if they lie in the folder.
#[derive(clap::Args)]
pub struct Args {
    /// Which one.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(SOURCES.iter().map(|s| s.name)))]
    name: String,
    /// The folder for archives and images; a folder of the data set's name by default.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// An address that offers the archives under their own names, to use in place of the makers'.
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let source = SOURCES.iter().find(|s| s.name == args.name).context("no data set of this name")?;
    let folder = args.to.clone().unwrap_or_else(|| PathBuf::from(source.name));
    let options = FetchOptions { mirror: args.mirror.clone(), ..FetchOptions::default() };
    let mut display = Display::new();
    let done = fetch(source, &folder, &options, &mut |event| display.event(event));
    display.bar.finish_and_clear();
    report(source, &folder, done?)
}

fn report(source: &Source, folder: &Path, done: bool) -> Result<ExitCode> {
    let mut out = stdout().lock();
    let place = folder.display();
    writeln!(out, "{} is in {place}{}", source.title, if done { "" } else { " already" })?;
    writeln!(out, "  mlcls train {place}    trains on it")?;
    let archives = source.archives().map(|archive| folder.join(archive.file_name()));
    let archives: Vec<String> = archives.filter(|p| p.is_file()).map(|p| p.display().to_string()).collect();
    if !archives.is_empty() {
        writeln!(out, "No longer needed: {}", archives.join(" "))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A bar on a terminal; elsewhere a line for each stage of each archive.
struct Display {
    bar: ProgressBar,
    terminal: bool,
    /// The stage and file of the last event.
    last: Option<(Stage, String)>,
}

impl Display {
    fn new() -> Self {
        let terminal = stderr().is_terminal();
        let bar = if terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let template = "{prefix:8} {msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, terminal, last: None }
    }

    fn event(&mut self, event: FetchEvent<'_>) {
        match event {
            FetchEvent::SetAside { path, difference } => {
                self.line(&format!("warning: {difference}; renamed to {}", path.display()));
            }
            FetchEvent::Progress { stage, file, done, total } => {
                if self.last.as_ref().is_none_or(|(s, f)| (*s, f.as_str()) != (stage, file)) {
                    self.last = Some((stage, file.to_owned()));
                    self.begin(stage, file, done, total);
                }
                self.bar.set_position(done);
            }
        }
    }

    fn begin(&mut self, stage: Stage, file: &str, done: u64, total: u64) {
        let verb = match stage {
            Stage::Download => "download",
            Stage::Check => "check",
            Stage::Unpack => "unpack",
        };
        if !self.terminal {
            self.line(&format!("{verb} {file}, {total} bytes"));
        }
        self.bar.set_prefix(verb);
        self.bar.set_message(file.to_owned());
        self.bar.set_length(total);
        self.bar.reset();
        // What an earlier run brought says nothing about the speed of this one.
        self.bar.set_position(done);
        self.bar.reset_eta();
        self.bar.enable_steady_tick(Duration::from_millis(500));
    }

    /// A lasting line. It goes where the bar is, so that standard output keeps the result alone.
    fn line(&self, text: &str) {
        self.bar.suspend(|| {
            // If even this cannot be written there is nobody left to tell.
            let _ = writeln!(stderr(), "{text}");
        });
    }
}
