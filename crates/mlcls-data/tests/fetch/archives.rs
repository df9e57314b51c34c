//! Small archives, and data sets that consist of them.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::Path;

use mlcls_data::fetch::{
    Archive, Checksum, FetchError, FetchEvent, FetchOptions, Source, Stage, Tree, fetch,
};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

/// A tar file with these files; a name that ends in a slash is a folder.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        // The crate's own way refuses names that a test wants to have.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// The same as a deflated zip file.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        if name.ends_with('/') {
            archive.add_directory(*name, SimpleFileOptions::default()).unwrap();
        } else {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
    }
    archive.finish().unwrap().into_inner()
}

pub fn sha256(content: &[u8]) -> &'static str {
    let digits = Sha256::digest(content).iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    });
    digits.leak()
}

/// The entry of a catalogue for this file at this address.
pub fn archive(url: String, content: &[u8]) -> Archive {
    Archive { url: url.leak(), bytes: content.len() as u64, checksum: Checksum::Sha256(sha256(content)) }
}

/// A data set of one folder `set`, which holds at least one file.
pub fn source(archives: Vec<Archive>) -> Source {
    let tree = Tree { folder: "set", holds: &[("set", 1)], archives: archives.leak() };
    Source { name: "test", title: "a test", trees: vec![tree].leak() }
}

/// Fetches with a patience of half a second, and lists what was said: `Check a.tar`, each stage once, and every file that
/// was set aside.
pub fn fetch_into(
    folder: &Path,
    source: &Source,
    mirror: Option<&str>,
) -> (Result<bool, FetchError>, Vec<String>) {
    let timeout = std::time::Duration::from_millis(500);
    let options = FetchOptions { mirror: mirror.map(str::to_owned), timeout };
    let mut said: Vec<String> = Vec::new();
    let mut last: Option<(Stage, String, u64)> = None;
    let result = fetch(source, folder, &options, &mut |event| match event {
        FetchEvent::Progress { stage, file, done, total } => {
            assert!(done <= total, "{stage:?} {file}: {done} of {total}");
            let line = format!("{stage:?} {file}");
            if said.last() != Some(&line) {
                said.push(line);
            }
            last = Some((stage, file.to_owned(), done));
        }
        FetchEvent::SetAside { path, difference } => {
            said.push(format!("{} is not it: {difference}", path.file_name().unwrap().display()));
        }
    });
    (result, said)
}

/// What lies in a folder, sorted; the lock is passed over.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".fetch.lock")
        .collect();
    names.sort();
    names
}
