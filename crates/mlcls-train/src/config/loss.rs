//! The loss that the settings name.

use mlcls_loss::{Aam, Asl, Bce, Focal, Loss};

use super::error::ConfigError;
use super::raw::{Auto, LossConfig, LossName};

impl LossConfig {
    /// The loss with its parameters; the scale is the head's business (see [`Loss::with_scale`]).
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a parameter that this loss does not have, or that is out of range.
    ///
    /// ```
    /// use mlcls_train::Layers;
    ///
    /// let layers = Layers::new().set("loss.name=focal")?.set("loss.k=0.5")?;
    /// let message = layers.resolve().unwrap_err().to_string();
    /// assert_eq!(message, "--set: `loss.k` is 0.5: the loss `focal` has no `k`, leave it `auto`");
    /// # Ok::<(), mlcls_train::ConfigError>(())
    /// ```
    pub fn build(&self) -> Result<Loss, ConfigError> {
        let mut loss = match self.name {
            LossName::Aam => Loss::Aam(Aam::default()),
            LossName::Asl => Loss::Asl(Asl::default()),
            LossName::Focal => Loss::Focal(Focal::default()),
            LossName::Bce => Loss::Bce(Bce::default()),
        };
        let parameters = [
            ("k", self.k),
            ("gamma_pos", self.gamma_pos),
            ("gamma_neg", self.gamma_neg),
            ("shift", self.shift),
            ("margin", self.margin),
            ("alpha", self.alpha),
            ("gamma", self.gamma),
        ];
        for (name, value) in parameters {
            let Auto::Fixed(value) = value else { continue };
            let slot = match (&mut loss, name) {
                (Loss::Aam(l), "k") => &mut l.k,
                (Loss::Aam(l), "gamma_pos") => &mut l.gamma_pos,
                (Loss::Aam(l), "gamma_neg") => &mut l.gamma_neg,
                (Loss::Aam(l), "shift") => &mut l.shift,
                (Loss::Aam(l), "margin") => &mut l.margin,
                (Loss::Asl(l), "gamma_pos") => &mut l.gamma_pos,
                (Loss::Asl(l), "gamma_neg") => &mut l.gamma_neg,
                (Loss::Asl(l), "shift") => &mut l.shift,
                (Loss::Focal(l), "alpha") => l.alpha.insert(value),
                (Loss::Focal(l), "gamma") => &mut l.gamma,
                (other, name) => {
                    let problem = format!("the loss `{}` has no `{name}`, leave it `auto`", other.name());
                    return Err(refuse(name, value, problem));
                }
            };
            *slot = value;
        }
        match loss.check() {
            Ok(()) => Ok(loss),
            Err(mlcls_loss::Error::Parameter { parameter, found, expected, .. }) => {
                Err(refuse(parameter, found, format!("expected {expected}")))
            }
            Err(other) => Err(refuse("name", loss.name(), other.to_string())),
        }
    }
}

fn refuse(parameter: &str, found: impl ToString, problem: String) -> ConfigError {
    ConfigError::Value {
        origin: "settings".to_owned(),
        key: format!("loss.{parameter}"),
        found: found.to_string(),
        problem,
    }
}
