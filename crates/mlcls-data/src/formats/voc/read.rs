//! Lists and annotations to a [`Dataset`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::super::text::read_text;
use super::super::{Doubtful, ReadOptions, check_items, check_states, require_folder};
use super::lists::{self, Mark, SplitList};
use super::xml;
use crate::dataset::{Dataset, Format, Item, LabelState, Split};
use crate::error::Error;
use crate::image_name::is_image_name;

/// The marks of each label of one image; labels that are not named are negative.
type Marks = BTreeMap<String, Mark>;

/// Reads the splits train, val and test; see [`Dataset::open`] for the rules.
pub(super) fn read(root: &Path, options: &ReadOptions) -> Result<Dataset, Error> {
    let images = ImageFolder::new(require_folder(root.join("JPEGImages"))?)?;
    let (lists, mut notes) = lists::splits(&root.join("ImageSets/Main"))?;
    let source = Source::choose(root, &lists, &mut notes)?;
    let mut read = Vec::new();
    let mut labels = source.labels.clone();
    for list in &lists {
        let ids = list.ids()?;
        let Some(marks) = source.marks(list, &ids)? else {
            notes.push(format!("{} is left out: none of its images has an annotation", list.name));
            continue;
        };
        labels.extend(marks.iter().flat_map(|marks| marks.keys().cloned()));
        read.push((list, ids, marks));
    }
    let labels: Vec<String> = labels.into_iter().collect();
    let mut splits = Vec::new();
    for (list, ids, marks) in read {
        check_states(&list.file, ids.len(), labels.len())?;
        let items = ids.into_iter().zip(marks).map(|(id, marks)| {
            let states = labels.iter().map(|label| state(marks.get(label), options.difficult)).collect();
            Item { image: images.find(&id), id, states }
        });
        let split = Split { name: list.name.clone(), items: items.collect() };
        check_items(&split, &list.file)?;
        splits.push(split);
    }
    if labels.is_empty() {
        return Err(Error::Field {
            file: root.join("Annotations"),
            field: "object".to_owned(),
            problem: "no annotation names an object, so there are no labels".to_owned(),
        });
    }
    Ok(Dataset { root: root.to_owned(), format: Format::Voc, labels, splits, notes })
}

fn state(mark: Option<&Mark>, difficult: Doubtful) -> LabelState {
    match mark {
        Some(Mark::Positive) => LabelState::Present,
        Some(Mark::Negative) | None => LabelState::Absent,
        Some(Mark::Difficult) => difficult.state(),
    }
}

/// Where the marks come from.
struct Source {
    /// The folder of XML files; none where the files per label are read.
    annotations: Option<PathBuf>,
    /// The labels that have files; none where the XML files name them.
    labels: BTreeSet<String>,
}

impl Source {
    /// The files per label where all splits have them for the same labels, else the XML files.
    fn choose(root: &Path, lists: &[SplitList], notes: &mut Vec<String>) -> Result<Self, Error> {
        let labels: BTreeSet<String> = lists.iter().flat_map(|list| list.labels.iter().cloned()).collect();
        let gap = lists.iter().find_map(|list| {
            labels.iter().find(|label| !list.labels.contains(*label)).map(|label| list.label_file(label))
        });
        if let Some(gap) = &gap {
            let name = gap.file_name().unwrap_or_default().to_string_lossy();
            notes.push(format!("`{name}` is missing, so all label states are read from Annotations/*.xml"));
        }
        if gap.is_none() && !labels.is_empty() {
            return Ok(Self { annotations: None, labels });
        }
        let annotations = Some(require_folder(root.join("Annotations"))?);
        Ok(Self { annotations, labels: BTreeSet::new() })
    }

    /// The marks of each id of a list; nothing for a test split of which no image is annotated, as VOC 2012
    /// ships it.
    fn marks(&self, list: &SplitList, ids: &[String]) -> Result<Option<Vec<Marks>>, Error> {
        match &self.annotations {
            Some(folder) => from_xml(folder, list, ids),
            None => from_label_files(list, ids).map(Some),
        }
    }
}

fn from_label_files(list: &SplitList, ids: &[String]) -> Result<Vec<Marks>, Error> {
    let mut all = vec![Marks::new(); ids.len()];
    for label in &list.labels {
        let file = list.label_file(label);
        let by_id = lists::marks(&file)?;
        let without: Vec<String> = ids.iter().filter(|id| !by_id.contains_key(*id)).cloned().collect();
        if !without.is_empty() {
            return Err(Error::MissingAnnotations { place: file, list: list.file.clone(), ids: without });
        }
        for (marks, id) in all.iter_mut().zip(ids) {
            marks.insert(label.clone(), by_id[id]);
        }
    }
    Ok(all)
}

fn from_xml(folder: &Path, list: &SplitList, ids: &[String]) -> Result<Option<Vec<Marks>>, Error> {
    let file = |id: &str| folder.join(format!("{id}.xml"));
    let without: Vec<String> = ids.iter().filter(|id| !file(id).is_file()).cloned().collect();
    if !without.is_empty() {
        if list.name == "test" && without.len() == ids.len() {
            return Ok(None);
        }
        let (place, list) = (folder.to_owned(), list.file.clone());
        return Err(Error::MissingAnnotations { place, list, ids: without });
    }
    let read = |id: &String| {
        let file = file(id);
        let mut marks = Marks::new();
        for object in xml::parse(&file, &read_text(&file)?)? {
            let mark = if object.difficult { Mark::Difficult } else { Mark::Positive };
            let before = marks.entry(object.name).or_insert(mark);
            // One object that is not difficult is enough.
            if mark == Mark::Positive {
                *before = mark;
            }
        }
        Ok(marks)
    };
    // Collected in order, so that the first error of the list is the one shown, whatever the timing.
    let marks: Vec<Result<Marks, Error>> = ids.par_iter().map(read).collect();
    marks.into_iter().collect::<Result<_, _>>().map(Some)
}

/// The files of `JPEGImages`, found by id.
struct ImageFolder {
    folder: PathBuf,
    /// File name by id, for files with another ending than `.jpg`.
    others: HashMap<String, String>,
}

impl ImageFolder {
    fn new(folder: PathBuf) -> Result<Self, Error> {
        let mut names = Vec::new();
        for entry in folder.read_dir().map_err(Error::read(&folder))? {
            let name = entry.map_err(Error::read(&folder))?.file_name();
            names.extend(name.into_string().ok().filter(|name| !name.ends_with(".jpg")));
        }
        names.sort();
        let by_id = |name: String| {
            let (id, _) = name.rsplit_once('.')?;
            is_image_name(&name).then(|| (id.to_owned(), name.clone()))
        };
        let others = names.into_iter().filter_map(by_id).collect();
        Ok(Self { folder, others })
    }

    /// `<id>.jpg`, or the image of this name with another ending where only that exists.
    fn find(&self, id: &str) -> PathBuf {
        let usual = self.folder.join(format!("{id}.jpg"));
        match self.others.get(id) {
            Some(other) if !usual.is_file() => self.folder.join(other),
            _ => usual,
        }
    }
}
