//! From raw settings to checked ones: the only door.

use std::ops::Deref;

use serde::Serialize;

use super::device::{DeviceName, NOT_ON_PROCESSORS};
use super::error::ConfigError;
use super::raw::{Auto, RawConfig};
use super::yaml;

/// Settings that have been checked; read like a [`RawConfig`], made by [`RawConfig::check`] only.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Config(RawConfig);

impl Deref for Config {
    type Target = RawConfig;

    fn deref(&self) -> &RawConfig {
        &self.0
    }
}

impl Config {
    /// The settings, to change them and check again.
    pub fn into_raw(self) -> RawConfig {
        self.0
    }

    /// The settings as one YAML document, every key present.
    pub fn to_yaml(&self) -> String {
        yaml::write(&self.0).unwrap_or_else(|e| unreachable!("settings are plain data: {e:?}"))
    }
}

impl RawConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the first key whose value is out of range.
    ///
    /// ```
    /// use mlcls_train::Layers;
    ///
    /// let mut raw = Layers::new().resolve()?.into_raw();
    /// raw.optim.lr = -1.0;
    /// let message = raw.check().unwrap_err().to_string();
    /// assert_eq!(message, "settings: `optim.lr` is -1: expected a number above 0");
    /// # Ok::<(), mlcls_train::ConfigError>(())
    /// ```
    pub fn check(self) -> Result<Config, ConfigError> {
        let whole = |key, v: usize| need(v >= 1, key, v, "a whole number from 1");
        let whole_or_auto = |key, v: Auto<usize>| match v {
            Auto::Auto => Ok(()),
            Auto::Fixed(v) => need(v >= 1, key, v, "`auto` or a whole number from 1"),
        };
        let positive = |key, v: f64| need(v > 0.0 && v.is_finite(), key, v, "a number above 0");
        let not_negative = |key, v: f64| need(v >= 0.0 && v.is_finite(), key, v, "a number from 0");
        let below_one = |key, v: f64| need((0.0..1.0).contains(&v), key, v, "a number from 0 to below 1");
        let share = |key, v: f64| need((0.0..=1.0).contains(&v), key, v, "a number from 0 to 1");

        whole("data.prefetch", self.data.prefetch)?;
        if let Some(limit) = self.data.limit {
            need(limit >= 1, "data.limit", limit, "`null` or a whole number from 1")?;
        }

        let side = self.model.image_size;
        need((32..=1024).contains(&side), "model.image_size", side, "32 to 1024 pixels")?;
        positive("model.scale", self.model.scale.into())?;
        below_one("model.dropout", self.model.dropout.into())?;
        below_one("model.drop_path", self.model.drop_path.into())?;

        self.loss.build()?;

        positive("optim.lr", self.optim.lr)?;
        below_one("optim.momentum", self.optim.momentum)?;
        below_one("optim.betas[0]", self.optim.betas[0])?;
        below_one("optim.betas[1]", self.optim.betas[1])?;
        positive("optim.eps", self.optim.eps)?;
        not_negative("optim.weight_decay", self.optim.weight_decay)?;
        not_negative("optim.sam_rho", self.optim.sam_rho)?;
        if let Some(norm) = self.optim.clip_norm {
            need(norm > 0.0 && norm.is_finite(), "optim.clip_norm", norm, "`null` or a number above 0")?;
        }
        whole("optim.accumulate", self.optim.accumulate)?;

        share("schedule.warmup_ratio", self.schedule.warmup_ratio)?;
        let pct = self.schedule.pct_start;
        need(pct > 0.0 && pct < 1.0, "schedule.pct_start", pct, "a number between 0 and 1")?;
        positive("schedule.div_factor", self.schedule.div_factor)?;
        positive("schedule.final_div_factor", self.schedule.final_div_factor)?;
        let factor = self.schedule.factor;
        need(factor > 0.0 && factor < 1.0, "schedule.factor", factor, "a number between 0 and 1")?;
        whole_or_auto("schedule.patience", self.schedule.patience)?;
        not_negative("schedule.min_lr", self.schedule.min_lr)?;

        whole("train.epochs", self.train.epochs)?;
        whole("train.batch_size", self.train.batch_size)?;
        if self.train.device == DeviceName::Cpu {
            let precision = self.train.precision;
            require(precision.fits_processors(), "train.precision", precision, NOT_ON_PROCESSORS)?;
        }
        if let Some(epochs) = self.train.freeze_epochs {
            need(epochs >= 1, "train.freeze_epochs", epochs, "`null` or a whole number from 1")?;
        }
        whole_or_auto("train.repeats", self.train.repeats)?;
        below_one("train.ema_decay", self.train.ema_decay)?;
        whole_or_auto("train.early_stop_patience", self.train.early_stop_patience)?;
        below_one("train.early_stop_min_delta", self.train.early_stop_min_delta)?;
        whole("train.save_every", self.train.save_every)?;

        whole_or_auto("eval.every", self.eval.every)?;
        share("eval.threshold", self.eval.threshold.into())?;
        whole("eval.ema_from_epoch", self.eval.ema_from_epoch)?;
        whole("eval.batch_size", self.eval.batch_size)?;
        whole("log.every", self.log.every)?;
        Ok(Config(self))
    }
}

fn need(ok: bool, key: &str, found: impl ToString, expected: &str) -> Result<(), ConfigError> {
    require(ok, key, found, &format!("expected {expected}"))
}

fn require(ok: bool, key: &str, found: impl ToString, problem: &str) -> Result<(), ConfigError> {
    if ok {
        return Ok(());
    }
    Err(ConfigError::Value {
        origin: "settings".to_owned(),
        key: key.to_owned(),
        found: found.to_string(),
        problem: problem.to_owned(),
    })
}
