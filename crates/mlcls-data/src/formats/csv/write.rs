//! A [`Dataset`] to one table.

use std::path::Path;

use ::csv::WriterBuilder;

use crate::dataset::{Dataset, LabelState};
use crate::error::{Error, some_of};
use crate::formats::write::{WriteFormat, Writer, path_under, write_at_once};

/// `labels.csv` under `root`: the columns `id`, `image` (the path from `root`) and `split`, then one per label
/// with 1 (present), 0 (absent) or nothing (unknown). All states, names and orders are kept; cells are quoted
/// where they hold a comma, a quote or a line end.
pub(in crate::formats) const WRITER: Writer =
    Writer { format: WriteFormat::Csv, image: |split, name| format!("images/{split}/{name}"), write };

fn write(dataset: &Dataset, root: &Path) -> Result<Vec<String>, Error> {
    let file = root.join("labels.csv");
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    let in_memory = |error: ::csv::Error| Error::Write { path: file.clone(), source: error.into() };
    let labels = dataset.labels.iter().map(String::as_str);
    writer.write_record(["id", "image", "split"].into_iter().chain(labels)).map_err(in_memory)?;
    for split in &dataset.splits {
        for item in &split.items {
            let path = path_under(&item.image, root).ok_or_else(|| Error::Field {
                file: file.clone(),
                field: format!("image of item \"{}\"", item.id),
                problem: format!("{} does not lie under {}", item.image.display(), root.display()),
            })?;
            let states = item.states.iter().map(|state| match state {
                LabelState::Present => "1",
                LabelState::Absent => "0",
                LabelState::Unknown => "",
            });
            let row = [item.id.as_str(), path.as_str(), split.name.as_str()];
            writer.write_record(row.into_iter().chain(states)).map_err(in_memory)?;
        }
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::Write { path: file.clone(), source: error.into_error() })?;
    // Every cell came from a string.
    write_at_once(&file, &String::from_utf8_lossy(&bytes))?;
    let empty: Vec<&String> = dataset.splits.iter().filter(|s| s.items.is_empty()).map(|s| &s.name).collect();
    Ok(match empty.is_empty() {
        true => Vec::new(),
        false => vec![format!("splits without images leave no trace in a table: {}", some_of(&empty))],
    })
}
