//! The ids of images and categories: numbers, or whatever else people number them with.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// An id: a whole number, or a text. `"12"` and `12.0` are the number 12, as some exporters write them.
///
/// Numbers come before texts, each in its order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Id {
    Number(i64),
    /// A number above `i64::MAX`, as hashes are.
    Large(u64),
    Text(Box<str>),
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::Large(number), Self::Number)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Large(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id, a whole number or a text")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Id, E> {
        // Above this, neighbouring whole numbers are one and the same f64.
        const EXACT: f64 = (1_u64 << 53) as f64;
        if number.fract() == 0.0 && number.abs() <= EXACT {
            return Ok(Id::Number(number as i64));
        }
        Err(E::invalid_type(serde::de::Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        let number = text.parse().map(Id::Number).or_else(|_| text.parse::<u64>().map(Id::from));
        Ok(number.unwrap_or_else(|_| Id::Text(text.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Result<Id, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn one_number_in_three_spellings_is_one_id() {
        for same in ["12", "\"12\"", "12.0", "1.2e1"] {
            assert_eq!(id(same), Ok(Id::Number(12)), "{same}");
        }
        assert_eq!(id("-7"), Ok(Id::Number(-7)));
        assert_eq!(id("18446744073709551615"), Ok(Id::Large(u64::MAX)));
        assert_eq!(id("\"18446744073709551615\""), Ok(Id::Large(u64::MAX)));
        assert_eq!(id("\"a7\""), Ok(Id::Text("a7".into())));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for (json, found) in [
            ("1.5", "floating point `1.5`"),
            ("18446744073709551616", "floating point `1.8446744073709552e+19`"),
            ("null", "null"),
            ("[1]", "sequence"),
            ("true", "boolean `true`"),
        ] {
            let error = id(json).unwrap_err();
            assert!(
                error.contains(&format!("invalid type: {found}, expected an id, a whole number or a text")),
                "{error}"
            );
        }
    }

    #[test]
    fn numbers_are_in_order_and_before_texts() {
        let ordered: Vec<Id> =
            ["-1", "2", "10", "9223372036854775808", "18446744073709551615", "\"a\"", "\"b\""]
                .map(|json| id(json).unwrap())
                .into();
        assert!(ordered.is_sorted());
    }
}
