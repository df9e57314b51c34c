//! What `mlcls probe` says.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use mlcls_data::Resize;
use mlcls_models::{Normalization, find};
use mlcls_probe::{Backbone, FeatureCache, LearningCurve, ProbeHead};
use mlcls_report::{LearningCurveReport, learning_curve_page};
use mlcls_train::RunDir;

use super::Printed;
use crate::ui::percent;
use crate::ui::table::Table;

/// Where the doubtful answers are.
pub fn doubtful(dir: &RunDir) -> PathBuf {
    dir.path().join("train.doubtful.csv")
}

/// Where the page of the curve is.
pub fn curve_page(dir: &RunDir) -> PathBuf {
    dir.path().join("curve.html")
}

/// Everything for a person.
pub fn text(
    printed: &Printed,
    backbone: &Backbone,
    dir: &RunDir,
    data: &Path,
    cache: Option<&FeatureCache>,
) -> Result<String> {
    let mut text = String::new();
    let t = &mut text;
    let (images, cached, seconds) = (printed.images, printed.cached, &printed.seconds);
    let weights = printed.weights.as_ref().map_or("random weights".into(), |path| path.display().to_string());
    writeln!(t, "{}, {weights}", printed.backbone)?;
    writeln!(
        t,
        "{} features of {images} images in {:.1} s, {cached} from the cache{}",
        printed.features,
        seconds.extract,
        cache.map(|cache| format!(" {}", cache.path().display())).unwrap_or_default()
    )?;
    writeln!(t)?;
    let found = &printed.cross_validation;
    let (what, unit) = match printed.head {
        ProbeHead::Logistic => ("logistic regression", "C"),
        ProbeHead::Cosine => ("cosine head, angular margin loss", "evaluations"),
    };
    writeln!(
        t,
        "{what}, cross-validated on the training images in {} folds, {:.1} s:",
        found.folds, seconds.cross_validate
    )?;
    let mut tried = Table::new([unit, "mAP", ""]);
    for one in &found.tried {
        let chosen = if one.strength == printed.strength { "chosen" } else { "" };
        tried.row([one.strength.to_string(), percent(one.map), chosen.to_owned()]);
    }
    writeln!(t, "{tried}")?;
    write!(t, "{}", printed.evaluation.text()?)?;
    if let Some(curve) = &printed.curve {
        writeln!(t, "\nlearning curve, {:.1} s:", seconds.curve)?;
        let mut table = Table::new(["share", "images", "mAP", "spread", "draws"]);
        for point in &curve.points {
            table.row([
                format!("{} %", 100.0 * point.share),
                point.images.to_string(),
                percent(Some(point.mean())),
                percent(point.spread()),
                point.maps.len().to_string(),
            ]);
        }
        write!(t, "{table}")?;
        writeln!(t, "{}", suggestion(curve))?;
        writeln!(t, "picture:      {}", curve_page(dir).display())?;
    }
    writeln!(
        t,
        "\ndoubtful:     {}, {} answers of the training images",
        doubtful(dir).display(),
        printed.suspected
    )?;
    writeln!(t, "checkpoint:   {}", dir.best().display())?;
    let run = dir.path().display();
    // What `mlcls report` takes where no split is named.
    let split = match printed.evaluation.split() {
        "test" => String::new(),
        other => format!(" --split {other}"),
    };
    writeln!(t, "next:         mlcls report {run} {}{split}", data.display())?;
    match fine_tuning(printed.head, backbone)? {
        _ if find(backbone.name())?.is_frozen() => {
            writeln!(t, "              mlcls suggest {run} FOLDER --out suggestions.csv")?;
        }
        Some(settings) => writeln!(
            t,
            "              mlcls train {} --model {} --pretrained {}{settings}",
            data.display(),
            printed.backbone,
            dir.best().display()
        )?,
        None => writeln!(
            t,
            "fine-tuning:  starts from a probe with --head cosine, as `mlcls train` has that head"
        )?,
    }
    Ok(text)
}

/// The settings with which `mlcls train` goes on from a head, where they are not its defaults; `None` for a head that it does not
/// train.
fn fine_tuning(head: ProbeHead, backbone: &Backbone) -> Result<Option<String>> {
    if head != ProbeHead::Cosine {
        return Ok(None);
    }
    let (entry, normalization) = (find(backbone.name())?, backbone.normalization());
    let mut settings = String::new();
    if entry.head != head.head() {
        write!(settings, " --set model.head={}", head.head())?;
    }
    let names =
        [("imagenet", Normalization::IMAGENET), ("half", Normalization::HALF), ("unit", Normalization::UNIT)];
    if entry.normalization != normalization
        && let Some((name, _)) = names.iter().find(|(_, known)| *known == normalization)
    {
        write!(settings, " --set model.normalization={name}")?;
    }
    if backbone.size() != 224 {
        write!(settings, " --image-size {}", backbone.size())?;
    }
    if backbone.resize() == Resize::Antialias {
        write!(settings, " --set data.resize=antialias")?;
    }
    Ok(Some(settings))
}

/// What a curve suggests about more data.
fn suggestion(curve: &LearningCurve) -> String {
    let (Some(gain), Some(all)) = (curve.last_doubling(), curve.points.last()) else {
        return "too few images for a curve".to_owned();
    };
    let gain = 100.0 * gain;
    let images = all.images;
    match gain {
        ..0.5 => format!(
            "The last doubling of the images brought {gain:.1} points: more images alone will hardly help this head. A larger \
             backbone or fine-tuning may."
        ),
        _ => format!(
            "The last doubling of the images brought {gain:.1} points. {} images in place of {images} may bring up to as much again: \
             gains shrink from doubling to doubling.",
            2 * images
        ),
    }
}

/// The page of a curve.
pub fn page(printed: &Printed, curve: &LearningCurve) -> String {
    let points: Vec<(usize, Vec<f64>)> =
        curve.points.iter().map(|p| (p.images, p.maps.iter().map(|map| 100.0 * map).collect())).collect();
    let name = printed.evaluation.data_name();
    learning_curve_page(&LearningCurveReport {
        title: &format!("{} on {name}", printed.backbone),
        lead: &format!(
            "a {} head on frozen features, evaluated on `{}`; parts of the training images are drawn so that each label has \
             its share",
            printed.head.name(),
            printed.evaluation.split()
        ),
        points: &points,
        suggestion: &suggestion(curve),
    })
}
