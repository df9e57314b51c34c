//! The decisions in words.

use super::{EMA_ABOVE, Setup};
use crate::config::Auto;
use crate::error::Result;
use crate::event::Choice;

impl Setup {
    /// The decisions in words.
    pub(super) fn explain(&self) -> Result<Vec<Choice>> {
        let (c, graph) = (&self.config, &self.model.graph);
        let options = self.train.options();
        let images = self.train.items().len();
        let by_setting = |auto: bool, why: String| if auto { why } else { String::new() };
        let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        let memory = self.memory()?;
        let processes = self.part.of;
        let left_out = images * options.repeats - self.train.samples_per_epoch();
        let mut choices = vec![
            choice("recipe", c.recipe.clone(), String::new()),
            choice(
                "model",
                format!("{}, {} labels", self.model.name, graph.output_len()),
                format!(
                    "{:.1} M parameters, {:.2} GFLOPs",
                    graph.param_len() as f64 / 1e6,
                    graph.macs() as f64 * 2e-9
                ),
            ),
            choice("device", self.device.to_string(), self.device.gpu().unwrap_or_default()),
            choice("image size", format!("{0} x {0}", options.size), String::new()),
            choice(
                "batch size",
                match processes {
                    1 => options.batch.to_string(),
                    n => format!("{} in each of {n} processes", self.train.largest_batch()),
                },
                match self.synced() {
                    true => "batch-norm over all of them".to_owned(),
                    false => by_setting(
                        options.batch < c.train.batch_size * processes,
                        format!("there are only {images} training images"),
                    ),
                },
            ),
            choice(
                "repeats",
                options.repeats.to_string(),
                by_setting(c.train.repeats == Auto::Auto, "from the number of batches".to_owned()),
            ),
            choice(
                "epochs",
                format!("up to {}, {} steps each", c.train.epochs, self.steps_per_epoch),
                by_setting(
                    left_out > 0,
                    match left_out {
                        1 => "the last image of an epoch is left out: batch statistics need two".to_owned(),
                        n => format!(
                            "the last {n} images of an epoch are left out: batch statistics need two in each process"
                        ),
                    },
                ),
            ),
            choice(
                "validation",
                match self.eval_every {
                    1 => format!("every epoch on `{}`", c.data.val),
                    n => format!("every {n} epochs on `{}`", c.data.val),
                },
                by_setting(c.eval.every == Auto::Auto, "short epochs are validated less often".to_owned()),
            ),
            choice(
                "averaged weights",
                if self.ema.is_some() { "yes" } else { "no" }.to_owned(),
                by_setting(
                    c.train.ema == Auto::Auto,
                    format!("{images} training images, needs more than {EMA_ABOVE}"),
                ),
            ),
        ];
        if let Some(frozen) = self.frozen {
            let share = 100.0 * frozen.params as f64 / graph.param_len() as f64;
            let until = match c.train.freeze_epochs {
                Some(epochs) => format!("for {epochs} epochs"),
                None => "all the time".to_owned(),
            };
            let why = format!("{share:.0} % of the parameters, {until}");
            choices.push(choice("frozen", c.train.freeze.to_string(), why));
        }
        choices.push(choice(
            "memory",
            megabytes(memory.fixed()),
            format!("and up to {} of decoded images", megabytes(memory.cache)),
        ));
        choices.push(choice("seed", c.train.seed.to_string(), String::new()));
        Ok(choices)
    }
}

/// A choice, and why; empty where the settings say it plainly.
pub(super) fn choice(what: &'static str, value: String, why: String) -> Choice {
    Choice { what, value, why }
}
