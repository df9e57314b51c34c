//! Annotation files to a [`Dataset`].

use std::collections::HashMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use super::super::labels::difference;
use super::super::{ReadOptions, check_items, check_states, rank, stays_inside};
use super::id::Id;
use super::layout::{self, Source};
use super::parse::{Annotations, Category, Shown, parse};
use crate::dataset::{Dataset, Format, Item, LabelState, Split};
use crate::error::{Error, some_of};

/// Images by which the folder of a split is found.
const PROBED: usize = 16;

/// Reads the data set in a folder or file; see [`Dataset::open`] for the rules.
pub(super) fn read(root: &Path, options: &ReadOptions) -> Result<Dataset, Error> {
    let files = layout::find(root);
    if files.years.len() > 1 {
        return Err(Error::SeveralYears { root: root.to_owned(), years: files.years.into_iter().collect() });
    }
    let mut dataset = read_all(root, Format::Coco, files.sources, options)?;
    if !files.passed_over.is_empty() {
        dataset.notes.insert(0, format!("JSON files that are left out: {}", some_of(&files.passed_over)));
    }
    Ok(dataset)
}

/// Reads a Roboflow export.
pub(super) fn read_roboflow(root: &Path, options: &ReadOptions) -> Result<Dataset, Error> {
    read_all(root, Format::RoboflowCoco, layout::find_roboflow(root), options)
}

fn read_all(
    root: &Path,
    format: Format,
    mut sources: Vec<Source>,
    options: &ReadOptions,
) -> Result<Dataset, Error> {
    let mut read: Vec<(PathBuf, Split)> = Vec::new();
    // The first says what the labels are.
    sources.sort_by_key(|source| rank(&source.split));
    let mut labels = Labels::default();
    for source in sources {
        let file = &source.file;
        if let Some((first, _)) = read.iter().find(|(_, split)| split.name == source.split) {
            return Err(Error::SplitTwice { split: source.split, first: first.clone(), second: source.file });
        }
        let reader = File::open(file).map_err(Error::read(file))?;
        let annotations = parse(reader, file)?;
        let columns = labels.columns(&annotations, file)?;
        let items = items(annotations, columns, &source, options)?;
        let split = Split { name: source.split, items };
        check_items(&split, file)?;
        read.push((source.file, split));
    }
    let mut splits: Vec<Split> = read.into_iter().map(|(_, split)| split).collect();
    let mut notes = Vec::new();
    if let Some(group) = labels.unused_group() {
        let name = labels.names.remove(group);
        for item in splits.iter_mut().flat_map(|split| &mut split.items) {
            item.states.remove(group);
        }
        notes.push(format!(
            "the category `{name}` is left out: it is the group of the others, and no object is one"
        ));
    }
    labels.check()?;
    Ok(Dataset { root: root.to_owned(), format, labels: labels.names, splits, notes })
}

/// The labels of all files: those of the first, which the others must have too.
#[derive(Default)]
struct Labels {
    /// The first file.
    file: PathBuf,
    names: Vec<String>,
    ids: Vec<Id>,
    /// The category that Roboflow adds: number 0, of no group, and the group of others.
    group: Option<usize>,
    /// Whether an object is of that category.
    group_used: bool,
}

impl Labels {
    /// The label of each category of a file, by the category's number.
    fn columns(&mut self, annotations: &Annotations, file: &Path) -> Result<Vec<usize>, Error> {
        let mut categories: Vec<&(u32, Category)> = annotations.categories.iter().collect();
        categories.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let names: Vec<String> = categories.iter().map(|(_, category)| category.name.clone()).collect();
        if names.is_empty() {
            let (field, problem) =
                ("categories".to_owned(), "no categories; expected at least one".to_owned());
            return Err(Error::Field { file: file.to_owned(), field, problem });
        }
        if self.names.is_empty() {
            self.file = file.to_owned();
            self.ids = categories.iter().map(|(_, category)| category.id.clone()).collect();
            self.group = categories.iter().position(|(_, group)| is_group(group, &categories));
            self.names.clone_from(&names);
        }
        let places = self.places(&names).ok_or_else(|| Error::LabelsDiffer {
            first: self.file.clone(),
            second: file.to_owned(),
            difference: difference(&self.names, &names),
        })?;
        let mut columns = vec![0; names.len()];
        for ((number, _), place) in categories.iter().zip(places) {
            columns[*number as usize] = place;
        }
        let is_group = |column: usize| Some(column) == self.group;
        self.group_used |= annotations.shown.iter().any(|shown| is_group(columns[shown.category as usize]));
        Ok(columns)
    }

    /// Where each name stands among the labels: in the same place, or, as ids are a file's own, in another.
    fn places(&self, names: &[String]) -> Option<Vec<usize>> {
        if *names == self.names {
            return Some((0..names.len()).collect());
        }
        let mut by_name: HashMap<&String, usize> = self.names.iter().zip(0..).collect();
        let places: Vec<usize> = names.iter().map(|name| by_name.remove(name)).collect::<Option<_>>()?;
        (places.len() == self.names.len()).then_some(places)
    }

    fn unused_group(&self) -> Option<usize> {
        self.group.filter(|_| !self.group_used && self.names.len() > 1)
    }

    /// Every label has a name, and no two the same.
    fn check(&self) -> Result<(), Error> {
        let wrong = |id: &Id, problem: String| {
            Err(Error::Field { file: self.file.clone(), field: format!("categories (id {id})"), problem })
        };
        let mut seen = HashMap::new();
        for (id, name) in self.ids.iter().zip(&self.names) {
            if name.trim().is_empty() {
                return wrong(id, "the name is empty".to_owned());
            }
            if let Some(first) = seen.insert(name, id) {
                return wrong(id, format!("the name `{name}` is that of id {first} too"));
            }
        }
        Ok(())
    }
}

/// Whether a category is the one that Roboflow puts before those of a project, and calls as the project.
fn is_group(group: &Category, all: &[&(u32, Category)]) -> bool {
    group.id == Id::Number(0)
        && group.supercategory == "none"
        && all.iter().any(|(_, category)| category.supercategory == group.name.as_str())
}

/// The images of a file with their states; `columns` has the label of each category.
fn items(
    annotations: Annotations,
    columns: Vec<usize>,
    source: &Source,
    options: &ReadOptions,
) -> Result<Vec<Item>, Error> {
    let Annotations { images, shown, .. } = annotations;
    let wrong = |field: String, problem: String| Error::Field { file: source.file.clone(), field, problem };
    let labels = columns.len();
    check_states(&source.file, images.len(), labels)?;
    let folder = image_folder(source, images.iter().map(|(_, name)| &**name));
    let mut places = vec![0; images.len()];
    let mut items = Vec::with_capacity(images.len());
    for (at, (number, name)) in images.into_iter().enumerate() {
        let Some(name) = inside(&name) else {
            let problem = format!("`{name}` is not a path inside the folder of the images");
            return Err(wrong(format!("images[{at}].file_name"), problem));
        };
        places[number as usize] = at;
        let states = vec![LabelState::Absent; labels];
        items.push(Item { id: without_extension(&name).to_owned(), image: folder.join(&name), states });
    }
    for Shown { image, category, certain } in shown {
        let state = if certain { LabelState::Present } else { options.crowd.state() };
        items[places[image as usize]].states[columns[category as usize]] = state;
    }
    Ok(items)
}

/// The folder in which the first of the images lie; where none does, the first that exists, for the check of the
/// images to report.
fn image_folder<'a>(source: &Source, names: impl Iterator<Item = &'a str>) -> PathBuf {
    let probes: Vec<&str> = names.filter(|name| stays_inside(name)).take(PROBED).collect();
    let holds = |folder: &&PathBuf| probes.iter().any(|name| folder.join(name).is_file());
    let folders = &source.folders;
    let folder = folders.iter().find(holds).or_else(|| folders.iter().find(|folder| folder.is_dir()));
    folder.unwrap_or(&source.folders[0]).clone()
}

/// A file name without empty parts and `.`, if it stays in the folder that it is relative to.
fn inside(name: &str) -> Option<String> {
    let parts = Path::new(name).components().filter(|part| matches!(part, Component::Normal(_)));
    let parts: Option<Vec<&str>> = parts.map(|part| part.as_os_str().to_str()).collect();
    parts.filter(|parts| stays_inside(name) && !parts.is_empty()).map(|parts| parts.join("/"))
}

/// A file name without what stands behind the last point of its last part.
pub(super) fn without_extension(name: &str) -> &str {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[last..].rfind('.') {
        None | Some(0) => name,
        Some(point) => &name[..last + point],
    }
}
