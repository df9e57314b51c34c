//! The backbone as weights that timm loads.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use mlcls_export::timm;
use mlcls_train::Checkpoint;
use serde_json::json;

use super::{Args, Said, hash_of, resize};

/// Writes the file.
pub fn write(args: &Args, checkpoint: &Checkpoint, path: &Path) -> Result<Said> {
    let out = args.out.clone().unwrap_or_else(|| path.with_extension("timm.safetensors"));
    if std::path::absolute(&out)? == std::path::absolute(path)? {
        bail!("{} is the checkpoint itself, which has its head; give another file with --out", out.display());
    }
    let Checkpoint { info, model, weights } = checkpoint;
    let saved = timm::save(&out, model, weights, &resize(info), hash_of(path)?.as_deref())?;
    let bytes = out.metadata().with_context(|| format!("cannot read {}", out.display()))?.len();
    let (file, size, width) = (out.display(), info.image_size, model.feature_width());
    let (mean, std) = (model.preprocessing.mean, model.preprocessing.std);
    let features = timm::features(model);
    let text = &mut String::new();
    writeln!(text, "{file}")?;
    writeln!(text, "  model   {}, without its head", info.model)?;
    writeln!(
        text,
        "  format  safetensors, float32, {} tensors of timm's names, {:.1} MB",
        saved.tensors,
        bytes as f64 / 1e6
    )?;
    writeln!(
        text,
        "  images  RGB, {size} x {size}, resized ({}), x = (pixels / 255 - {mean:?}) / {std:?}",
        resize(info)
    )?;
    writeln!(text, "\nIn Python (timm, safetensors), for features [n, {width}]:")?;
    writeln!(text, "  model = {}", saved.create)?;
    writeln!(text, "  model.load_state_dict(safetensors.torch.load_file('{file}'), strict=True)")?;
    writeln!(text, "  features = {}", features.replacen("model", "model.eval()", 1))?;
    let json = json!({
        "path": out,
        "format": "safetensors",
        "bytes": bytes,
        "model": info.model,
        "image_size": size,
        "resize": info.resize,
        "mean": mean,
        "std": std,
        "tensors": saved.tensors,
        "values": saved.values,
        "feature_width": width,
        "timm": { "create": saved.create, "features": features },
    });
    Ok(Said { text: std::mem::take(text), json })
}
