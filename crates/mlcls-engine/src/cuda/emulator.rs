//! A device of this machine's processor, for tests: the kernels' own source, compiled by its C++ compiler behind
//! `blocks.h` and `emulate.h`. Memory starts as NaN, so that nothing unwritten can be read unseen, and ends at pages that cannot be touched.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, OnceLock, PoisonError};

use super::device::{Address, Device, Launch, TapeId};
use super::source::EMULATED;
use crate::error::Result;
use crate::precision::Precision;

/// Tests end where their own machine fails.
const NO_TROUBLE: &str = "the emulator runs in tests, on machines that can";

/// The kernels of one precision.
struct Library(usize);

/// A kernel: its structure and that one's size, the grid, and the threads of a block; 0 if these are what it takes.
type Kernel = unsafe extern "C" fn(*const c_void, usize, *const u32, u32) -> i32;

/// Blocks run in memory that is shared by all launches.
static TURN: Mutex<()> = Mutex::new(());

fn library(precision: Precision) -> Option<&'static Library> {
    static LIBRARIES: [OnceLock<Option<Library>>; 4] = [const { OnceLock::new() }; 4];
    LIBRARIES[precision.code() as usize].get_or_init(|| compile(precision)).as_ref()
}

/// `None`, with a line printed, where there is no C++ compiler.
fn compile(precision: Precision) -> Option<Library> {
    let version = match Command::new("c++").arg("--version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(e) => {
            println!("skipped: CUDA kernels, as there is no C++ compiler to emulate them with ({e})");
            return None;
        }
    };
    // An array at the end of a structure may be longer than it says, for GCC, but for the strict check.
    let bounds = if version.contains("clang") { "bounds" } else { "bounds-strict" };
    let folder = tempfile::tempdir().expect(NO_TROUBLE);
    let (source, library) = (folder.path().join("kernels.cpp"), folder.path().join("kernels.so"));
    std::fs::write(&source, format!("#define PRECISION {}\n{EMULATED}", precision.code())).expect(NO_TROUBLE);
    // What is undefined ends the process: vectors across their alignment, indices past arrays. To be told the place, leave out
    // -fsanitize-undefined-trap-on-error, where the compiler has its library for that.
    let output = Command::new("c++")
        .args(["-O2", "-std=c++17", "-shared", "-fPIC"])
        .args(["-Wall", "-Wno-unknown-pragmas", "-Wno-sign-compare"])
        .arg(format!("-fsanitize=alignment,{bounds},shift,signed-integer-overflow,integer-divide-by-zero"))
        .arg("-fsanitize-undefined-trap-on-error")
        .arg(&source)
        .arg("-o")
        .arg(&library)
        .output()
        .expect(NO_TROUBLE);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(open(&library))
}

fn open(library: &Path) -> Library {
    let path = CString::new(library.to_str().expect(NO_TROUBLE)).expect(NO_TROUBLE);
    // SAFETY: a library that was just made and that runs nothing when it is loaded.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null(), "{} cannot be loaded", library.display());
    Library(handle as usize)
}

impl Library {
    fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).expect(NO_TROUBLE);
        // SAFETY: an open library and a name.
        let symbol = unsafe { libc::dlsym(self.0 as *mut c_void, name.as_ptr()) };
        assert!(!symbol.is_null(), "no kernel {name:?}");
        symbol
    }
}

/// Devices of one process that work together, one thread each.
#[derive(Debug)]
struct Group {
    all: Barrier,
    values: Mutex<Vec<Vec<f64>>>,
}

/// Groups by their names.
static GROUPS: Mutex<Option<HashMap<Vec<u8>, Arc<Group>>>> = Mutex::new(None);

/// A name that no group has.
pub fn new_group() -> Vec<u8> {
    static COUNT: Mutex<u64> = Mutex::new(0);
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    *count += 1;
    count.to_le_bytes().to_vec()
}

/// Memory with a fence on each side.
#[derive(Debug)]
struct Fenced {
    start: usize,
    len: usize,
}

impl Fenced {
    /// As long as a page is on any system.
    const FENCE: usize = 1 << 16;

    /// Memory for so many bytes, and their address: the last of them, made up to 256, lies before the fence.
    fn new(bytes: usize) -> (Self, Address) {
        let bytes = bytes.next_multiple_of(256);
        let inside = bytes.next_multiple_of(Self::FENCE);
        let len = inside + 2 * Self::FENCE;
        // SAFETY: new memory at a place that the system chooses.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0)
        };
        assert_ne!(start, libc::MAP_FAILED, "{bytes} bytes: {}", std::io::Error::last_os_error());
        if inside > 0 {
            // SAFETY: within this memory, which nobody else knows.
            unsafe {
                let first = start.byte_add(Self::FENCE);
                assert_eq!(libc::mprotect(first, inside, libc::PROT_READ | libc::PROT_WRITE), 0);
                first.cast::<u8>().write_bytes(u8::MAX, inside);
            }
        }
        let start = start as usize;
        (Self { start, len }, (start + Self::FENCE + inside - bytes) as Address)
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: this memory, which goes with the device and its plans.
        unsafe { libc::munmap(self.start as *mut c_void, self.len) };
    }
}

/// The device.
#[derive(Debug)]
pub struct Emulator {
    precision: Precision,
    backwards: bool,
    memory: Vec<Fenced>,
    tapes: Vec<Vec<Launch>>,
    group: Option<(usize, Arc<Group>)>,
}

impl Emulator {
    /// A device that runs blocks and their threads in order, or `backwards`: results that depend on it lack a barrier.
    pub fn open(precision: Precision, backwards: bool) -> Option<Box<dyn Device>> {
        library(precision)?;
        Some(Box::new(Self { precision, backwards, memory: vec![], tapes: vec![], group: None }))
    }

    fn launch(&self, launch: &Launch) {
        let library = library(self.precision).expect(NO_TROUBLE);
        // SAFETY: every kernel has this type.
        let kernel = unsafe { std::mem::transmute::<*mut c_void, Kernel>(library.symbol(launch.kernel)) };
        // SAFETY: the structure lives through the call; its addresses are of this device's memory.
        let code = unsafe {
            kernel(launch.args.as_ptr().cast(), 8 * launch.args.len(), launch.grid.as_ptr(), launch.threads)
        };
        assert_eq!(code, 0, "{launch:?}");
    }
}

impl Emulator {
    /// Sums numbers of a type over the group, in double precision.
    fn sum<T: Copy + Into<f64>>(&self, at: Address, len: usize, narrow: fn(f64) -> T) {
        let Some((rank, group)) = &self.group else { return };
        // SAFETY: plans sum numbers of their own, and nobody else looks at them meanwhile.
        let here = unsafe { std::slice::from_raw_parts_mut(at as *mut T, len) };
        let values = || group.values.lock().unwrap_or_else(PoisonError::into_inner);
        values()[*rank] = here.iter().map(|&value| value.into()).collect();
        group.all.wait();
        let sum = |i| values().iter().map(|values| values[i]).sum();
        here.iter_mut().enumerate().for_each(|(i, value)| *value = narrow(sum(i)));
        group.all.wait();
    }
}

impl Device for Emulator {
    /// So few that small maps have more tiles than blocks, which then take several.
    fn processors(&self) -> usize {
        1
    }

    fn alloc(&mut self, bytes: usize) -> Result<Address> {
        let (memory, at) = Fenced::new(bytes);
        self.memory.push(memory);
        Ok(at)
    }

    fn upload(&mut self, to: Address, from: &[u8]) -> Result<()> {
        // SAFETY: plans write where they took memory.
        unsafe { (to as *mut u8).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    fn stage(&mut self, to: Address, from: &[u8]) -> Result<()> {
        self.upload(to, from)
    }

    fn fetch(&mut self, from: Address, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: plans copy between places of their own.
        unsafe { (to as *mut u8).copy_from(from as *const u8, bytes) };
        Ok(())
    }

    fn download(&mut self, from: Address, to: &mut [u8]) -> Result<()> {
        // SAFETY: plans read where they took memory.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(from as *const u8, to.len()) };
        Ok(())
    }

    fn record(&mut self, launches: Vec<Launch>) -> Result<TapeId> {
        self.tapes.push(launches);
        Ok(TapeId(self.tapes.len() - 1))
    }

    fn run(&mut self, tape: TapeId) -> Result<()> {
        let _turn: MutexGuard<()> = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let order = library(self.precision).expect(NO_TROUBLE).symbol("emulate_backwards");
        // SAFETY: the function's type in blocks.h.
        unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(i32)>(order)(i32::from(self.backwards))
        };
        self.tapes[tape.0].iter().for_each(|launch| self.launch(launch));
        Ok(())
    }

    fn times(&mut self, tape: TapeId) -> Result<Vec<f32>> {
        self.run(tape)?;
        Ok(vec![1.0; self.tapes[tape.0].len()])
    }

    fn join(&mut self, group: &[u8], rank: usize, size: usize) -> Result<()> {
        let new = || Arc::new(Group { all: Barrier::new(size), values: Mutex::new(vec![vec![]; size]) });
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.get_or_insert_default().entry(group.to_vec()).or_insert_with(new);
        self.group = Some((rank, group.clone()));
        Ok(())
    }

    fn sum_f32(&mut self, at: Address, len: usize) -> Result<()> {
        self.sum(at, len, |sum| sum as f32);
        Ok(())
    }

    fn sum_f64(&mut self, at: Address, len: usize) -> Result<()> {
        self.sum(at, len, |sum| sum);
        Ok(())
    }
}
