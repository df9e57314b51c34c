//! Where a table says which labels an image has: a column for each, or one column of their names.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::columns::{Columns, Other, plain};
use super::state::{WORDS, state};
use super::table::{Row, Table};
use crate::dataset::LabelState;
use crate::error::{Error, count, shown, some_of};
use crate::formats::{MAX_STATES, check_same_labels};

/// A file and what was found in it.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub table: Table<'a>,
    pub columns: Columns,
    /// The split of its rows where no column says it.
    pub split: String,
    /// The column of names, where labels are read from one.
    pub list: Option<usize>,
}

/// The labels of all tables of a data set, and how a row tells theirs.
pub(super) struct Labels {
    pub names: Vec<String>,
    how: How,
}

enum How {
    /// A column per label.
    Columns,
    /// The names in one column.
    List { separator: Option<char>, numbers: HashMap<String, usize> },
}

impl Labels {
    /// Decides for all tables at once; those without any label are taken out. What was decided goes to `notes`.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::LabelsDiffer`], where the tables do not say clearly what a label is.
    pub fn find(sources: &mut Vec<Source>, notes: &mut Vec<String>) -> Result<Self, Error> {
        let mut list = None;
        for source in sources.iter() {
            list = list.or(list_column(source)?.map(|other| plain(&source.table.header[other.column])));
        }
        if let Some(name) = &list {
            for source in sources.iter_mut() {
                let header = &source.table.header;
                let mut columns = source.columns.others.iter().map(|other| other.column);
                source.list = columns.find(|column| plain(&header[*column]) == *name);
            }
        }
        let has_labels = |source: &Source| match &list {
            Some(_) => source.list.is_some(),
            None => !source.columns.others.is_empty(),
        };
        if let Some(source) = sources.first()
            && !sources.iter().any(has_labels)
        {
            let problem =
                "no column of labels: expected one per label with 1, 0 or nothing in it, or one called \
                           `labels` that holds their names"
                    .to_owned();
            return Err(header_error(source, 0, problem));
        }
        sources.retain(|source| {
            let has = has_labels(source);
            if !has {
                notes.push(format!("{} is left out: it has no labels", file_name(source.file)));
            }
            has
        });
        match list {
            Some(column) => Self::in_list(sources, &column, notes),
            None => Self::in_columns(sources, notes),
        }
    }

    fn in_columns(sources: &[Source], notes: &mut Vec<String>) -> Result<Self, Error> {
        let mut first: Option<(PathBuf, Vec<String>)> = None;
        for source in sources {
            let mut seen = HashMap::new();
            let mut names = Vec::new();
            for Other { column, .. } in &source.columns.others {
                let name = source.table.header[*column].to_owned();
                if let Some(before) = seen.insert(name.clone(), column + 1) {
                    let problem = format!("column {before} is called {} too", shown(&name));
                    return Err(header_error(source, *column, problem));
                }
                names.push(name);
            }
            match &first {
                Some((file, labels)) => check_same_labels(file, labels, source.file, &names)?,
                None => first = Some((source.file.to_owned(), names)),
            }
        }
        let (_, names) = first.unwrap_or_default();
        let noun = count(names.len(), "label", "labels");
        notes.push(format!("{noun}, a column each: {}", some_of(&names)));
        Ok(Self { names, how: How::Columns })
    }

    fn in_list(sources: &[Source], column: &str, notes: &mut Vec<String>) -> Result<Self, Error> {
        let mut cells = BTreeSet::new();
        let mut others = Vec::new();
        for source in sources {
            for other in &source.columns.others {
                match &other.list {
                    Some(found) if Some(other.column) == source.list => {
                        cells.extend(found.iter().map(|cell| cell.trim()));
                    }
                    _ => others.push(source.table.header[other.column].to_owned()),
                }
            }
        }
        cells.remove("");
        let separator = separator(&cells);
        let names: BTreeSet<&str> = cells.iter().flat_map(|cell| parts(cell, separator)).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let rows: usize = sources.iter().map(|source| source.columns.rows).sum();
        if rows.saturating_mul(names.len()) > MAX_STATES // free text taken for labels
            && let Some(source) = sources.first()
        {
            let problem = format!(
                "`{column}` holds {} different labels in {rows} rows, too many to be read; does it hold labels?",
                names.len()
            );
            return Err(header_error(source, source.list.unwrap_or_default(), problem));
        }
        let how = match separator {
            Some(' ') => {
                "separated by spaces: that gives fewer labels than taking each cell as one".to_owned()
            }
            Some(separator) => format!("separated by `{separator}`"),
            None => "one per row: no `|`, `;` or `,` separates several".to_owned(),
        };
        let noun = count(names.len(), "label", "labels");
        notes.push(format!("{noun} from the column `{column}`, {how}: {}", some_of(&names)));
        others.sort();
        others.dedup();
        if !others.is_empty() {
            let noun = if others.len() == 1 { "column is" } else { "columns are" };
            notes.push(format!("{} other {noun} passed over: {}", others.len(), some_of(&others)));
        }
        let numbers = names.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        Ok(Self { names, how: How::List { separator, numbers } })
    }

    /// Whether several rows may speak of one image, each with some of its labels.
    pub fn add_up(&self) -> bool {
        matches!(self.how, How::List { .. })
    }

    /// The states of all labels in a row.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a cell that is no state.
    pub fn states(&self, source: &Source, row: &Row) -> Result<Vec<LabelState>, Error> {
        match &self.how {
            How::Columns => {
                let others = source.columns.others.iter();
                others.map(|other| cell_state(&source.table, row, other.column)).collect()
            }
            How::List { separator, numbers } => {
                let mut states = vec![LabelState::Absent; self.names.len()];
                let column = source.list.unwrap_or_default();
                let cell = source.table.cell(row, column).trim();
                if cell.starts_with('[') && cell.ends_with(']') {
                    let problem = format!("{} is a list in brackets; write `cat|dog` instead", shown(cell));
                    return Err(source.table.malformed(row, column, problem));
                }
                for part in parts(cell, *separator) {
                    if let Some(number) = numbers.get(part) {
                        states[*number] = LabelState::Present;
                    }
                }
                Ok(states)
            }
        }
    }
}

/// The state in a cell.
///
/// # Errors
/// [`Error::Malformed`] where it is none.
pub(in crate::formats) fn cell_state(table: &Table, row: &Row, column: usize) -> Result<LabelState, Error> {
    let cell = table.cell(row, column);
    state(cell).ok_or_else(|| {
        let problem = format!(
            "column {}: {} is not the state of a label: expected {WORDS}; take out a column that is no label",
            shown(&table.header[column]),
            shown(cell)
        );
        table.malformed(row, column, problem)
    })
}

/// The column of names of a table, by its name and because its cells are more than states.
fn list_column<'s>(source: &'s Source) -> Result<Option<&'s Other>, Error> {
    let name = |other: &Other| &source.table.header[other.column];
    let is_list = |other: &&Other| other.list.is_some() && !other.states;
    let lists: Vec<&Other> = source.columns.others.iter().filter(is_list).collect();
    let Some(list) = lists.first() else { return Ok(None) };
    let states = source.columns.others.iter().find(|other| other.states);
    match (lists.get(1), states) {
        (Some(second), _) => {
            let problem = format!(
                "{} and {} both seem to hold the names of labels; take one of the columns out",
                shown(name(list)),
                shown(name(second))
            );
            Err(header_error(source, second.column, problem))
        }
        (None, Some(states)) => {
            let problem = format!(
                "{} holds the names of labels, and {} seems to be a label itself, with 1 and 0; take out the columns \
                 that are no labels",
                shown(name(list)),
                shown(name(states))
            );
            Err(header_error(source, states.column, problem))
        }
        (None, None) => Ok(Some(list)),
    }
}

/// What separates the labels in a cell: the first of `|`, `;` and `,` that stands in any cell. Spaces do where
/// none of these is found and the different words are fewer than the different cells: in `haze primary`, `haze
/// water`, `water primary`, and not in `traffic light`, `stop sign`.
fn separator(cells: &BTreeSet<&str>) -> Option<char> {
    let found = ['|', ';', ','].into_iter().find(|c| cells.iter().any(|cell| cell.contains(*c)));
    found.or_else(|| {
        let words: BTreeSet<&str> = cells.iter().flat_map(|cell| parts(cell, Some(' '))).collect();
        (words.len() < cells.len()).then_some(' ')
    })
}

fn parts(cell: &str, separator: Option<char>) -> impl Iterator<Item = &str> {
    let split = cell.split(move |c| Some(c) == separator);
    split.map(str::trim).filter(|part| !part.is_empty())
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn header_error(source: &Source, column: usize, problem: String) -> Error {
    Error::Malformed { file: source.file.to_owned(), line: 1, column: column + 1, problem }
}
