//! Settings from several places, one over the other.

use std::path::Path;

use serde_json::{Map, Value};

use super::check::Config;
use super::error::ConfigError;
use super::raw::RawConfig;
use super::templates::{DEFAULT_MODEL, DEFAULT_RECIPE, nearest, template};
use super::yaml;

/// Settings from files, `--set` and flags, laid over a recipe; what is added later wins.
///
/// The recipe and the model are chosen first (keys `recipe` and `model.name` of any layer), since they decide the template
/// under all layers. Add in the order of authority: file, `--set`, named flags.
///
/// ```
/// use mlcls_train::Layers;
///
/// let config = Layers::new()
///     .text("my.yaml", "optim: {lr: 0.01}\ntrain: {epochs: 30}")?
///     .set("optim.sam_rho=0")?
///     .flag("--epochs", "train.epochs", 5)
///     .resolve()?;
/// assert_eq!((config.optim.lr, config.optim.sam_rho, config.train.epochs), (0.01, 0.0, 5));
///
/// let message = Layers::new().set("optim.weightdecay=0")?.resolve().unwrap_err().to_string();
/// assert_eq!(message, "--set: unknown key `optim.weightdecay`; did you mean `optim.weight_decay`?");
/// # Ok::<(), mlcls_train::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Layers {
    layers: Vec<Layer>,
}

/// Settings from one place.
#[derive(Clone, Debug)]
struct Layer {
    origin: String,
    values: Map<String, Value>,
}

impl Layers {
    /// No layer: the default recipe of the default model.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a YAML file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a YAML mapping.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        self.text(&path.display().to_string(), &text)
    }

    /// Adds YAML text; `origin` names it in errors.
    ///
    /// # Errors
    /// The text is not a YAML mapping.
    pub fn text(mut self, origin: &str, text: &str) -> Result<Self, ConfigError> {
        let values = match parse(origin, text)? {
            Value::Object(values) => values,
            Value::Null => Map::new(),
            other => {
                let message = format!("expected groups of keys such as `optim:`, found {}", describe(&other));
                return Err(ConfigError::Syntax { origin: origin.to_owned(), line: 1, column: 1, message });
            }
        };
        self.layers.push(Layer { origin: origin.to_owned(), values });
        Ok(self)
    }

    /// Adds one `key=value` of `--set`; the value is read as YAML.
    ///
    /// # Errors
    /// There is no `=`, or the value is not YAML.
    pub fn set(self, assignment: &str) -> Result<Self, ConfigError> {
        let Some((key, value)) = assignment.split_once('=') else {
            let message = format!("expected KEY=VALUE such as optim.lr=0.01, found `{assignment}`");
            return Err(ConfigError::Syntax { origin: "--set".to_owned(), line: 0, column: 0, message });
        };
        let value = parse(&format!("--set {key}"), value)?;
        Ok(self.flag("--set", key.trim(), value))
    }

    /// Adds the value of a named flag, for example `("--epochs", "train.epochs", 5)`.
    pub fn flag(mut self, flag: &str, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let values = match key.split_once('.') {
            Some((group, key)) => Map::from_iter([(group.to_owned(), Value::Object(single(key, value)))]),
            None => single(key, value),
        };
        self.layers.push(Layer { origin: flag.to_owned(), values });
        self
    }

    /// Lays everything over the template and checks the result.
    ///
    /// # Errors
    /// The first unknown key, value of the wrong type or value out of range, with the place that it came from.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let recipe = self.last_word("recipe").unwrap_or(DEFAULT_RECIPE);
        let model = mlcls_models::find(self.last_word("model.name").unwrap_or(DEFAULT_MODEL))?.backbone;
        let base = template(recipe, model)?;
        let Value::Object(mut merged) = parse(&format!("{recipe}/{model}.yaml"), base.text)? else {
            unreachable!("a template is a mapping of groups");
        };
        for layer in &self.layers {
            layer.lay_over(&mut merged)?;
        }
        set_at(&mut merged, "model.name", model.into());

        let merged = Value::Object(merged);
        let raw: RawConfig = serde_path_to_error::deserialize(&merged).map_err(|e| {
            let key = e.path().to_string();
            let found = at(&merged, &key).map_or_else(|| "missing".to_owned(), describe);
            let problem = in_words(&e.into_inner().to_string());
            ConfigError::Value { origin: self.origin_of(&key), key, found, problem }
        })?;
        raw.check().map_err(|e| match e {
            ConfigError::Value { key, found, problem, .. } => {
                ConfigError::Value { origin: self.origin_of(&key), key, found, problem }
            }
            other => other,
        })
    }

    fn last_word(&self, key: &str) -> Option<&str> {
        self.layers.iter().rev().find_map(|l| in_map(&l.values, key)?.as_str())
    }

    /// The last layer that says something about a key.
    fn origin_of(&self, key: &str) -> String {
        let key = key.split('[').next().unwrap_or(key);
        let layer = self.layers.iter().rev().find(|l| in_map(&l.values, key).is_some());
        layer.map_or_else(|| "settings".to_owned(), |l| l.origin.clone())
    }
}

impl Layer {
    /// Writes the values of this layer over `base`, which holds every key there is.
    fn lay_over(&self, base: &mut Map<String, Value>) -> Result<(), ConfigError> {
        for (group, value) in &self.values {
            match (base.get_mut(group), value) {
                (Some(Value::Object(known)), Value::Object(given)) => {
                    for (key, value) in given {
                        match known.get_mut(key) {
                            Some(slot) => *slot = value.clone(),
                            None => return Err(self.unknown(&format!("{group}.{key}"), base)),
                        }
                    }
                }
                (Some(Value::Object(_)), Value::Null) => {} // `optim:` with every key commented out
                (Some(Value::Object(_)), other) => {
                    return Err(ConfigError::Value {
                        origin: self.origin.clone(),
                        key: group.clone(),
                        found: describe(other),
                        problem: "expected a group of keys".to_owned(),
                    });
                }
                (Some(slot), value) => *slot = value.clone(),
                (None, _) => return Err(self.unknown(group, base)),
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str, base: &Map<String, Value>) -> ConfigError {
        let known: Vec<String> = base
            .iter()
            .flat_map(|(group, value)| match value {
                Value::Object(keys) => keys.keys().map(|k| format!("{group}.{k}")).collect(),
                _ => vec![group.clone()],
            })
            .collect();
        // A right name in the wrong group is nearer than any spelling.
        let leaf = |k: &str| k.rsplit('.').next().unwrap_or(k).to_owned();
        let same_leaf = known.iter().find(|k| leaf(k) == leaf(key));
        let nearest =
            same_leaf.map(String::as_str).or_else(|| nearest(key, known.iter().map(String::as_str)));
        ConfigError::UnknownKey {
            origin: self.origin.clone(),
            key: key.to_owned(),
            nearest: nearest.map(str::to_owned),
        }
    }
}

fn parse(origin: &str, text: &str) -> Result<Value, ConfigError> {
    yaml::parse(text).map_err(|e| ConfigError::Syntax {
        origin: origin.to_owned(),
        line: e.line,
        column: e.column,
        message: e.message,
    })
}

fn single(key: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), value)])
}

fn in_map<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((group, key)) => map.get(group)?.get(key),
        None => map.get(key),
    }
}

fn at<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    in_map(value.as_object()?, key.split('[').next()?)
}

fn set_at(map: &mut Map<String, Value>, key: &str, value: Value) {
    if let Some((group, key)) = key.split_once('.')
        && let Some(Value::Object(group)) = map.get_mut(group)
    {
        group.insert(key.to_owned(), value);
    }
}

/// A value as an error quotes it.
fn describe(value: &Value) -> String {
    match value {
        Value::Object(_) => "a group of keys".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// serde's message without what `found` says already, and without Rust's names of types.
fn in_words(message: &str) -> String {
    let Some((_, expected)) = message.split_once("expected ") else { return message.to_owned() };
    let expected = match expected {
        "f32" | "f64" => "a number",
        "usize" | "u64" => "a whole number from 0",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" => "a name",
        other => other,
    };
    format!("expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(layers: Result<Layers, ConfigError>) -> String {
        layers.and_then(|l| l.resolve()).unwrap_err().to_string()
    }

    #[test]
    fn later_layers_win_and_the_recipe_is_below_all() {
        let config = Layers::new()
            .text("my.yaml", "recipe: plateau\nmodel: {name: mobilenetv3_large_100}\noptim: {lr: 0.01}")
            .unwrap()
            .set("optim.lr=0.02")
            .unwrap()
            .flag("--lr", "optim.lr", 0.03)
            .resolve()
            .unwrap();
        assert_eq!(config.optim.lr, 0.03);
        assert_eq!(config.schedule.warmup_iters, 10, "from the template of that model and recipe");
    }

    #[test]
    fn a_backbone_that_stays_frozen_has_no_recipe() {
        let found = message(Layers::new().set("model.name=dinov2_small"));
        let expected = "dinov2_small stays frozen, so it has no recipe; train a head on it with: mlcls probe DATA --backbone dinov2_small";
        assert_eq!(found, expected);
    }

    #[test]
    fn a_run_computes_on_the_processor_unless_it_is_told_otherwise() {
        let device = |layers: Layers| layers.resolve().unwrap().device().to_string();
        assert_eq!(device(Layers::new()), "cpu");
        assert_eq!(device(Layers::new().set("train.precision=fp32").unwrap()), "cpu");
        let cuda = Layers::new().set("train.device=cuda:1").unwrap();
        assert_eq!(device(cuda.clone()), "cuda:1 bf16");
        assert_eq!(device(cuda.set("train.precision=fp16").unwrap()), "cuda:1 fp16");

        // The settings of a run from before there were devices.
        let yaml = Layers::new().resolve().unwrap().to_yaml();
        let lines: Vec<&str> =
            yaml.lines().filter(|l| !l.starts_with("  device:") && !l.starts_with("  precision:")).collect();
        assert_eq!(lines.len() + 2, yaml.lines().count());
        assert_eq!(device(Layers::new().text("config.yaml", &lines.join("\n")).unwrap()), "cpu");
    }

    #[test]
    fn what_was_written_reads_back() {
        let config =
            Layers::new().set("optim.lr=0.1").unwrap().set("train.device=cuda:2").unwrap().resolve().unwrap();
        let again = Layers::new().text("config.yaml", &config.to_yaml()).unwrap().resolve().unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn the_recipe_of_the_reference_script_can_be_said() {
        let settings = [
            "train.epochs=5",
            "train.batch_size=64",
            "train.early_stop=false",
            "train.ema=false",
            "schedule.final_div_factor=10",
            "augment.ops=crop_flip",
        ];
        let layers = settings.iter().try_fold(Layers::new(), |l, s| l.set(s)).unwrap();
        let config = layers.resolve().unwrap();
        assert_eq!((config.schedule.pct_start, config.schedule.div_factor), (0.2, 100.0));
        assert_eq!(config.optim.sam_rho, 0.05);
    }

    #[test]
    fn errors_say_where_what_and_what_else() {
        for (layers, expected) in [
            (Layers::new().text("a.yaml", "lr: 1"), "a.yaml: unknown key `lr`; did you mean `optim.lr`?"),
            (
                Layers::new().text("a.yaml", "optimm: {lr: 1}"),
                "a.yaml: unknown key `optimm`; did you mean `optim.name`?",
            ),
            (
                Layers::new().text("a.yaml", "optim: {epochs: 1}"),
                "a.yaml: unknown key `optim.epochs`; did you mean `train.epochs`?",
            ),
            (Layers::new().text("a.yaml", "optim: 5"), "a.yaml: `optim` is 5: expected a group of keys"),
            (Layers::new().set("optim.lr=fast"), "--set: `optim.lr` is \"fast\": expected a number"),
            (Layers::new().set("optim.lr=.nan"), "--set: `optim.lr` is null: expected a number"),
            (Layers::new().set("optim.lr=.inf"), "--set: `optim.lr` is null: expected a number"),
            (
                Layers::new().set("train.epochs=1.5"),
                "--set: `train.epochs` is 1.5: expected a whole number from 0",
            ),
            (
                Layers::new().set("train.epochs=-1"),
                "--set: `train.epochs` is -1: expected a whole number from 0",
            ),
            (
                Layers::new().set("train.epochs=0"),
                "--set: `train.epochs` is 0: expected a whole number from 1",
            ),
            (
                Layers::new().set("train.early_stop=perhaps"),
                "--set: `train.early_stop` is \"perhaps\": expected true or false",
            ),
            (
                Layers::new().set("eval.every=often"),
                "--set: `eval.every` is \"often\": expected `auto` or a value",
            ),
            (
                Layers::new().set("optim.name=sdg"),
                "--set: `optim.name` is \"sdg\": expected `sgd` or `adamw`",
            ),
            (Layers::new().set("loss.k=2"), "--set: `loss.k` is 2: expected a number from 0 to 1"),
            (
                Layers::new().set("augment.ops=tabel"),
                "--set: `augment.ops` is \"tabel\": there is no augmentation preset 'tabel'; did you mean 'table'? \
                 (presets: none, table, plateau, crop_flip)",
            ),
            (
                Layers::new().set("train.device=cudda"),
                "--set: `train.device` is \"cudda\": expected `cpu`, `cuda`, or `cuda:N` with the number of a GPU from 0; did \
                 you mean `cuda`?",
            ),
            (Layers::new().set("train.device=0"), "--set: `train.device` is 0: expected a name"),
            (
                Layers::new().set("train.precision=bf61"),
                "--set: `train.precision` is \"bf61\": expected `auto` or one of `fp32`, `tf32`, `bf16`, `fp16`; did you mean \
                 `bf16`?",
            ),
            (
                Layers::new().set("train.precision=bf16"),
                "--set: `train.precision` is bf16: processors compute in fp32; expected `auto` or `fp32`, or device cuda",
            ),
            (
                Layers::new().set("optim.betas=[0.9, 2]"),
                "--set: `optim.betas[1]` is 2: expected a number from 0 to below 1",
            ),
            (Layers::new().set("lr"), "--set: expected KEY=VALUE such as optim.lr=0.01, found `lr`"),
            (
                Layers::new().text("a.yaml", "- 1"),
                "a.yaml: line 1, column 1: expected groups of keys such as `optim:`, found a list",
            ),
            (
                Layers::new().set("recipe=tabel"),
                "there is no recipe `tabel`; did you mean `table`?; known: table, plateau",
            ),
        ] {
            assert_eq!(message(layers), expected);
        }
    }
}
