//! Roboflow's export `Multi-Class Classification`: `train|valid|test/_classes.csv` among the images.

use std::path::{Path, PathBuf};

use super::csv::{Table, cell_state};
use super::text::read_text;
use super::{ReadOptions, Reader, check_items, check_same_labels, ids_of_paths, stays_inside, usual_split};
use crate::dataset::{Dataset, Format, Item, LabelState, Split};
use crate::error::{Error, shown, some_of};

pub(super) const READER: Reader = Reader {
    format: Format::RoboflowCsv,
    layout: "train|valid|test/_classes.csv among the images",
    folders: &[],
    locate,
    read,
};

fn locate(folder: &Path) -> Vec<PathBuf> {
    if tables(folder).is_empty() { Vec::new() } else { vec![folder.to_owned()] }
}

/// The tables of the splits, each with the split, in the order of their folders' names.
fn tables(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut tables: Vec<(&str, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            Some((usual_split(entry.file_name().to_str()?)?, entry.path().join("_classes.csv")))
        })
        .filter(|(_, table)| table.is_file())
        .collect();
    tables.sort_by(|a, b| a.1.cmp(&b.1));
    tables
}

fn read(root: &Path, _options: &ReadOptions) -> Result<Dataset, Error> {
    let mut splits: Vec<Split> = Vec::new();
    let mut labels: Option<Vec<String>> = None;
    let tables = tables(root);
    for (i, (name, file)) in tables.iter().enumerate() {
        if let Some((_, first)) = tables[..i].iter().find(|(before, _)| before == name) {
            let (first, second) = (first.clone(), file.clone());
            return Err(Error::SplitTwice { split: (*name).to_owned(), first, second });
        }
        let (found, rows) = parse(file, &read_text(file)?)?;
        match &labels {
            Some(labels) => check_same_labels(&tables[0].1, labels, file, &found)?,
            None => labels = Some(found),
        }
        let folder = file.parent().unwrap_or(root);
        let ids = ids_of_paths(rows.iter().map(|(image, _)| image.as_str()));
        let items = rows.iter().zip(ids).map(|((image, states), id)| Item {
            id,
            image: folder.join(image),
            states: states.clone(),
        });
        let split = Split { name: (*name).to_owned(), items: items.collect() };
        check_items(&split, file)?;
        splits.push(split);
    }
    let labels = labels.unwrap_or_default();
    Ok(Dataset { root: root.to_owned(), format: Format::RoboflowCsv, labels, splits, notes: Vec::new() })
}

/// The labels, and each image with its states.
type Classes = (Vec<String>, Vec<(String, Vec<LabelState>)>);

/// The labels of a `_classes.csv`, and the name and states of each image.
///
/// # Errors
/// [`Error::Malformed`] where the header is another and for broken rows.
pub(super) fn parse(file: &Path, text: &str) -> Result<Classes, Error> {
    let table = Table::new(file, text, b',')?;
    let header: Vec<&str> = table.header.iter().collect();
    let malformed = |column: usize, problem| {
        Err(Error::Malformed { file: file.to_owned(), line: 1, column: column + 1, problem })
    };
    if !header[0].eq_ignore_ascii_case("filename") || header.len() < 2 {
        // The export for masks has a file of this name too, with pixel values.
        let problem = format!(
            "the columns are {}; expected `filename` and one per label: export the data set from Roboflow as \
             Multi-Class Classification",
            some_of(&header)
        );
        return malformed(0, problem);
    }
    for (column, label) in header.iter().enumerate().skip(1) {
        if label.trim().is_empty() {
            return malformed(column, "this label has no name".to_owned());
        }
    }
    let labels: Vec<String> = header[1..].iter().map(|label| (*label).to_owned()).collect();
    let mut sorted: Vec<&String> = labels.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return malformed(0, format!("the label {} has two columns", shown(pair[0])));
    }
    let mut rows = Vec::new();
    for row in table.rows() {
        let row = row?;
        let image = table.cell(&row, 0);
        if !stays_inside(image) {
            let problem = format!("{} is not the name of an image beside this file", shown(image));
            return Err(table.malformed(&row, 0, problem));
        }
        let states = (1..header.len()).map(|column| cell_state(&table, &row, column));
        rows.push((image.to_owned(), states.collect::<Result<_, _>>()?));
    }
    Ok((labels, rows))
}
