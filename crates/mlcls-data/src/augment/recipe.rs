//! A list of augmentations, as a configuration file spells it.

use std::fmt;

use rand::{Rng, RngExt};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{AugMix, CropStyle, RandomCrop, flip_horizontal, rotate};
use crate::image::{Resize, Rgb, Window, resize_into};
use crate::loader::SourceSize;

/// One augmentation and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Augment {
    /// A random window, resized to the model's input: see [`RandomCrop`].
    RandomCrop {
        /// How the window is drawn.
        style: CropStyle,
        /// Least and greatest area as parts of the image, `0 < least <= greatest <= 1`. Default 0.08 and 1.
        #[serde(default = "default_area")]
        area: [f64; 2],
    },
    /// Mirrors left to right.
    Flip {
        /// How often, 0 to 1.
        probability: f64,
    },
    /// See [`AugMix`].
    #[serde(rename = "augmix")]
    AugMix {
        /// The greatest level of an operation, 0 to 10.
        magnitude: f64,
        /// The number of chains, 1 to 16.
        width: usize,
    },
    /// Turns by a whole number of degrees, drawn uniformly: nearest pixel, black corners.
    Rotate {
        /// How often, 0 to 1.
        probability: f64,
        /// The greatest angle to either side, 0 to 89.
        degrees: u32,
    },
}

fn default_area() -> [f64; 2] {
    [0.08, 1.0]
}

/// Augmentations in the order of their use, each with settings within their range.
///
/// In a file it is the name of a preset or a list:
///
/// ```
/// use mlcls_data::AugmentRecipe;
///
/// let named: AugmentRecipe = serde_json::from_str(r#""plateau""#)?;
/// let listed: AugmentRecipe = serde_json::from_str(
///     r#"[{"op": "random_crop", "style": "efficientnet"}, {"op": "flip", "probability": 0.5}]"#,
/// )?;
/// assert_eq!(named, listed);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AugmentRecipe(Vec<Augment>);

/// A name that is no preset of [`AugmentRecipe`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no augmentation preset '{name}'; did you mean '{nearest}'? (presets: {})", AugmentRecipe::PRESETS.join(", "))]
pub struct UnknownPreset {
    /// The name that was asked for.
    pub name: String,
    /// The preset spelt most like it.
    pub nearest: &'static str,
}

/// A setting of an augmentation that is out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("augmentation {position} ({op}): {setting} is {found}, expected {expected}")]
pub struct InvalidRecipe {
    /// The place in the list, from 1.
    pub position: usize,
    /// The augmentation.
    pub op: &'static str,
    /// The setting.
    pub setting: &'static str,
    /// Its value.
    pub found: String,
    /// What it may be.
    pub expected: &'static str,
}

impl AugmentRecipe {
    /// The names that [`AugmentRecipe::preset`] knows.
    pub const PRESETS: [&'static str; 4] = ["none", "table", "plateau", "crop_flip"];

    /// A recipe from its parts.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(augments: Vec<Augment>) -> Result<Self, InvalidRecipe> {
        for (i, augment) in augments.iter().enumerate() {
            augment.check().map_err(|(op, setting, found, expected)| InvalidRecipe {
                position: i + 1,
                op,
                setting,
                found,
                expected,
            })?;
        }
        Ok(Self(augments))
    }

    /// A recipe by name.
    ///
    /// | name | what it does |
    /// |---|---|
    /// | `none` | nothing |
    /// | `table` | flip 0.5, AugMix m5 w3, rotation by up to 10 degrees 0.35: OTX when its published table was made |
    /// | `plateau` | EfficientNet-style random crop, flip 0.5: OTX 1.4 to 1.6 |
    /// | `crop_flip` | torchvision's random resized crop, flip 0.5 |
    ///
    /// # Errors
    /// The nearest name, where there is no such preset.
    pub fn preset(name: &str) -> Result<Self, UnknownPreset> {
        let crop = |style| Augment::RandomCrop { style, area: default_area() };
        let flip = Augment::Flip { probability: 0.5 };
        let augments = match name {
            "none" => vec![],
            "table" => vec![
                flip,
                Augment::AugMix { magnitude: 5.0, width: 3 },
                Augment::Rotate { probability: 0.35, degrees: 10 },
            ],
            "plateau" => vec![crop(CropStyle::Efficientnet), flip],
            "crop_flip" => vec![crop(CropStyle::Torchvision), flip],
            _ => {
                let distance = |preset: &&str| strsim::damerau_levenshtein(name, preset);
                let nearest = Self::PRESETS.into_iter().min_by_key(distance).unwrap_or("none");
                return Err(UnknownPreset { name: name.to_owned(), nearest });
            }
        };
        Ok(Self(augments))
    }

    /// The augmentations, first to last.
    pub fn augments(&self) -> &[Augment] {
        &self.0
    }

    /// What the recipe's authors crop from: the squashed image (OTX), except that torchvision's crop takes the
    /// original.
    pub fn default_source(&self) -> SourceSize {
        let torchvision =
            |a: &Augment| matches!(a, Augment::RandomCrop { style: CropStyle::Torchvision, .. });
        if self.0.iter().any(torchvision) { SourceSize::Original } else { SourceSize::Squash }
    }

    /// A new image of `size` x `size` pixels: the source augmented with parameters from `rng`.
    ///
    /// A random crop resizes its window to this size. The first of any other kind, or the end of the list, finds
    /// the whole image resized to it.
    pub fn apply(&self, source: &Rgb, size: u32, method: Resize, rng: &mut impl Rng) -> Rgb {
        let window = self.first_crop(size).map_or(source.window(), |crop| crop.draw(source, rng));
        self.apply_to(source, window, size, method, rng)
    }

    /// The crop that the list begins with, if it begins with one.
    pub(crate) fn first_crop(&self, size: u32) -> Option<RandomCrop> {
        self.0.first().and_then(|first| first.crop(size))
    }

    /// [`apply`](Self::apply) from where the window of the first crop, or the whole image, is known.
    pub(crate) fn apply_to(
        &self,
        source: &Rgb,
        window: Window,
        size: u32,
        method: Resize,
        rng: &mut impl Rng,
    ) -> Rgb {
        let resized = |image: &Rgb, window: Window| {
            let mut out = Rgb::black(size, size);
            resize_into(image, window, out.width(), out.height(), method, out.data_mut());
            out
        };
        let mut image = resized(source, window);
        for augment in self.0.iter().skip(usize::from(self.first_crop(size).is_some())) {
            match augment.crop(size) {
                Some(crop) => image = resized(&image, crop.draw(&image, rng)),
                None => augment.apply_in_place(&mut image, rng),
            }
        }
        image
    }
}

impl Augment {
    fn crop(&self, size: u32) -> Option<RandomCrop> {
        match *self {
            Self::RandomCrop { style, area } => Some(RandomCrop { style, area, size }),
            _ => None,
        }
    }

    /// What keeps the size. A random crop does not, and is left to [`AugmentRecipe::apply`].
    fn apply_in_place(&self, image: &mut Rgb, rng: &mut impl Rng) {
        match *self {
            Self::RandomCrop { .. } => {}
            Self::Flip { probability } => {
                if rng.random::<f64>() < probability {
                    flip_horizontal(image);
                }
            }
            Self::AugMix { magnitude, width } => AugMix { magnitude, width }.draw(rng).apply(image),
            Self::Rotate { probability, degrees } => {
                let degrees = degrees as i32;
                if rng.random::<f64>() < probability {
                    *image = rotate(image, f64::from(rng.random_range(-degrees..=degrees)));
                }
            }
        }
    }

    /// The first setting out of range: name of the augmentation and the setting, value, what it may be.
    fn check(&self) -> Result<(), (&'static str, &'static str, String, &'static str)> {
        let probable = |op, p: f64| {
            let ok = (0.0..=1.0).contains(&p);
            if ok { Ok(()) } else { Err((op, "probability", p.to_string(), "0 to 1")) }
        };
        match *self {
            Self::RandomCrop { area: [least, greatest], .. } => {
                let ok = 0.0 < least && least <= greatest && greatest <= 1.0;
                let found = || format!("[{least}, {greatest}]");
                let expected = "[least, greatest] with 0 < least <= greatest <= 1";
                if ok { Ok(()) } else { Err(("random_crop", "area", found(), expected)) }
            }
            Self::Flip { probability } => probable("flip", probability),
            Self::AugMix { magnitude, .. } if !(0.0..=10.0).contains(&magnitude) => {
                Err(("augmix", "magnitude", magnitude.to_string(), "0 to 10"))
            }
            Self::AugMix { width, .. } if !(1..=16).contains(&width) => {
                Err(("augmix", "width", width.to_string(), "1 to 16"))
            }
            Self::AugMix { .. } => Ok(()),
            Self::Rotate { degrees, .. } if degrees > 89 => {
                Err(("rotate", "degrees", degrees.to_string(), "0 to 89"))
            }
            Self::Rotate { probability, .. } => probable("rotate", probability),
        }
    }
}

impl<'de> Deserialize<'de> for AugmentRecipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrList;

        impl<'de> Visitor<'de> for NameOrList {
            type Value = AugmentRecipe;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an augmentation preset or a list of augmentations")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<AugmentRecipe, E> {
                AugmentRecipe::preset(name).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<AugmentRecipe, A::Error> {
                let augments = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                AugmentRecipe::new(augments).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(NameOrList)
    }
}
