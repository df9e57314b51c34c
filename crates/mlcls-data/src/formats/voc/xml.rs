//! One `Annotations/<id>.xml`: the objects of one image.

use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::Error;

/// Elements and texts that one file may hold: far above any photo, and a bound on memory.
const MAX_NODES: u32 = 1 << 20;

/// An object in an image; its box is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// The label.
    pub name: String,
    /// Hard to recognise, by the annotators.
    pub difficult: bool,
}

/// The objects of an annotation. Missing tags are fine, except the name of an object; no `difficult` means 0.
///
/// # Errors
/// [`Error::Malformed`] with line and column.
pub(super) fn parse(file: &Path, text: &str) -> Result<Vec<Object>, Error> {
    let malformed = |line: u32, column: u32, problem: String| Error::Malformed {
        file: file.to_owned(),
        line: line as usize,
        column: column as usize,
        problem,
    };
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| {
        let (at, problem) = (error.pos(), error.to_string());
        // The place is at the front of our message, so it is taken off the end of this one.
        malformed(at.row, at.col, problem.strip_suffix(&format!(" at {at}")).unwrap_or(&problem).to_owned())
    })?;
    let here = |node: Node<'_, '_>, problem: String| {
        let at = document.text_pos_at(node.range().start);
        malformed(at.row, at.col, problem)
    };
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        let found = root.tag_name().name();
        return Err(here(root, format!("found <{found}>; expected <annotation>")));
    }
    let objects = root.children().filter(|node| node.has_tag_name("object"));
    objects
        .map(|object| {
            let name = child_text(object, "name");
            if name.is_empty() {
                return Err(here(object, "this <object> has no <name>".to_owned()));
            }
            let difficult = match child_text(object, "difficult") {
                "" | "0" => false,
                "1" => true,
                other => return Err(here(object, format!("<difficult> is `{other}`; expected 0 or 1"))),
            };
            Ok(Object { name: name.to_owned(), difficult })
        })
        .collect()
}

/// The text of the first child of this name, without white space around it; empty where there is none.
fn child_text<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    let child = node.children().find(|child| child.has_tag_name(name));
    child.and_then(|child| child.text()).unwrap_or_default().trim()
}
