//! Flags that choose the settings of a run, shared by `train` and `config`.

use std::path::PathBuf;

use mlcls_train::{ConfigError, Layers};

/// Which recipe, which model, and what to change in them. Later wins: recipe, `--config`, `--set`, the other flags.
#[derive(clap::Args, Debug, Default)]
pub struct Settings {
    /// Model to train, by our name, timm's or OTX's; `mlcls find` lists them.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Recipe: `table` (one-cycle rate, AugMix, EMA) or `plateau` (rate falls when the metric stalls, random crop).
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// YAML file over the recipe; `mlcls config init` writes one to start from.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one setting, for example `--set optim.lr=0.01`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// First weights: `auto` (downloaded once), `none` (random), a safetensors file, or a timm weight name.
    #[arg(long, value_name = "WEIGHTS")]
    pub pretrained: Option<String>,
    /// Most epochs.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Images per batch.
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Side of the square input in pixels.
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// Highest learning rate of the schedule.
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Keep the weights of a part of the network: `backbone`, or `backbone:3` for its stem and first three stages; with
    /// `--set train.freeze_epochs=N`, for the first N epochs.
    #[arg(long, value_name = "PART")]
    pub freeze: Option<String>,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where to train: `cpu`, `cuda` (an NVIDIA GPU; needs the feature `cuda`), or `cuda:1` for the second GPU.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Numbers to train in: `auto` (bf16 on a GPU, fp32 on a processor), `fp32`, `tf32`, `bf16` or `fp16`.
    #[arg(long, value_name = "NAME")]
    pub precision: Option<String>,
    /// Use only the first N images of each split.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Write curves for TensorBoard too, into the folder `tensorboard` of the run.
    #[arg(long)]
    pub tensorboard: bool,
}

impl Settings {
    /// The flags as layers over the recipe, in their order of authority.
    pub fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers::new();
        if let Some(file) = &self.config {
            layers = layers.file(file)?;
        }
        for assignment in &self.set {
            layers = layers.set(assignment)?;
        }
        macro_rules! flags {
            ($($flag:literal $key:literal $field:ident),+ $(,)?) => {
                $(if let Some(value) = self.$field.clone() { layers = layers.flag($flag, $key, value); })+
            };
        }
        flags! {
            "--model" "model.name" model,
            "--recipe" "recipe" recipe,
            "--pretrained" "model.pretrained" pretrained,
            "--epochs" "train.epochs" epochs,
            "--batch-size" "train.batch_size" batch_size,
            "--image-size" "model.image_size" image_size,
            "--lr" "optim.lr" lr,
            "--freeze" "train.freeze" freeze,
            "--seed" "train.seed" seed,
            "--device" "train.device" device,
            "--precision" "train.precision" precision,
            "--limit" "data.limit" limit,
        }
        if self.tensorboard {
            layers = layers.flag("--tensorboard", "log.tensorboard", true);
        }
        Ok(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn every_flag_reaches_its_setting() {
        let settings = Settings {
            model: Some("mobilenetv3_large_100".to_owned()),
            recipe: Some("plateau".to_owned()),
            set: vec!["optim.lr=0.5".to_owned(), "optim.momentum=0.8".to_owned()],
            pretrained: Some("none".to_owned()),
            epochs: Some(3),
            batch_size: Some(16),
            image_size: Some(96),
            lr: Some(0.25),
            freeze: None,
            seed: Some(9),
            device: Some("cuda:1".to_owned()),
            precision: Some("tf32".to_owned()),
            limit: Some(100),
            tensorboard: true,
            config: None,
        };
        let config = settings.layers().unwrap().resolve().unwrap();
        assert_eq!(config.model.name, "mobilenetv3_large_100");
        assert_eq!(config.recipe, "plateau");
        assert_eq!(config.model.pretrained, "none");
        assert_eq!((config.train.epochs, config.train.batch_size, config.train.seed), (3, 16, 9));
        assert_eq!((config.model.image_size, config.data.limit), (96, Some(100)));
        assert_eq!(config.device().to_string(), "cuda:1 tf32");
        assert!(config.log.tensorboard);
        assert_eq!((config.optim.lr, config.optim.momentum), (0.25, 0.8), "a flag is over --set");
        let frozen =
            Settings { freeze: Some("backbone:2".to_owned()), device: None, precision: None, ..settings };
        let config = frozen.layers().unwrap().resolve().unwrap();
        assert_eq!(config.train.freeze.to_string(), "backbone:2", "on processors only");
    }
}
