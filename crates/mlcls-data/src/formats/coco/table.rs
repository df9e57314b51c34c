//! A list of things with ids, and the uses of these ids, in whatever order the file brings them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::id::Id;
use crate::error::{Error, count, some_of};

/// The images or the categories of a file. Each id gets a number from 0 at its first sight, be that where the
/// thing is listed or where an annotation uses it.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// The name of the list in the file.
    list: &'static str,
    numbers: HashMap<Id, u32>,
    entries: Vec<Entry<T>>,
    /// The numbers in the order of the list.
    listed: Vec<u32>,
    /// Ids that were listed before, with the positions of their second time.
    repeated: Vec<(usize, Id)>,
}

#[derive(Debug)]
enum Entry<T> {
    Listed(T),
    /// By the annotation at this position; not listed yet.
    Used(usize),
}

impl<T> Table<T> {
    pub fn new(list: &'static str) -> Self {
        let (numbers, entries, listed) = (HashMap::new(), Vec::new(), Vec::new());
        Self { list, numbers, entries, listed, repeated: Vec::new() }
    }

    /// Takes in the next thing of the list. None: there are more ids than anything can hold.
    pub fn add(&mut self, id: Id, thing: T) -> Option<()> {
        let at = self.listed.len();
        let next = u32::try_from(self.entries.len()).ok()?;
        let number = *self.numbers.entry(id.clone()).or_insert(next);
        match self.entries.get_mut(number as usize) {
            None => self.entries.push(Entry::Listed(thing)),
            Some(entry @ Entry::Used(_)) => *entry = Entry::Listed(thing),
            Some(Entry::Listed(_)) => self.repeated.push((at, id)),
        }
        self.listed.push(number);
        Some(())
    }

    /// The number of an id that the annotation at a position uses. None as for [`Table::add`].
    pub fn number(&mut self, id: Id, annotation: usize) -> Option<u32> {
        let next = u32::try_from(self.entries.len()).ok()?;
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.entries.push(Entry::Used(annotation));
        }
        Some(number)
    }

    /// The listed things with their numbers, in the order of the list.
    ///
    /// # Errors
    /// [`Error::Field`] where an id is listed twice, or where annotations use one, in their field `user`, that is
    /// not listed: with the first place and all the ids.
    pub fn finish(self, file: &Path, user: &str) -> Result<Vec<(u32, T)>, Error> {
        let list = self.list;
        let wrong = |place: String, places: &[(usize, Id)], what: [&str; 2]| {
            let mut seen = HashSet::new();
            let ids: Vec<&Id> = places.iter().map(|(_, id)| id).filter(|id| seen.insert(*id)).collect();
            let problem = format!("{}: {}", count(ids.len(), what[0], what[1]), some_of(&ids));
            Err(Error::Field { file: file.to_owned(), field: place, problem })
        };
        if let Some((at, _)) = self.repeated.first() {
            let what = ["id is listed more than once", "ids are listed more than once"];
            return wrong(format!("{list}[{at}].id"), &self.repeated, what);
        }
        let used = |(id, number): (Id, u32)| match self.entries[number as usize] {
            Entry::Used(at) => Some((at, id)),
            Entry::Listed(_) => None,
        };
        let mut unlisted: Vec<(usize, Id)> = self.numbers.into_iter().filter_map(used).collect();
        unlisted.sort();
        if let Some((at, _)) = unlisted.first() {
            let what = [format!("id is not in `{list}`"), format!("ids are not in `{list}`")];
            return wrong(format!("annotations[{at}].{user}"), &unlisted, [&what[0], &what[1]]);
        }
        let thing = |entry| match entry {
            Entry::Listed(thing) => Some(thing),
            Entry::Used(_) => None,
        };
        let mut things: Vec<Option<T>> = self.entries.into_iter().map(thing).collect();
        Ok(self.listed.into_iter().filter_map(|n| Some((n, things[n as usize].take()?))).collect())
    }
}
