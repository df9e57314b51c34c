//! The commented templates of `configs/`, one for each recipe and model, built into the library.

use super::error::ConfigError;

/// Recipe of a run that names none.
pub const DEFAULT_RECIPE: &str = "table";

/// Model of a run that names none: OTX's default for the task.
pub const DEFAULT_MODEL: &str = "efficientnet_b0";

/// One commented YAML template; see [`templates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// Name of the recipe.
    pub recipe: &'static str,
    /// timm name of the backbone.
    pub model: &'static str,
    /// The YAML text with its comments.
    pub text: &'static str,
}

macro_rules! templates {
    ($($recipe:literal: $($model:literal),+;)+) => {
        &[$($(Template {
            recipe: $recipe,
            model: $model,
            text: include_str!(concat!("../../../../configs/", $recipe, "/", $model, ".yaml")),
        }),+),+]
    };
}

/// All templates; each holds every key.
pub fn templates() -> &'static [Template] {
    templates! {
        "table": "mobilenetv3_large_100", "efficientnet_b0", "tf_efficientnetv2_s", "tf_efficientnet_lite0";
        "plateau": "mobilenetv3_large_100", "efficientnet_b0", "tf_efficientnetv2_s", "tf_efficientnet_lite0";
    }
}

/// The template of one recipe and model.
///
/// # Errors
/// [`ConfigError::UnknownTemplate`] with the nearest name; [`ConfigError::Frozen`] for a backbone that is not trained.
///
/// ```
/// let template = mlcls_train::template("plateau", "efficientnet_b0")?;
/// assert!(template.text.contains("name: efficientnet_b0"));
/// # Ok::<(), mlcls_train::ConfigError>(())
/// ```
pub fn template(recipe: &str, model: &str) -> Result<&'static Template, ConfigError> {
    let all = templates();
    let unknown = |what, found: &str, mut known: Vec<&'static str>| {
        known.dedup();
        Err(ConfigError::UnknownTemplate {
            what,
            found: found.to_owned(),
            nearest: nearest(found, known.iter().copied()).map(str::to_owned),
            known: known.into_iter().map(str::to_owned).collect(),
        })
    };
    if !all.iter().any(|t| t.recipe == recipe) {
        return unknown("recipe", recipe, all.iter().map(|t| t.recipe).collect());
    }
    if let Some(entry) = mlcls_models::find(model).ok().filter(|entry| entry.is_frozen()) {
        return Err(ConfigError::Frozen { model: entry.name });
    }
    match all.iter().find(|t| t.recipe == recipe && t.model == model) {
        Some(template) => Ok(template),
        None => unknown("model", model, all.iter().filter(|t| t.recipe == recipe).map(|t| t.model).collect()),
    }
}

/// The name most like `found`, if any is alike enough to suggest.
pub(super) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .map(|name| (strsim::jaro_winkler(&found, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    /// Lines of a template that belong to its model: the first comment, the command, and these keys.
    fn is_the_models_own(line: &str) -> bool {
        ["  name: ", "  lr: ", "  warmup_iters: ", "#   mlcls train"].iter().any(|p| line.starts_with(p))
    }

    #[test]
    fn every_template_is_complete_and_valid() {
        for t in templates() {
            let config = Layers::new()
                .flag("--recipe", "recipe", t.recipe)
                .flag("--model", "model.name", t.model)
                .resolve()
                .unwrap_or_else(|e| panic!("{}/{}: {e}", t.recipe, t.model));
            assert_eq!((config.recipe.as_str(), config.model.name.as_str()), (t.recipe, t.model));
        }
    }

    #[test]
    fn templates_of_a_recipe_differ_only_in_the_models_lines() {
        for t in templates() {
            let first = templates().iter().find(|f| f.recipe == t.recipe).unwrap();
            let (a, b): (Vec<_>, Vec<_>) = (first.text.lines().collect(), t.text.lines().collect());
            assert_eq!(a.len(), b.len(), "{}/{}", t.recipe, t.model);
            for (a, b) in a.iter().zip(&b).skip(1) {
                assert!(a == b || is_the_models_own(b), "{}/{}: {b:?} is not {a:?}", t.recipe, t.model);
            }
        }
    }

    #[test]
    fn every_key_has_a_comment() {
        for t in templates() {
            for line in t.text.lines().filter(|l| l.starts_with("  ")) {
                let comment = line.split_once(" # ").map_or("", |(_, c)| c);
                assert!(comment.len() > 8, "{}/{}: no comment at {line:?}", t.recipe, t.model);
            }
        }
    }

    #[test]
    fn the_default_model_and_the_learning_rates_are_the_registrys() {
        assert!(mlcls_models::find(DEFAULT_MODEL).unwrap().default);
        for t in templates() {
            let entry = mlcls_models::find(t.model).unwrap();
            assert_eq!(entry.backbone, t.model);
            let lr = entry.learning_rate.unwrap();
            assert!(t.text.contains(&format!("\n  lr: {lr} ")), "{}", t.model);
        }
    }

    #[test]
    fn the_loss_defaults_in_the_comments_are_the_losses_own() {
        use mlcls_loss::{Aam, Asl, Focal, Loss};
        let losses = [Loss::Aam(Aam::default()), Loss::Asl(Asl::default()), Loss::Focal(Focal::default())];
        for loss in losses {
            let serde_json::Value::Object(parameters) = serde_json::to_value(loss).unwrap() else { panic!() };
            for (key, value) in parameters.iter().filter(|(k, _)| *k != "name" && *k != "scale") {
                let said = format!("{} [{}]", loss.name(), value.as_f64().unwrap());
                for t in templates() {
                    let line = t.text.lines().find(|l| l.starts_with(&format!("  {key}: auto"))).unwrap();
                    assert!(line.contains(&said), "{said:?} is not in {line:?}");
                }
            }
        }
    }

    #[test]
    fn unknown_names_get_the_nearest() {
        let e = template("platau", "efficientnet_b0").unwrap_err().to_string();
        assert_eq!(e, "there is no recipe `platau`; did you mean `plateau`?; known: table, plateau");
        let e = template("table", "efficientnet_b1").unwrap_err().to_string();
        assert!(e.contains("did you mean `efficientnet_b0`?"), "{e}");
    }
}
