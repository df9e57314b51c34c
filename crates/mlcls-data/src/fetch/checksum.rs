//! Whether a file is the published one.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::catalogue::{Archive, Checksum};
use super::error::{Difference, FetchError};

/// How a file differs from an archive; nothing where it is that. `on` gets the bytes read so far.
pub(super) fn difference(
    path: &Path,
    archive: &Archive,
    on: &mut dyn FnMut(u64),
) -> Result<Option<Difference>, FetchError> {
    let mut file = File::open(path).map_err(FetchError::io("be read", path))?;
    let found = file.metadata().map_err(FetchError::io("be read", path))?.len();
    if found != archive.bytes {
        return Ok(Some(Difference::Size { expected: archive.bytes, found }));
    }
    let found = match archive.checksum {
        Checksum::Md5(_) => digest::<Md5>(&mut file, on),
        Checksum::Sha256(_) => digest::<Sha256>(&mut file, on),
    }
    .map_err(FetchError::io("be read", path))?;
    let (Checksum::Md5(expected) | Checksum::Sha256(expected)) = archive.checksum;
    Ok((found != expected).then_some(Difference::Checksum { expected: archive.checksum, found }))
}

fn digest<D: Digest>(file: &mut File, on: &mut dyn FnMut(u64)) -> std::io::Result<String> {
    let mut hash = D::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        done += n as u64;
        on(done);
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}"); // a String takes everything
        digits
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of "abc" in RFC 1321 and FIPS 180-4.
    #[test]
    fn published_digests_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc.tar");
        std::fs::write(&path, "abc").unwrap();
        let check = |checksum, bytes| {
            difference(&path, &Archive { url: "http://a/abc.tar", bytes, checksum }, &mut |_| ()).unwrap()
        };
        let md5 = Checksum::Md5("900150983cd24fb0d6963f7d28e17f72");
        let sha256 = Checksum::Sha256("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((check(md5, 3), check(sha256, 3)), (None, None));
        assert_eq!(check(md5, 4), Some(Difference::Size { expected: 4, found: 3 }));
        let expected = Checksum::Md5("900150983cd24fb0d6963f7d28e17f73");
        let found = "900150983cd24fb0d6963f7d28e17f72".to_owned();
        assert_eq!(check(expected, 3), Some(Difference::Checksum { expected, found }));
    }
}
