//! Tables to a [`Dataset`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::columns::{self, Columns};
use super::images;
use super::labels::{Labels, Source};
use super::table::Row;
use crate::dataset::{Dataset, Format, Item, LabelState, Split};
use crate::error::{Error, count, shown};
use crate::formats::text::read_text;
use crate::formats::{ReadOptions, check_items, ids_of_paths, is_plain_name, usual_split};

/// Reads the table `root`, or the tables of the splits in the folder `root`. `options` has nothing to say here.
pub(super) fn read(root: &Path, _options: &ReadOptions) -> Result<Dataset, Error> {
    let (folder, files) = if root.is_dir() {
        (root, super::split_tables(root))
    } else {
        let folder = root.parent().filter(|folder| !folder.as_os_str().is_empty());
        (folder.unwrap_or(Path::new(".")), vec![root.to_owned()])
    };
    check_split_tables(&files)?;
    let texts = files.iter().map(|file| read_text(file)).collect::<Result<Vec<_>, _>>()?;
    let tables: Vec<(&Path, &str)> =
        files.iter().zip(&texts).map(|(file, text)| (file.as_path(), text.as_str())).collect();
    let Parsed { labels, splits, notes } = parse(folder, &tables)?;
    let splits = splits.into_iter().map(|(split, file, records)| {
        let ids = ids_of_paths(records.iter().map(|record| record.path.as_str()));
        let items: Vec<Item> = records
            .into_par_iter()
            .zip(ids)
            .map(|(record, id)| {
                let image = images::find(&record.path, folder, &split);
                Item { id: record.id.unwrap_or(id), image, states: record.states }
            })
            .collect();
        let split = Split { name: split, items };
        check_items(&split, &file)?;
        Ok(split)
    });
    let splits = splits.collect::<Result<Vec<_>, Error>>()?;
    if splits.is_empty() {
        let file = files.into_iter().next().unwrap_or_else(|| root.to_owned());
        return Err(Error::EmptySplit { file });
    }
    Ok(Dataset { root: root.to_owned(), format: Format::Csv, labels, splits, notes })
}

/// Refuses two tables of one split, as `val.csv` and `valid.csv` are.
fn check_split_tables(files: &[PathBuf]) -> Result<(), Error> {
    let mut seen: HashMap<&str, &PathBuf> = HashMap::new();
    for file in files {
        if let Some(split) = super::stem(file).and_then(usual_split)
            && let Some(first) = seen.insert(split, file)
        {
            let (first, second) = (first.clone(), file.clone());
            return Err(Error::SplitTwice { split: split.to_owned(), first, second });
        }
    }
    Ok(())
}

/// What tables say; nothing was looked up on the disk.
pub(super) struct Parsed {
    pub labels: Vec<String>,
    /// Names as they stand there, each with the first file that has it, and its images.
    pub splits: Vec<(String, PathBuf, Vec<Record>)>,
    pub notes: Vec<String>,
}

/// One image.
pub(super) struct Record {
    pub id: Option<String>,
    /// Relative to the folder of the tables.
    pub path: String,
    pub states: Vec<LabelState>,
    /// The number of its table, and where it begins there.
    place: (usize, usize),
}

/// Reads tables, given as files in `folder` with their texts.
///
/// # Errors
/// [`Error::Malformed`] and [`Error::LabelsDiffer`]; see [`Dataset::open`] for the rules.
pub(super) fn parse(folder: &Path, tables: &[(&Path, &str)]) -> Result<Parsed, Error> {
    let mut notes = Vec::new();
    let mut sources = Vec::new();
    for (file, text) in tables {
        let table = columns::open(file, text)?;
        let columns = Columns::find(file, &table)?;
        let split = super::stem(file).and_then(usual_split).unwrap_or("all").to_owned();
        let note = columns_note(&table.header, &columns);
        if !notes.contains(&note) {
            notes.push(note);
        }
        sources.push(Source { file, table, columns, split, list: None });
    }
    let labels = Labels::find(&mut sources, &mut notes)?;
    let mut images = Images {
        folder,
        sources: &sources,
        labels: &labels,
        splits: Vec::new(),
        found: HashMap::new(),
        repeated: 0,
    };
    let mut minus_one = false;
    for (number, source) in sources.iter().enumerate() {
        for row in source.table.rows() {
            let row = row?;
            images.add(number, &row)?;
            if !labels.add_up() {
                let mut columns = source.columns.others.iter().map(|other| other.column);
                minus_one = minus_one || columns.any(|column| source.table.cell(&row, column) == "-1");
            }
        }
    }
    let mut states = images.splits.iter().flat_map(|(.., records)| records).flat_map(|record| &record.states);
    if minus_one && !states.any(|state| *state == LabelState::Absent) {
        notes.push(
            "warning: there are cells with -1 and none with 0: -1 is read as unknown; write 0 where a label is absent"
                .to_owned(),
        );
    }
    if images.repeated > 0 {
        notes.push(match labels.add_up() {
            true => {
                let rows = count(images.repeated, "row", "rows");
                format!("{rows} of an image that has one already: the labels of all its rows are joined")
            }
            false => {
                let rows =
                    count(images.repeated, "row that repeats another is", "rows that repeat others are");
                format!("{rows} left out")
            }
        });
    }
    Ok(Parsed { splits: images.splits, labels: labels.names, notes })
}

fn columns_note(header: &::csv::StringRecord, columns: &Columns) -> String {
    let name = |column: usize| shown(&header[column]);
    let mut note = format!("image paths are in the column {}", name(columns.path));
    if let Some(id) = columns.id {
        note += &format!(", ids in {}", name(id));
    }
    if let Some(split) = columns.split {
        note += &format!(", splits in {}", name(split));
    }
    if columns.index {
        note += "; the first column has no name and is passed over";
    }
    note
}

/// The images found so far.
struct Images<'a> {
    folder: &'a Path,
    sources: &'a [Source<'a>],
    labels: &'a Labels,
    splits: Vec<(String, PathBuf, Vec<Record>)>,
    /// The number of the image in its split, by the number of that and by id or path.
    found: HashMap<(usize, String), usize>,
    /// Rows of images that were there already.
    repeated: usize,
}

impl Images<'_> {
    fn add(&mut self, number: usize, row: &Row) -> Result<(), Error> {
        let Source { table, columns, split, .. } = &self.sources[number];
        let path = images::relative(table.cell(row, columns.path), self.folder)
            .map_err(|problem| table.malformed(row, columns.path, problem))?;
        let split = match columns.split {
            None => split.as_str(),
            Some(column) => {
                let name = table.cell(row, column);
                if name.trim().is_empty() || !is_plain_name(name) {
                    let name = shown(name);
                    let problem =
                        format!("{name} is no name of a split; expected train, val, test or another");
                    return Err(table.malformed(row, column, problem));
                }
                name
            }
        };
        let states = self.labels.states(&self.sources[number], row)?;
        let id = columns.id.map(|id| table.cell(row, id).to_owned());
        // Ids tell the rows of a table with a column per label apart; names of labels are joined by image.
        let key = if self.labels.add_up() { None } else { id.clone() };
        let split = self.split(split, self.sources[number].file);
        let records = &mut self.splits[split].2;
        let key = (split, key.unwrap_or_else(|| path.clone()));
        if let Some(known) = self.found.get(&key) {
            self.repeated += 1;
            let record = &mut records[*known];
            if self.labels.add_up() {
                for (state, new) in record.states.iter_mut().zip(states) {
                    *state = (*state).max(new);
                }
                return Ok(());
            }
            if record.states == states && record.path == path {
                return Ok(());
            }
            let (other, start) = record.place;
            let file = self.sources[other].file.display();
            let line = self.sources[other].table.line_at(start);
            let difference = match record.states.iter().zip(&states).position(|(a, b)| a != b) {
                Some(label) => format!("column {} says something else", shown(&self.labels.names[label])),
                None => "another path".to_owned(),
            };
            let problem = format!("{} stands in {file}:{line} too, and there {difference}", shown(&key.1));
            return Err(table.malformed(row, columns.id.unwrap_or(columns.path), problem));
        }
        self.found.insert(key, records.len());
        records.push(Record { id, path, states, place: (number, row.start()) });
        Ok(())
    }

    /// The number of a split that a table speaks of.
    fn split(&mut self, name: &str, file: &Path) -> usize {
        let name = usual_split(name.trim()).unwrap_or(name);
        self.splits.iter().position(|(known, ..)| known == name).unwrap_or_else(|| {
            self.splits.push((name.to_owned(), file.to_owned(), Vec::new()));
            self.splits.len() - 1
        })
    }
}
