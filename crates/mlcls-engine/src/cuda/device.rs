//! What a plan needs of the machine that it runs on: memory, copies, and launches of kernels in their order.

use std::fmt::Debug;

use crate::error::Result;

/// The address of something in a device's memory.
pub type Address = u64;

/// One kernel at work. All that changes from step to step lies in the device's memory, so that a launch stays as it is.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// The stage of the program that it works for.
    pub stage: Option<usize>,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// The kernel's one argument, a structure of C, in words of 8 bytes.
    pub args: Vec<u64>,
}

/// Names a sequence of launches that a device has made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapeId(pub usize);

/// A device with the kernels of one precision loaded. Everything happens in the order in which it was asked for.
pub trait Device: Debug + Send {
    /// How many processors run blocks side by side: about a hundred on large GPUs.
    fn processors(&self) -> usize;

    /// A block of memory, at an address that is a multiple of 256; it is freed with the device.
    fn alloc(&mut self, bytes: usize) -> Result<Address>;

    /// Copies `from` to `to`.
    fn upload(&mut self, to: Address, from: &[u8]) -> Result<()>;

    /// Copies `from` to `to` beside all else that is done; [`fetch`](Self::fetch) alone waits for it.
    fn stage(&mut self, to: Address, from: &[u8]) -> Result<()>;

    /// Copies what was staged at `from` to `to`.
    fn fetch(&mut self, from: Address, to: Address, bytes: usize) -> Result<()>;

    /// Waits for all that was asked for, and copies what lies at `from`.
    fn download(&mut self, from: Address, to: &mut [u8]) -> Result<()>;

    /// Makes a sequence of launches ready to be run many times.
    fn record(&mut self, launches: Vec<Launch>) -> Result<TapeId>;

    /// Runs a sequence.
    fn run(&mut self, tape: TapeId) -> Result<()>;

    /// Runs a sequence launch by launch, and gives the milliseconds of each. Launches of a few microseconds look slower
    /// than they are in [`run`](Self::run), which does not wait for the processor.
    fn times(&mut self, tape: TapeId) -> Result<Vec<f32>>;

    /// Becomes one of `size` devices that work together; waits until all have been called with this `id`.
    fn join(&mut self, id: &[u8], rank: usize, size: usize) -> Result<()>;

    /// Replaces `len` numbers of single precision by their sums over all devices that work together, or leaves them if there is
    /// but one.
    fn sum_f32(&mut self, at: Address, len: usize) -> Result<()>;

    /// The same in double precision.
    fn sum_f64(&mut self, at: Address, len: usize) -> Result<()>;
}
