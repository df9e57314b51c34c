//! Libraries of CUDA, looked for as the loader does and then in the places where the toolkit, pip and conda put them, none of
//! which the loader knows by itself.

use std::env::{split_paths, var_os};
use std::ffi::{CStr, OsStr, c_void};
use std::fs::read_dir;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

/// A library that stays loaded until the process ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library(NonNull<c_void>);

impl Library {
    /// Finds and loads the library of a file name. From then on the loader also finds it by its bare name.
    pub(super) fn find(name: &str) -> Option<Self> {
        let elsewhere = || folders().into_iter().map(|folder| folder.join(name)).find(|path| path.exists());
        system::open(Path::new(name)).or_else(|| system::open(&elsewhere()?)).map(Self)
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` must be the type of a pointer to this function.
    pub(super) unsafe fn function<F: Copy>(self, name: &CStr) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<NonNull<c_void>>()) };
        let symbol = system::symbol(self.0, name)?;
        // SAFETY: it is one, as the caller says, and stays where it is.
        Some(unsafe { std::mem::transmute_copy(&symbol) })
    }
}

/// The places beside the loader's.
fn folders() -> Vec<PathBuf> {
    let set = |name| var_os(name).map(PathBuf::from);
    let mut all: Vec<PathBuf> = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(set).collect();
    all.push("/usr/local/cuda".into());
    all = all.into_iter().map(|toolkit| toolkit.join("lib64")).collect();
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(set);
    let python = var_os("PATH").and_then(|path| environment(&path));
    for lib in environments.chain(python).map(|root| root.join("lib")) {
        let pythons = inside(&lib).into_iter().filter(|path| path.to_string_lossy().contains("/python3"));
        let packages = pythons.flat_map(|python| inside(&python.join("site-packages/nvidia")));
        all.extend(packages.map(|package| package.join("lib")));
        all.push(lib);
    }
    all
}

/// The environment of the first `python3` of PATH, which need not have been activated.
fn environment(path: &OsStr) -> Option<PathBuf> {
    let bin = split_paths(path).find(|bin| bin.is_absolute() && bin.join("python3").exists())?;
    bin.parent().map(Path::to_path_buf)
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    read_dir(folder).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::{CStr, CString, c_void};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::ptr::NonNull;

    pub(super) fn open(path: &Path) -> Option<NonNull<c_void>> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: NVIDIA's libraries ask for nothing when they are loaded.
        NonNull::new(unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) })
    }

    pub(super) fn symbol(library: NonNull<c_void>, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: the library comes from `open` and is never closed.
        NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::ffi::{CStr, c_void};
    use std::path::Path;
    use std::ptr::NonNull;

    pub(super) fn open(_: &Path) -> Option<NonNull<c_void>> {
        None
    }

    pub(super) fn symbol(_: NonNull<c_void>, _: &CStr) -> Option<NonNull<c_void>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_python_of_path_shows_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let bins = ["empty/bin", "first/bin", "second/bin"].map(|bin| folder.path().join(bin));
        bins.iter().for_each(|bin| fs::create_dir_all(bin).unwrap());
        bins[1..].iter().for_each(|bin| fs::write(bin.join("python3"), "").unwrap());
        let path = std::env::join_paths([&[PathBuf::from("here")], &bins[..]].concat()).unwrap();
        assert_eq!(environment(&path), Some(folder.path().join("first")));
        assert_eq!(environment(OsStr::new("")), None);
    }
}
