//! Memory of the host that the GPU copies from and to by itself, while the processor does something else.

use std::sync::Arc;

use cudarc::driver::{CudaContext, PinnedHostSlice};

use super::driver::{failed, out_of_memory};
use crate::error::{Error, Result};

/// A buffer. It is freed when the last copy that was marked on it is over.
pub(super) type Pinned = PinnedHostSlice<u8>;

/// Two buffers that take turns: one is filled while the other still waits for the GPU.
#[derive(Default)]
pub(super) struct Pair {
    buffers: [Option<Pinned>; 2],
    turn: usize,
}

impl Pair {
    /// The buffer whose turn it is, of at least `bytes`.
    pub(super) fn next(&mut self, context: &Arc<CudaContext>, bytes: usize) -> Result<&mut Pinned> {
        self.turn ^= 1;
        grown(&mut self.buffers[self.turn], context, bytes)
    }
}

/// A buffer of at least `bytes`, made anew if it is shorter.
pub(super) fn grown<'a>(
    buffer: &'a mut Option<Pinned>,
    context: &Arc<CudaContext>,
    bytes: usize,
) -> Result<&'a mut Pinned> {
    buffer.take_if(|buffer| buffer.len() < bytes);
    match buffer {
        Some(buffer) => Ok(buffer),
        None => {
            // SAFETY: any bytes will do, and each is written before it is read.
            let made = unsafe { context.alloc_pinned_with_flags(bytes, 0) };
            let made = made.map_err(|error| match out_of_memory(&error) {
                true => Error::OutOfMemory { bytes }, // of the host, whatever room the GPU has
                false => failed("asking for memory to copy through")(error),
            })?;
            Ok(buffer.insert(made))
        }
    }
}
