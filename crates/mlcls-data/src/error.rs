//! What can go wrong when a data set is read, checked or written, and where.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::image_name::is_image_name;

/// A data set that cannot be used. The message names the place, what was found, what was expected and, where
/// there is one, the nearest match.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing lies at the path.
    #[error("{}: no such {what}{}", path.display(), did_you_mean(nearest.as_deref()))]
    Missing {
        /// The path.
        path: PathBuf,
        /// What was expected there: a file, a folder, or either.
        what: &'static str,
        /// The most similar name beside it.
        nearest: Option<String>,
    },
    /// The folder holds no data set of a known format.
    #[error("{}: no data set here: {found}.{advice}\nExpected one of:{}", root.display(),
        expected.iter().map(|layout| format!("\n  {layout}")).collect::<String>())]
    NotADataset {
        /// The folder.
        root: PathBuf,
        /// What it holds.
        found: String,
        /// The folders and files that each format is known by.
        expected: Vec<String>,
        /// What to do next, from a look around; a sentence after a space, or nothing.
        advice: String,
    },
    /// The folder holds several data sets.
    #[error("{}: several data sets lie here ({}); name one of them", root.display(), some_of(found))]
    SeveralDatasets {
        /// The folder.
        root: PathBuf,
        /// The folders in it that are data sets.
        found: Vec<String>,
    },
    /// The folder holds the annotations of several years of COCO, which split the same images in other ways.
    #[error("{}: several data sets lie here (COCO {}): keep the annotations of one year in it and move the others \
        elsewhere", root.display(), years.join(", COCO "))]
    SeveralYears {
        /// The folder.
        root: PathBuf,
        /// The years in the names of the annotation files.
        years: Vec<String>,
    },
    /// A file or folder could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file breaks the rules of its language, or a value in it has the wrong type.
    #[error("{}:{line}:{column}: {problem}", file.display())]
    Malformed {
        /// The annotation file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1: in bytes for JSON, in characters for XML and lists, in cells for tables.
        column: usize,
        /// What was found and what was expected.
        problem: String,
    },
    /// A value is of the right type and still wrong.
    #[error("{}: {field}: {problem}", file.display())]
    Field {
        /// The annotation file.
        file: PathBuf,
        /// The path to the value, with the id of the item it belongs to.
        field: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// An annotation names a label by a number that no label has.
    #[error(
        "{}: {field}: label id {id} is out of range: the file lists {labels} labels, so ids go from 0 to {}",
        file.display(), labels.saturating_sub(1)
    )]
    LabelIdOutOfRange {
        /// The annotation file.
        file: PathBuf,
        /// The path to the value, with the id of the item it belongs to.
        field: String,
        /// The number found.
        id: String,
        /// How many labels the file lists; at least 1.
        labels: usize,
    },
    /// A label is named that is not in the list of labels.
    #[error("{}: {field}: there is no label `{label}`{}", file.display(), did_you_mean(nearest.as_deref()))]
    UnknownLabel {
        /// The annotation file.
        file: PathBuf,
        /// The path to the value, with the id of the item it belongs to.
        field: String,
        /// The name found.
        label: String,
        /// The most similar label.
        nearest: Option<String>,
    },
    /// Two splits list different labels, or the same in another order, so a label id means two things.
    #[error("{} and {} list different labels: {difference}", first.display(), second.display())]
    LabelsDiffer {
        /// The annotation file that was read first.
        first: PathBuf,
        /// The annotation file that differs from it.
        second: PathBuf,
        /// What differs.
        difference: String,
    },
    /// Several items of one split have the same id.
    #[error("{}: {} listed more than once: {}; ids must be unique in a split", file.display(),
        count(ids.len(), "id is", "ids are"), some_of(ids))]
    DuplicateIds {
        /// The annotation file or split list.
        file: PathBuf,
        /// Every id that occurs more than once.
        ids: Vec<String>,
    },
    /// Two files hold the same split, as `val.json` and `valid.json` do.
    #[error("{} and {} are both the split `{split}`; keep one of them", first.display(), second.display())]
    SplitTwice {
        /// The name of the split.
        split: String,
        /// One file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// A split without items.
    #[error("{}: no items; remove it, or add items to it", file.display())]
    EmptySplit {
        /// The annotation file or split list.
        file: PathBuf,
    },
    /// The data set has no split of this name.
    #[error("{}: no split `{split}`; the splits here are {}{}", root.display(), some_of(splits),
        did_you_mean(nearest.as_deref()))]
    NoSuchSplit {
        /// Where the data set lies.
        root: PathBuf,
        /// The name asked for.
        split: String,
        /// The names there are.
        splits: Vec<String>,
        /// The most similar of them.
        nearest: Option<String>,
    },
    /// Items that a split lists have no annotation.
    #[error("{}: {} of `{}` without an annotation here: {}{}", place.display(),
        count(ids.len(), "item", "items"), list.display(), some_of(ids), advice_on_ids(ids))]
    MissingAnnotations {
        /// The folder or file that should hold them.
        place: PathBuf,
        /// The list that names the items.
        list: PathBuf,
        /// All ids without an annotation.
        ids: Vec<String>,
    },
}

impl Error {
    /// For `map_err` on reads of `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    /// For `map_err` on writes of `path`.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}

/// The candidate that most resembles `name`, if one is close enough to be a slip of the pen: upper and lower
/// case aside, at most a third of the letters differ.
pub(crate) fn nearest<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> Option<String> {
    let lower = name.to_lowercase();
    let limit = lower.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.as_ref().to_lowercase()), c))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c.as_ref().to_owned())
}

/// The first names of a list in backticks, and how many more there are.
pub(crate) fn some_of(names: &[impl Display]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|n| shown(&n.to_string())).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

/// A text from a file in backticks, cut off where it is long.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}...`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// `1 item` or `3 items`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// What is most likely wrong with ids that nothing is annotated for, if they look it.
fn advice_on_ids(ids: &[String]) -> &'static str {
    if ids.iter().all(|id| is_image_name(id)) {
        "; the list should name images without their ending"
    } else if ids.iter().all(|id| id.contains(char::is_whitespace)) {
        "; the list should have nothing but an id in each line"
    } else {
        ""
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_nothing_else() {
        let labels = ["horse", "house", "tvmonitor"];
        assert_eq!(nearest("hrose", labels).as_deref(), Some("horse"));
        assert_eq!(nearest("TvMonitor", labels).as_deref(), Some("tvmonitor"));
        assert_eq!(nearest("aeroplane", labels), None);
        assert_eq!(nearest("", labels), None);
    }

    #[test]
    fn long_lists_are_cut_with_a_count() {
        assert_eq!(some_of(&["a", "b"]), "`a`, `b`");
        assert!(some_of(&[0; 11]).ends_with("`0` and 3 more"));
    }
}
