//! What augmentation starts from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::image::{Resize, Rgb, resize};

/// The size of the copy of an image that augmentation starts from, and that the cache keeps. It changes what a
/// random crop sees, so it counts whether or not the cache has room.
///
/// JPEGs of four times that size or more are decoded at a smaller scale ([`decode_for`](crate::decode_for)), except
/// for `original`.
///
/// In a file: `squash`, `original`, or a number for the short side. Images are only ever made smaller here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SourceSize {
    /// The model's input size on both sides, the aspect ratio lost; images with fewer pixels stay as they are.
    /// OTX does this: cheapest, and a random crop then magnifies a small picture.
    #[default]
    Squash,
    /// This many pixels on the shorter side, the aspect ratio kept.
    ShortSide(u32),
    /// As in the file.
    Original,
}

impl SourceSize {
    /// The shorter side that the copy may have, for a model input of `size` pixels.
    pub(super) fn side(self, size: u32) -> Option<u32> {
        match self {
            Self::Squash => Some(size),
            Self::ShortSide(side) => Some(side),
            Self::Original => None,
        }
    }

    /// The copy of `image` for a model input of `size` pixels.
    pub(super) fn reduce(self, image: Rgb, size: u32, method: Resize) -> Rgb {
        let sides = (image.width(), image.height());
        match self.sides(sides, size) {
            same if same == sides => image,
            (width, height) => resize(&image, width, height, method),
        }
    }

    /// Width and height of the copy of an image with these sides.
    pub(super) fn sides(self, (width, height): (u32, u32), size: u32) -> (u32, u32) {
        let short = width.min(height);
        match self {
            Self::Squash if u64::from(width) * u64::from(height) > u64::from(size) * u64::from(size) => {
                (size, size)
            }
            Self::ShortSide(target) if short > target => {
                let scaled = |side: u32| {
                    (f64::from(side) * f64::from(target) / f64::from(short)).round_ties_even() as u32
                };
                (scaled(width), scaled(height))
            }
            _ => (width, height),
        }
    }
}

/// A text that names no [`SourceSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no source size: expected squash, original, or the short side in pixels (1 or more)")]
pub struct InvalidSourceSize(String);

impl FromStr for SourceSize {
    type Err = InvalidSourceSize;

    fn from_str(text: &str) -> Result<Self, InvalidSourceSize> {
        match text {
            "squash" => Ok(Self::Squash),
            "original" => Ok(Self::Original),
            number => match number.parse() {
                Ok(side) if side > 0 => Ok(Self::ShortSide(side)),
                _ => Err(InvalidSourceSize(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for SourceSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Squash => f.write_str("squash"),
            Self::ShortSide(side) => write!(f, "{side}"),
            Self::Original => f.write_str("original"),
        }
    }
}

impl Serialize for SourceSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ShortSide(side) => serializer.serialize_u32(*side),
            named => serializer.collect_str(named),
        }
    }
}

impl<'de> Deserialize<'de> for SourceSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrSide;

        impl serde::de::Visitor<'_> for NameOrSide {
            type Value = SourceSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("squash, original, or the short side in pixels")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SourceSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, side: u64) -> Result<SourceSize, E> {
                side.to_string().parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(NameOrSide)
    }
}
