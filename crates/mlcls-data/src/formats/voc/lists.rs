//! The text files of `ImageSets/Main`: which ids a split has, and the state of one label for each id.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::super::locate::missing;
use super::super::text::{lines, read_text};
use super::super::{files_with_extension, split_name, stays_inside, usual_split};
use crate::error::{Error, some_of};

/// The list of one split.
pub(super) struct SplitList {
    /// `train`, `val` or `test`.
    pub name: String,
    pub file: PathBuf,
    /// Its name on disk, by which the files per label are named too.
    pub stem: String,
    /// The labels that have a file `<label>_<stem>.txt`.
    pub labels: BTreeSet<String>,
}

impl SplitList {
    /// The ids of the split, in order.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the line of an id that is not a plain name.
    pub fn ids(&self) -> Result<Vec<String>, Error> {
        let text = read_text(&self.file)?;
        lines(&text)
            .map(|(line, id)| match stays_inside(id) {
                true => Ok(id.to_owned()),
                false => {
                    let problem = format!("`{id}` is not the name of an image without folder and ending");
                    Err(Error::Malformed { file: self.file.clone(), line, column: 1, problem })
                }
            })
            .collect()
    }

    /// The file of a label.
    pub fn label_file(&self, label: &str) -> PathBuf {
        self.file.with_file_name(format!("{label}_{}.txt", self.stem))
    }
}

/// The splits of a folder `ImageSets/Main`, and notes on the lists left out.
///
/// # Errors
/// [`Error::Missing`] where there is none, [`Error::SplitTwice`] where two lists are the same split.
pub(super) fn splits(main: &Path) -> Result<(Vec<SplitList>, Vec<String>), Error> {
    let files = files_with_extension(main, "txt")?;
    let both = files.iter().find(|(stem, _)| stem.eq_ignore_ascii_case("trainval"));
    let mut used: Vec<&(String, PathBuf)> =
        files.iter().filter(|(stem, _)| usual_split(stem).is_some()).collect();
    let mut notes = Vec::new();
    if let Some(both) = both {
        let has = |split: &str| used.iter().any(|(stem, _)| split_name(stem) == split);
        if has("train") && has("val") {
            notes.push("trainval.txt is left out: it repeats train and val".to_owned());
        } else if let Some(there) = ["train", "val"].into_iter().find(|split| has(split)) {
            let missing = if there == "train" { "val" } else { "train" };
            notes.push(format!(
                "warning: trainval.txt is left out, as there is a {there}.txt; without a {missing}.txt, what else it \
                 lists is in no split"
            ));
        } else {
            notes.push("trainval.txt is read as train: there is no train.txt and no val.txt".to_owned());
            used.push(both);
        }
    }
    if used.is_empty() {
        return Err(missing(&main.join("train.txt"), "file"));
    }
    // `<label>_<list>.txt`, for the lists in use and for the one that repeats them.
    let listed: Vec<&str> = used.iter().copied().chain(both).map(|(stem, _)| stem.as_str()).collect();
    let label_of = |stem: &str, list: &str| {
        Some(stem.strip_suffix(list)?.strip_suffix('_')?.to_owned()).filter(|label| !label.is_empty())
    };
    let others: Vec<&String> = files
        .iter()
        .map(|(stem, _)| stem)
        .filter(|stem| !listed.contains(&stem.as_str()))
        .filter(|stem| !listed.iter().any(|list| label_of(stem, list).is_some()))
        .collect();
    if !others.is_empty() {
        notes.push(format!("lists in ImageSets/Main that are left out: {}", some_of(&others)));
    }
    let mut lists: Vec<SplitList> = Vec::new();
    for (stem, file) in used {
        let trainval = stem.eq_ignore_ascii_case("trainval");
        let name = if trainval { "train".to_owned() } else { split_name(stem) };
        if let Some(first) = lists.iter().find(|list| list.name == name) {
            return Err(Error::SplitTwice { split: name, first: first.file.clone(), second: file.clone() });
        }
        let labels = files.iter().filter_map(|(other, _)| label_of(other, stem)).collect();
        lists.push(SplitList { name, file: file.clone(), stem: stem.clone(), labels });
    }
    Ok((lists, notes))
}

/// What a file per label says about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// `1`
    Positive,
    /// `-1`
    Negative,
    /// `0`: every object of the label is difficult.
    Difficult,
}

/// The marks of one label by id, from lines `<id> <1, 0 or -1>`.
///
/// # Errors
/// [`Error::Malformed`] with the line.
pub(super) fn marks(file: &Path) -> Result<HashMap<String, Mark>, Error> {
    let text = read_text(file)?;
    let mut marks = HashMap::new();
    for (line, content) in lines(&text) {
        let malformed = |problem| Error::Malformed { file: file.to_owned(), line, column: 1, problem };
        let parsed = content.rsplit_once(char::is_whitespace).and_then(|(id, mark)| {
            let mark = match mark {
                "1" | "+1" => Mark::Positive,
                "-1" => Mark::Negative,
                "0" => Mark::Difficult,
                _ => return None,
            };
            Some((id.trim_end(), mark))
        });
        let (id, mark) = parsed.ok_or_else(|| {
            malformed(format!("`{content}` is not an id and 1 (present), -1 (absent) or 0 (difficult)"))
        })?;
        if marks.insert(id.to_owned(), mark).is_some_and(|before| before != mark) {
            return Err(malformed(format!("`{id}` is listed before with another value")));
        }
    }
    Ok(marks)
}
