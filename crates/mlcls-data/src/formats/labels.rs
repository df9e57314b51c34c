//! Label lists of several files that should be one.

use std::collections::HashSet;

use crate::error::some_of;

/// How a second list of labels differs from the first.
pub(super) fn difference(first: &[String], second: &[String]) -> String {
    let only_in = |a: &[String], b: &[String]| -> Vec<String> {
        let b: HashSet<&String> = b.iter().collect();
        a.iter().filter(|label| !b.contains(label)).cloned().collect()
    };
    let (gone, new) = (only_in(first, second), only_in(second, first));
    if gone.is_empty() && new.is_empty() {
        return match first.iter().zip(second).position(|(a, b)| a != b) {
            Some(at) => {
                format!("the same in another order (id {at} is `{}` and `{}`)", first[at], second[at])
            }
            None => format!("the same, and some more than once ({} and {} names)", first.len(), second.len()),
        };
    }
    let mut parts = Vec::new();
    if !gone.is_empty() {
        parts.push(format!("only the first has {}", some_of(&gone)));
    }
    if !new.is_empty() {
        parts.push(format!("only the second has {}", some_of(&new)));
    }
    parts.join(", ")
}
