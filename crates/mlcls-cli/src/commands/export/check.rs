//! `--check`: what was written, run by another engine on images.

use std::path::Path;

use anyhow::Result;
use mlcls_export::onnx::{Card, Options};
use mlcls_train::Checkpoint;

use super::Args;

/// A file that was written.
#[cfg_attr(not(feature = "check"), allow(dead_code))]
pub struct Written<'a> {
    pub path: &'a Path,
    pub checkpoint: &'a Checkpoint,
    pub card: &'a Card,
    pub options: &'a Options,
}

/// What the check says; JSON `null` where none was asked for.
#[derive(Default)]
pub struct Checked {
    pub text: String,
    pub json: serde_json::Value,
}

#[cfg(not(feature = "check"))]
pub fn check(_: &Args, _: &Written<'_>) -> Result<Checked> {
    anyhow::bail!(
        "this mlcls was built without the engine that --check runs files in; build it with \
         `cargo install --path crates/mlcls-cli --features check`"
    )
}

/// Runs the file on the images of `--check` and compares its outputs with the engine's own.
#[cfg(feature = "check")]
pub fn check(args: &Args, written: &Written<'_>) -> Result<Checked> {
    use std::fmt::Write;

    use anyhow::bail;
    use mlcls_export::onnx::check::{Compared, check};
    use serde_json::json;

    use crate::commands::images::images;

    let Written { path, checkpoint, card, options } = written;
    let info = &checkpoint.info;
    let mut pixels = vec![];
    let mut count = 0;
    for image in images(&args.check)? {
        pixels.extend(mlcls_data::load_image(&image?, info.image_size as u32, info.resize)?);
        count += 1;
    }
    if count == 0 {
        bail!("--check: there is no image in the list");
    }
    let outputs = check(path, &checkpoint.model, &checkpoint.weights, card, options, &pixels)?;
    let mut checked = Checked::default();
    writeln!(
        checked.text,
        "\nchecked in tract, on {count} images, beside mlcls itself; largest differences:"
    )?;
    for Compared { name, difference, .. } in &outputs {
        match difference {
            Some(difference) => writeln!(checked.text, "  {name}: {difference:.1e}{}", unit(name))?,
            None => writeln!(checked.text, "  {name}: computed, with nothing that stands out to compare")?,
        }
    }
    let bad = outputs.iter().filter(|output| !output.is_good()).map(|output| {
        let Compared { name, difference, tolerance } = output;
        format!("{name} by {:.1e}, more than {tolerance:.0e}", difference.unwrap_or(f32::NAN))
    });
    let bad: Vec<String> = bad.collect();
    if !bad.is_empty() {
        bail!(
            "{} is not the model: in tract its outputs differ from those of mlcls itself, {}; please report this with the output of \
             `mlcls doctor`",
            path.display(),
            bad.join("; ")
        );
    }
    let outputs = outputs.iter().map(|output| {
        let Compared { name, difference, tolerance } = output;
        json!({ "name": name, "largest_difference": difference, "tolerance": tolerance })
    });
    checked.json = json!({ "engine": "tract", "images": count, "outputs": outputs.collect::<Vec<_>>() });
    Ok(checked)
}

/// What a difference is counted in, where that is not plain.
#[cfg(feature = "check")]
fn unit(name: &str) -> &'static str {
    match name {
        "feature_vector" => " of the greatest feature",
        "saliency_map" => " of 255",
        _ => "",
    }
}
