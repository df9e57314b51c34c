//! COCO JSON, in COCO's own layout and its relatives, and in Roboflow's.

mod id;
mod layout;
mod parse;
mod read;
mod table;
mod write;

use std::path::{Path, PathBuf};

use super::Reader;
use crate::dataset::Format;

pub(super) use layout::is_official;
pub(super) use write::WRITER;

pub(super) const READER: Reader = Reader {
    format: Format::Coco,
    layout: "annotations/instances_<split>.json and <split>/",
    folders: &["annotations"],
    locate: layout::locate,
    read: read::read,
};

pub(super) const ROBOFLOW: Reader = Reader {
    format: Format::RoboflowCoco,
    layout: "<split>/_annotations.coco.json",
    folders: &[],
    locate: locate_roboflow,
    read: read::read_roboflow,
};

fn locate_roboflow(folder: &Path) -> Vec<PathBuf> {
    if layout::find_roboflow(folder).is_empty() { Vec::new() } else { vec![folder.to_owned()] }
}
