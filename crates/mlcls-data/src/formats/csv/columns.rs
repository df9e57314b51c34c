//! Which column of a table is what, by its name, its place and what its cells hold.

use std::collections::BTreeSet;
use std::path::Path;

use super::state::state;
use super::table::Table;
use crate::error::{Error, nearest, shown, some_of};
use crate::formats::usual_split;
use crate::image_name::is_image_name;

/// Names of a column of image paths.
const PATHS: &[&str] = &[
    "path",
    "image",
    "image_path",
    "img",
    "img_path",
    "filename",
    "file_name",
    "file",
    "image_name",
    "filepath",
    "file_path",
];
const IDS: &[&str] = &["id", "image_id", "img_id"];
const SPLITS: &[&str] = &["split", "subset", "set", "fold", "phase", "partition", "usage"];
/// Names of a column that holds the names of labels.
const LISTS: &[&str] = &["labels", "label", "tags", "tag", "classes", "class", "categories", "category"];

/// The columns of one table.
///
/// - Of each kind (path, id, split) the first column counts, so that later columns of such a name are labels.
/// - Without a path column, the id is the path.
/// - An id column stands before all labels.
/// - A column `split` before all labels may hold any names; elsewhere, or under another name, it is the split
///   only if all its cells are train, val or test in one of their spellings.
/// - A first column without a name (the index that pandas writes) and empty columns without a name are
///   passed over.
pub(super) struct Columns {
    pub path: usize,
    pub id: Option<usize>,
    pub split: Option<usize>,
    /// All others.
    pub others: Vec<Other>,
    /// Whether a first column without a name was passed over.
    pub index: bool,
    /// How many rows there are.
    pub rows: usize,
}

/// A column of labels, or what may be one.
pub(super) struct Other {
    pub column: usize,
    /// Whether each cell is the state of one label.
    pub states: bool,
    /// The different cells, where the name is that of a list of labels.
    pub list: Option<BTreeSet<String>>,
}

impl Columns {
    /// Looks at all cells of a table.
    ///
    /// # Errors
    /// [`Error::Malformed`] where there are no paths, where a column with content has no name, and for broken
    /// rows.
    pub fn find(file: &Path, table: &Table) -> Result<Self, Error> {
        let names: Vec<String> = table.header.iter().map(plain).collect();
        let first = |of: &[&str]| names.iter().position(|name| of.contains(&name.as_str()));
        let path = first(PATHS).or_else(|| first(IDS)).ok_or_else(|| no_paths(file, table, &names))?;
        let special = |name: &&String| [PATHS, IDS, SPLITS].concat().contains(&name.as_str());
        let leading = names.iter().take_while(|name| name.is_empty() || special(name)).count();
        let id = first(IDS).filter(|id| *id < leading && *id != path);
        let split = first(&["split"]).filter(|split| *split < leading);
        let is_fixed = |i: usize| i == path || Some(i) == id || Some(i) == split;

        let columns = names.len();
        let is_list = |i: usize| LISTS.contains(&names[i].as_str());
        let mut states = vec![true; columns];
        let mut filled = vec![false; columns];
        let mut usual_splits: Vec<bool> =
            names.iter().map(|name| split.is_none() && SPLITS.contains(&name.as_str())).collect();
        let mut lists: Vec<(usize, BTreeSet<String>)> =
            (0..columns).filter(|i| is_list(*i) && !is_fixed(*i)).map(|i| (i, BTreeSet::new())).collect();
        let mut rows = 0;
        for row in table.rows() {
            let row = row?;
            rows += 1;
            for i in 0..columns {
                let cell = table.cell(&row, i);
                if names[i].is_empty() && i > 0 && !cell.is_empty() {
                    let problem = format!("column {} holds {} and has no name", i + 1, shown(cell));
                    return Err(table.malformed(&row, i, problem));
                }
                states[i] = states[i] && state(cell).is_some();
                filled[i] |= !cell.is_empty();
                usual_splits[i] = usual_splits[i] && usual_split(cell.trim()).is_some();
            }
            for (i, cells) in &mut lists {
                let cell = table.cell(&row, *i);
                if !cells.contains(cell) {
                    cells.insert(cell.to_owned());
                }
            }
        }
        let split = split.or_else(|| (0..columns).find(|i| usual_splits[*i] && filled[*i] && !is_fixed(*i)));
        let is_fixed = |i: usize| is_fixed(i) || Some(i) == split;
        let mut lists = lists.into_iter().peekable();
        let others = (0..columns)
            .filter(|i| !is_fixed(*i) && !names[*i].is_empty())
            .map(|column| {
                while lists.next_if(|(i, _)| *i < column).is_some() {}
                let list = lists.next_if(|(i, _)| *i == column).map(|(_, cells)| cells);
                Other { column, states: states[column], list }
            })
            .collect();
        let index = names[0].is_empty() && filled[0];
        Ok(Self { path, id, split, others, index, rows })
    }
}

/// A table with the delimiter by which its header has a column of paths: comma, tab or semicolon.
pub(super) fn open<'a>(file: &'a Path, text: &'a str) -> Result<Table<'a>, Error> {
    const DELIMITERS: [u8; 3] = [b',', b'\t', b';'];
    for of in [PATHS, IDS] {
        for delimiter in DELIMITERS {
            if let Ok(table) = Table::new(file, text, delimiter)
                && table.header.iter().any(|name| of.contains(&plain(name).as_str()))
            {
                return Ok(table);
            }
        }
    }
    // The most frequent one, for the message on what is missing.
    let header = text.lines().next().unwrap_or_default().as_bytes();
    let frequent = |delimiter: &u8| header.iter().filter(|byte| *byte == delimiter).count();
    Table::new(file, text, DELIMITERS.into_iter().rev().max_by_key(frequent).unwrap_or(b','))
}

/// Whether a table with this header can be taken for a data set without being named.
pub(super) fn promises_labels(table: &Table) -> bool {
    let has = |of: &[&str]| table.header.iter().any(|name| of.contains(&plain(name).as_str()));
    has(PATHS) || has(IDS) && has(LISTS)
}

/// A name as it is compared: `Image Name` is `image_name`.
pub(super) fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

fn no_paths(file: &Path, table: &Table, names: &[String]) -> Error {
    let malformed = |column, problem| Error::Malformed { file: file.to_owned(), line: 1, column, problem };
    if let Some(at) = table.header.iter().position(|name| is_image_name(name.trim())) {
        let problem = format!(
            "{} looks like an image, and a header is expected here; put a line such as `image,cat,dog` before it",
            shown(&table.header[at])
        );
        return malformed(at + 1, problem);
    }
    let header: Vec<&str> = table.header.iter().collect();
    let close = ["image", "filename", "image_path"].iter().find_map(|path| nearest(path, names));
    let rename = close.map(|close| format!("; rename `{close}` if it holds them")).unwrap_or_default();
    let problem = format!(
        "no column of image paths: the header has {}; expected one called {}{rename}",
        some_of(&header),
        some_of(PATHS)
    );
    malformed(1, problem)
}
