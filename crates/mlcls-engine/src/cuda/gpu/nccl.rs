//! NVIDIA's library for sums over several GPUs, NCCL.
//!
//! cudarc has it too, but looks for `libnccl.so` and for all numbers behind it except 2, the only one that there is; pip installs
//! `libnccl.so.2` alone. Numbers and types are those of `nccl.h` of NCCL 2.4 and newer.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::{CudaStream, sys::CUstream};

use super::driver::{cuda, failed};
use super::library::Library;
use crate::cuda::device::Address;
use crate::error::{Error, Result};

/// `ncclSuccess`.
const SUCCESS: c_int = 0;
/// `ncclInProgress`.
const IN_PROGRESS: c_int = 7;
/// `ncclFloat32` of the types of elements.
pub(super) const FLOAT32: c_int = 7;
/// `ncclFloat64`.
pub(super) const FLOAT64: c_int = 8;
/// `ncclSum` of the operations.
const SUM: c_int = 0;

/// Bytes of a [`unique_id`].
const ID: usize = 128;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Id([u8; ID]);

/// `ncclComm_t`.
type Comm = *mut c_void;

/// The functions that are used.
#[derive(Clone, Copy)]
struct Functions {
    version: unsafe extern "C" fn(*mut c_int) -> c_int,
    unique_id: unsafe extern "C" fn(*mut Id) -> c_int,
    join: unsafe extern "C" fn(*mut Comm, c_int, Id, c_int) -> c_int,
    sum: unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, CUstream) -> c_int,
    state: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    abort: unsafe extern "C" fn(Comm) -> c_int,
    words: unsafe extern "C" fn(c_int) -> *const c_char,
    /// From 2.13 on.
    last_words: Option<unsafe extern "C" fn(Comm) -> *const c_char>,
}

impl Functions {
    fn find() -> Result<Self> {
        let library = Library::find("libnccl.so.2").ok_or_else(|| {
            cuda(
                "no library for several GPUs found (libnccl.so.2); it comes with pip install nvidia-nccl-cu12 \
                 (nvidia-nccl-cu13 for CUDA 13) or with the system's package libnccl2; unless that is the pip of the \
                 first python3 on PATH, its folder must be in LD_LIBRARY_PATH",
            )
        })?;
        let missing = || cuda("the libnccl.so.2 that was found is older than 2.4; install a newer one");
        // SAFETY: the types are those of nccl.h.
        unsafe {
            Ok(Self {
                version: library.function(c"ncclGetVersion").ok_or_else(missing)?,
                unique_id: library.function(c"ncclGetUniqueId").ok_or_else(missing)?,
                join: library.function(c"ncclCommInitRank").ok_or_else(missing)?,
                sum: library.function(c"ncclAllReduce").ok_or_else(missing)?,
                state: library.function(c"ncclCommGetAsyncError").ok_or_else(missing)?,
                abort: library.function(c"ncclCommAbort").ok_or_else(missing)?,
                words: library.function(c"ncclGetErrorString").ok_or_else(missing)?,
                last_words: library.function(c"ncclGetLastError"),
            })
        }
    }

    /// Major, minor and patch.
    fn version(&self) -> String {
        let mut version = 0;
        // SAFETY: one number is written. It is 0 if that fails.
        let _ = unsafe { (self.version)(&mut version) };
        // Since 2.9 the minor version has two digits.
        let major = if version < 10_000 { 1_000 } else { 10_000 };
        format!("{}.{}.{}", version / major, version % major / 100, version % 100)
    }

    fn check(&self, what: &str, code: c_int) -> Result<()> {
        if code == SUCCESS { Ok(()) } else { Err(self.error(what, code)) }
    }

    fn error(&self, what: &str, code: c_int) -> Error {
        // SAFETY: the function returns a text of the library's, or null.
        let text = |words: *const c_char| {
            (!words.is_null()).then(|| unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
        };
        // SAFETY: any number will do.
        let words = text(unsafe { (self.words)(code) }).unwrap_or_default();
        // SAFETY: null stands for the last error of all.
        let last = self.last_words.and_then(|last| text(unsafe { last(ptr::null_mut()) }));
        let last = last.filter(|last| !last.is_empty()).map(|last| format!(" ({})", last.trim()));
        let last = last.unwrap_or_default();
        let version = self.version();
        cuda(format!("NCCL {version}: {what}: {words}{last}; with NCCL_DEBUG=INFO set it says more"))
    }
}

/// Whether NCCL is there.
pub(in crate::cuda) fn check() -> Result<()> {
    Functions::find().map(drop)
}

/// A name for a new group of GPUs, of 128 bytes. Rank 0 makes it and gives it to all others.
///
/// # Errors
/// NCCL is not found, or finds no network.
pub(in crate::cuda) fn unique_id() -> Result<Vec<u8>> {
    let functions = Functions::find()?;
    let mut id = Id([0; ID]);
    // SAFETY: the structure's bytes are written.
    functions.check("making an id", unsafe { (functions.unique_id)(&mut id) })?;
    Ok(id.0.to_vec())
}

/// One GPU's place in a group. When it goes, so does what has not been finished: all ranks must be done with the group.
pub(super) struct Nccl {
    functions: Functions,
    comm: Comm,
    stream: Arc<CudaStream>,
}

// SAFETY: NCCL lets any thread use a group, one at a time, and this one has one owner.
unsafe impl Send for Nccl {}

impl Nccl {
    /// Waits until all ranks of the group of this `id` have called this, each with a GPU of its own.
    pub(super) fn join(stream: &Arc<CudaStream>, id: &[u8], rank: usize, size: usize) -> Result<Self> {
        let functions = Functions::find()?;
        let Ok(bytes) = id.try_into() else {
            return Err(cuda(format!("an id of {} bytes for a group of GPUs, expected {ID}", id.len())));
        };
        let (Ok(at), Ok(of), true) = (c_int::try_from(rank), c_int::try_from(size), rank < size) else {
            return Err(cuda(format!("rank {rank} of {size} GPUs, expected one below their number")));
        };
        stream.context().bind_to_thread().map_err(failed("NCCL"))?;
        let mut comm = ptr::null_mut();
        // SAFETY: one pointer is written. The GPU's context is bound to this thread.
        let code = unsafe { (functions.join)(&mut comm, of, Id(bytes), at) };
        functions.check(&format!("joining {size} GPUs as rank {rank}"), code)?;
        Ok(Self { functions, comm, stream: stream.clone() })
    }

    /// Replaces numbers of a type in the GPU's memory by their sums over all ranks, in the order of the stream.
    pub(super) fn sum(&self, at: Address, len: usize, of: c_int) -> Result<()> {
        let what = "summing over the GPUs";
        self.stream.context().bind_to_thread().map_err(failed(what))?;
        let mut state = SUCCESS;
        // SAFETY: the group is there, and one number is written.
        self.functions.check(what, unsafe { (self.functions.state)(self.comm, &mut state) })?;
        // An error of what was asked for before, for example because a rank is gone.
        if !matches!(state, SUCCESS | IN_PROGRESS) {
            return Err(self.functions.error(what, state));
        }
        let at = at as *mut c_void;
        // SAFETY: that there are `len` numbers is up to the plan; sums in place are allowed.
        let code = unsafe { (self.functions.sum)(at, at, len, of, SUM, self.comm, self.stream.cu_stream()) };
        self.functions.check(what, code)
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        let _ = self.stream.context().bind_to_thread();
        // SAFETY: nobody uses the group any more. Destroying it instead would wait for ranks that may be gone.
        let _ = unsafe { (self.functions.abort)(self.comm) };
    }
}

impl fmt::Debug for Nccl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nccl").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_can_be_made_or_it_is_said_what_is_missing() {
        let functions = match Functions::find() {
            Ok(functions) => functions,
            Err(error) => {
                println!("skipped: {error}");
                assert!(error.to_string().contains("libnccl.so.2"), "{error}");
                return;
            }
        };
        assert!(functions.version().starts_with("2."), "{}", functions.version());
        match unique_id() {
            Ok(id) => {
                assert_eq!(id.len(), ID);
                assert_ne!(id, unique_id().unwrap());
            }
            Err(error) => {
                println!("no id: {error}");
                assert!(error.to_string().contains(": making an id: "), "{error}");
            }
        }
        let error = functions.error("here", 4).to_string();
        assert!(error.starts_with("CUDA: NCCL 2.") && error.contains(": here: invalid argument"), "{error}");
    }
}
