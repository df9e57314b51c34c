//! `mlcls find`: the models.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Result, bail};
use mlcls_models::{TASK, templates};

use crate::ui::table::Table;

/// List the models, with their costs: those that can be trained, and those that stay frozen, for `mlcls probe`.
#[derive(clap::Args)]
pub struct Args {
    /// Show the models of this task only; MULTI_LABEL_CLS is the only one there is.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    if let Some(task) = args.task.as_ref().filter(|t| !t.eq_ignore_ascii_case(TASK)) {
        bail!("there is no task {task}; mlcls has one, {TASK}");
    }
    let templates = templates()?;
    let mut out = stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &templates)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table =
        Table::new(["MODEL", "CATEGORY", "GFLOPS", "PARAMS (M)", "SIZE", "LR", "DEFAULT", "BACKBONE", "ID"]);
    for t in templates {
        table.row([
            t.name.to_owned(),
            t.category.to_string(),
            format!("{:.2}", t.gflops),
            format!("{:.2}", t.params_m),
            t.input_size.to_string(),
            t.learning_rate.map_or("frozen".to_owned(), |rate| rate.to_string()),
            if t.default { "yes" } else { "" }.to_owned(),
            t.backbone.to_owned(),
            t.id,
        ]);
    }
    write!(out, "{table}")?;
    Ok(ExitCode::SUCCESS)
}
