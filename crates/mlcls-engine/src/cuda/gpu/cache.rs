//! Compiled kernels on disk, so that they are compiled once and not once for each process.

use std::env::var_os;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A folder of compiled code; without one, nothing is kept.
#[derive(Debug)]
pub(super) struct Cache(Option<PathBuf>);

impl Cache {
    /// The user's own, in `XDG_CACHE_HOME` or else in `.cache` at home.
    pub(super) fn of_user() -> Self {
        let set = var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let folder = set.or_else(|| Some(PathBuf::from(var_os("HOME")?).join(".cache")));
        Self(folder.map(|folder| folder.join("mlcls/kernels")))
    }

    /// Code that was kept under a name. It follows its hash: drivers trust what they load.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = fs::read(self.0.as_ref()?.join(name)).ok()?;
        let (sum, code) = file.split_first_chunk::<16>()?;
        (u128::from_le_bytes(*sum) == hash(&[code])).then(|| code.to_vec())
    }

    /// Keeps code under a name. If that fails it is no error: the code is compiled again next time.
    pub(super) fn write(&self, name: &str, code: &[u8]) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(folder) = &self.0 else { return };
        // Other processes and threads may be writing the same file; a rename shows them all of it or nothing.
        let part = folder.join(format!("{name}.{}-{}", process::id(), COUNT.fetch_add(1, Relaxed)));
        let file = [&hash(&[code]).to_le_bytes(), code].concat();
        let kept = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&part, file))
            .and_then(|()| fs::rename(&part, folder.join(name)));
        if kept.is_err() {
            let _ = fs::remove_file(part);
        }
    }
}

/// A file name for what was compiled from these.
pub(super) fn name(parts: &[&[u8]]) -> String {
    format!("{:032x}", hash(parts))
}

/// FNV-1a in 128 bits; the length of a part is part of it, so that no two lists of parts read the same.
fn hash(parts: &[&[u8]]) -> u128 {
    let lengths = parts.iter().map(|part| part.len().to_le_bytes());
    let bytes =
        parts.iter().zip(lengths).flat_map(|(part, length)| length.into_iter().chain(part.iter().copied()));
    bytes.fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_what_was_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache(Some(folder.path().join("deep/kernels")));
        let (name, other) = (name(&[b"ab", b"c"]), name(&[b"a", b"bc"]));
        assert_ne!(name, other);
        assert_eq!(cache.read(&name), None);
        cache.write(&name, b"code");
        cache.write(&name, b"code");
        assert_eq!(cache.read(&name).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.read(&other), None);
        let files: Vec<_> = fs::read_dir(folder.path().join("deep/kernels")).unwrap().collect();
        assert_eq!(files.len(), 1);

        let file = folder.path().join("deep/kernels").join(&name);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(cache.read(&name), None);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache(Some(file.path().join("kernels")));
        cache.write("name", b"code");
        assert_eq!(cache.read("name"), None);
        Cache(None).write("name", b"code");
    }
}
