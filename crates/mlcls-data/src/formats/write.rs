//! A [`Dataset`] to a folder: the images first, then the annotations of a format.
//!
//! To add a format, write a [`Writer`] beside its reader and add it to [`WRITERS`].

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{datumaro, stays_inside};
use crate::dataset::{Dataset, Item};
use crate::error::Error;

/// A format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteFormat {
    /// OTX's internal format; holds all label states.
    Datumaro,
}

/// What [`write_dataset`] does about the image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// They lie under the new root already, where the format wants them, and stay there.
    InPlace,
    /// Each is copied.
    Copy,
    /// Each becomes a second name of the same file; only within one file system.
    HardLink,
    /// Each becomes a symbolic link to the absolute path of the old one.
    Symlink,
}

/// How one format is written.
pub(super) struct Writer {
    pub format: WriteFormat,
    /// Where an image goes under the root, from its split and its name `<id>.<extension>`.
    pub image: fn(split: &str, name: &str) -> String,
    /// Writes the annotations of a data set whose images lie there, and says in words what the format could
    /// not hold.
    pub write: fn(&Dataset, &Path) -> Result<Vec<String>, Error>,
}

const WRITERS: &[Writer] = &[datumaro::WRITER];

/// Writes a data set into the folder `root` and says, a sentence each, what the format could not hold. Files
/// that are there already are replaced, annotation files each at once; others stay.
///
/// - [`Datumaro`](WriteFormat::Datumaro): `annotations/<split>.json` and `images/<split>/<id>.<extension>`. All
///   three states are kept; unknown ones in OTX's attribute `ignored_labels`, where other programs take the
///   label as absent.
///
/// ```
/// use mlcls_data::{Dataset, Format, Images, Item, LabelState, ReadOptions, Split, WriteFormat, write_dataset};
///
/// let root = tempfile::tempdir()?;
/// std::fs::create_dir_all(root.path().join("images/train"))?;
/// let dataset = Dataset {
///     root: root.path().to_owned(),
///     format: Format::Datumaro,
///     labels: vec!["cat".into(), "dog".into()],
///     splits: vec![Split {
///         name: "train".into(),
///         items: vec![Item {
///             id: "a".into(),
///             image: root.path().join("images/train/a.jpg"),
///             states: vec![LabelState::Present, LabelState::Unknown],
///         }],
///     }],
///     notes: vec![],
/// };
/// let lost = write_dataset(&dataset, root.path(), WriteFormat::Datumaro, Images::InPlace)?;
/// assert!(lost.is_empty());
/// let again = Dataset::open(root.path(), &ReadOptions::default())?;
/// assert_eq!(again.fingerprint(), dataset.fingerprint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Write`] for a file that cannot be written, [`Error::Read`] for an image that cannot be read,
/// [`Error::Field`] for an id that cannot be a file name or would be the file of another image, and for an
/// image that does not lie where the format wants it ([`Images::InPlace`]).
pub fn write_dataset(
    dataset: &Dataset,
    root: &Path,
    format: WriteFormat,
    images: Images,
) -> Result<Vec<String>, Error> {
    let writer = WRITERS.iter().find(|w| w.format == format).expect("every format has a writer");
    fs::create_dir_all(root).map_err(Error::write(root))?;
    if images == Images::InPlace {
        return (writer.write)(dataset, root);
    }
    let mut placed = dataset.clone();
    let mut sources: HashMap<PathBuf, PathBuf> = HashMap::new();
    for split in &mut placed.splits {
        for item in &mut split.items {
            let target = root.join(image_path(item, &split.name, writer, root)?);
            let source = std::mem::replace(&mut item.image, target.clone());
            match sources.get(&target) {
                // One image in two splits of a format that keeps all images together.
                Some(other) if *other == source => {}
                Some(other) => {
                    let problem = format!(
                        "{} would replace {}: both are to be {}",
                        show(&source),
                        show(other),
                        show(&target)
                    );
                    return Err(of_item(root, item, problem));
                }
                None => drop(sources.insert(target, source)),
            }
        }
    }
    // The first error by name, whatever the timing.
    let mut sources: Vec<(PathBuf, PathBuf)> = sources.into_iter().collect();
    sources.sort();
    let outcomes: Vec<Result<(), Error>> =
        sources.par_iter().map(|(target, source)| place(source, target, images)).collect();
    outcomes.into_iter().collect::<Result<(), Error>>()?;
    (writer.write)(&placed, root)
}

/// Where the image of an item goes, relative to the root.
fn image_path(item: &Item, split: &str, writer: &Writer, root: &Path) -> Result<String, Error> {
    let extension = item.image.extension().and_then(|e| e.to_str()).unwrap_or("jpg");
    let name = format!("{}.{extension}", item.id);
    if item.id.is_empty() || !stays_inside(&name) {
        return Err(of_item(root, item, "the id cannot be a file name inside the data set".to_owned()));
    }
    Ok((writer.image)(split, &name))
}

fn of_item(root: &Path, item: &Item, problem: String) -> Error {
    Error::Field { file: root.to_owned(), field: format!("item \"{}\"", item.id), problem }
}

fn show(path: &Path) -> String {
    format!("`{}`", path.display())
}

/// Makes `target` the image `source`.
fn place(source: &Path, target: &Path, images: Images) -> Result<(), Error> {
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder).map_err(Error::write(folder))?;
    let real = source.canonicalize().map_err(Error::read(source))?;
    if target.canonicalize().is_ok_and(|there| there == real) {
        return Ok(());
    }
    if images == Images::Copy {
        let bytes = fs::read(source).map_err(Error::read(source))?;
        return fs::write(target, bytes).map_err(Error::write(target));
    }
    match fs::remove_file(target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::write(target)(e)),
        _ => {}
    }
    let linked =
        if images == Images::Symlink { symlink(&real, target) } else { fs::hard_link(&real, target) };
    linked.map_err(Error::write(target))
}

#[cfg(unix)]
fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(source, target)
}

#[cfg(windows)]
fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(source, target)
}

/// The path of a file relative to a folder that holds it, with forward slashes; none where it lies elsewhere
/// or its name is not UTF-8.
pub(super) fn path_under(path: &Path, folder: &Path) -> Option<String> {
    let relative = path.strip_prefix(folder).ok()?.to_str()?;
    stays_inside(relative).then(|| relative.replace('\\', "/"))
}

/// Writes a file so that it is either the old one or the new one at any time.
pub(super) fn write_at_once(file: &Path, content: &str) -> Result<(), Error> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    fs::write(&temporary, content).map_err(Error::write(&temporary))?;
    fs::rename(&temporary, file).map_err(Error::write(file))
}
