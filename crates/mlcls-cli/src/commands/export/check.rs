//! `--check`: what was written, run by another engine on images.

use anyhow::Result;

use super::Args;

/// What the check says; JSON `null` where none was asked for.
#[derive(Default)]
pub struct Checked {
    pub text: String,
    pub json: serde_json::Value,
}

#[cfg(not(feature = "check"))]
pub fn check(_: &Args, _: &super::onnx::Written<'_>) -> Result<Checked> {
    anyhow::bail!(
        "this mlcls was built without the engine that --check runs files in; build it with \
         `cargo install --path crates/mlcls-cli --features check`"
    )
}

/// Runs the file on the images of `--check` and compares its outputs with the engine's own.
#[cfg(feature = "check")]
pub fn check(args: &Args, written: &super::onnx::Written<'_>) -> Result<Checked> {
    use std::fmt::Write;

    use anyhow::bail;
    use mlcls_export::onnx::check::{TOLERANCE, check};
    use serde_json::json;

    use crate::commands::images::images;

    let super::onnx::Written { path, checkpoint, card, options } = written;
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
    writeln!(checked.text, "\nchecked in tract, on {count} images, beside mlcls itself:")?;
    for output in &outputs {
        match output.difference {
            Some(difference) => {
                writeln!(checked.text, "  {}: largest difference {difference:.1e}", output.name)?
            }
            None => writeln!(checked.text, "  {}: computed, but not compared", output.name)?,
        }
    }
    let bad: Vec<String> = outputs
        .iter()
        .filter(|output| !output.is_good())
        .map(|o| format!("{} by {:.1e}", o.name, o.difference.unwrap_or(f32::NAN)))
        .collect();
    if !bad.is_empty() {
        bail!(
            "{} is not the model: in tract its outputs differ by more than {TOLERANCE:.0e} from those of mlcls itself, {}; please \
             report this with the output of `mlcls doctor`",
            path.display(),
            bad.join(", ")
        );
    }
    let named = outputs.iter().map(|o| json!({ "name": o.name, "largest_difference": o.difference }));
    checked.json = json!({
        "engine": "tract",
        "images": count,
        "tolerance": TOLERANCE,
        "outputs": named.collect::<Vec<_>>(),
    });
    Ok(checked)
}
