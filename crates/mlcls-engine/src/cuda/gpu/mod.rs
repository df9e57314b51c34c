//! An NVIDIA GPU, through its driver.

mod cache;
mod compile;
mod driver;
mod library;
mod nccl;
mod pinned;
mod tape;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaEvent, CudaModule, CudaStream, DriverError, HostSlice, result};
use cudarc::nvrtc::Ptx;
use rayon::prelude::*;

use self::cache::Cache;
use self::compile::Nvrtc;
pub use self::driver::{GpuInfo, gpus};
use self::driver::{cuda, dotted, failed, refused};
use self::nccl::{FLOAT32, FLOAT64, Nccl};
pub(super) use self::nccl::{check as check_group, unique_id as new_group};
use self::pinned::{Pair, Pinned, grown};
use self::tape::{Kernel, Tape};
use super::device::{Address, Device, Launch, TapeId};
use crate::error::Result;
use crate::precision::Precision;

/// Bytes that are copied from the GPU at a time.
const PIECE: usize = 16 << 20;

/// A GPU with the kernels of one precision loaded. One stream does all its work in the order of the calls.
pub(crate) struct Gpu {
    info: GpuInfo,
    tapes: Vec<Tape>,
    kernels: HashMap<&'static str, Kernel>,
    /// Buffers by the power of two of their load, so that the large and the small things of each step do not
    /// wait for each other.
    uploads: BTreeMap<u32, Pair>,
    download: Option<Pinned>,
    staging: Staging,
    blocks: Vec<Address>,
    /// The group of GPUs that this one works in, if any.
    group: Option<Nccl>,
    modules: Vec<Arc<CudaModule>>,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

impl Gpu {
    /// Opens a GPU and loads the kernels, which are compiled if they never were for a GPU like this one.
    pub(crate) fn open(ordinal: usize, precision: Precision, sources: &[&str]) -> Result<Self> {
        let info = driver::find(ordinal)?;
        let nvrtc = Nvrtc::find(info.driver.0)?;
        let context = CudaContext::new(ordinal).map_err(failed(&format!("opening {}", info.name)))?;
        // Else the first stream would wait for the whole context, which breaks what another thread is recording.
        // SAFETY: nothing is tracked before there is a stream.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("making a stream"))?;
        let staging = Staging {
            stream: context.new_stream().map_err(failed("making a stream"))?,
            buffers: Pair::default(),
            written: None,
            read: None,
        };
        // The events of pinned memory tell when a copy has left it.
        // SAFETY: any time is right for this.
        unsafe { context.enable_event_tracking() };
        let load = |source: &&str| load(&context, &nvrtc, &info, precision, source);
        let modules = sources.par_iter().map(load).collect::<Result<_>>()?;
        let (tapes, kernels, uploads) = Default::default();
        Ok(Self {
            info,
            tapes,
            kernels,
            uploads,
            download: None,
            staging,
            blocks: Vec::new(),
            group: None,
            modules,
            stream,
            context,
        })
    }

    fn tape(&self, TapeId(index): TapeId) -> Result<&Tape> {
        self.tapes
            .get(index)
            .ok_or_else(|| cuda(format!("no sequence {index}: {} recorded", self.tapes.len())))
    }
}

/// Copies to the GPU that overlap with its work: a stream of their own, and when each was written and read.
struct Staging {
    stream: Arc<CudaStream>,
    buffers: Pair,
    written: Option<CudaEvent>,
    read: Option<CudaEvent>,
}

/// Copies through a buffer of pinned memory; returns when the buffer is filled, not when the copy is over.
fn copy_through(
    pinned: &mut Pinned,
    stream: &Arc<CudaStream>,
    to: Address,
    from: &[u8],
) -> std::result::Result<(), DriverError> {
    // Waits until the last copy out of this buffer is over.
    pinned.as_mut_slice()?[..from.len()].copy_from_slice(from);
    // SAFETY: the bytes are used with this stream only. The guard, dropped last, marks the copy's end.
    let (bytes, _guard) = unsafe { pinned.stream_synced_slice(stream) };
    // SAFETY: the buffer is left alone until the copy is over. The driver refuses foreign memory.
    unsafe { result::memcpy_htod_async(to, &bytes[..from.len()], stream.cu_stream()) }
}

/// The version of the compiler of the kernels, NVRTC, as it would be used for the first GPU.
///
/// # Errors
/// It is not found, or too old; the error says what to do.
pub fn cuda_compiler() -> Result<String> {
    let newest = gpus().ok().and_then(|gpus| gpus.first().map(|gpu| gpu.driver.0)).unwrap_or(u32::MAX);
    Ok(dotted(Nvrtc::find(newest)?.version))
}

/// Whether there is a GPU of this number that the kernels can run on.
pub(super) fn check(ordinal: usize) -> Result<()> {
    driver::find(ordinal).map(drop)
}

/// Loads a part of the kernels into a context, from the cache or compiled.
fn load(
    context: &Arc<CudaContext>,
    nvrtc: &Nvrtc,
    info: &GpuInfo,
    precision: Precision,
    source: &str,
) -> Result<Arc<CudaModule>> {
    let target = nvrtc.target(info.capability)?;
    let options = ["--std=c++17".to_string(), format!("-DPRECISION={}", precision.code())];
    let version = dotted(nvrtc.version);
    let name = cache::name(&[source, &target, &options[0], &options[1], &version].map(str::as_bytes));
    let cache = Cache::of_user();
    if let Some(module) = cache.read(&name).and_then(|code| context.load_module(Ptx::from_binary(code)).ok())
    {
        return Ok(module);
    }
    let code = nvrtc.compile(source, &target, &options)?;
    cache.write(&name, &code);
    context.load_module(Ptx::from_binary(code)).map_err(failed(&format!(
        "{} refuses the kernels, which NVRTC {version} compiled for {target}; its driver knows CUDA {}, and \
         NVRTC must not be newer",
        info.name,
        dotted(info.driver)
    )))
}

impl Device for Gpu {
    fn processors(&self) -> usize {
        self.info.multiprocessors as usize
    }

    /// The memory is zero.
    fn alloc(&mut self, bytes: usize) -> Result<Address> {
        let bytes = bytes.max(1);
        self.context.bind_to_thread().map_err(refused(bytes))?;
        // SAFETY: the context is bound, and nothing reads the memory before it is zero.
        let at = unsafe { result::malloc_sync(bytes) }.map_err(refused(bytes))?;
        self.blocks.push(at);
        // SAFETY: the block was just made with this length, and is freed when the stream is done.
        unsafe { result::memset_d8_async(at, 0, bytes, self.stream.cu_stream()) }.map_err(refused(bytes))?;
        // What is staged does not wait for this stream.
        self.stream.synchronize().map_err(refused(bytes))?;
        Ok(at)
    }

    fn upload(&mut self, to: Address, from: &[u8]) -> Result<()> {
        let Some(power) = from.len().checked_ilog2() else { return Ok(()) };
        let failed = failed("copying to the GPU");
        self.context.bind_to_thread().map_err(&failed)?;
        let pinned = self.uploads.entry(power).or_default().next(&self.context, from.len())?;
        copy_through(pinned, &self.stream, to, from).map_err(failed)
    }

    fn stage(&mut self, to: Address, from: &[u8]) -> Result<()> {
        if from.is_empty() {
            return Ok(());
        }
        let failed = failed("copying to the GPU");
        self.context.bind_to_thread().map_err(&failed)?;
        if let Some(read) = &self.staging.read {
            self.staging.stream.wait(read).map_err(&failed)?;
        }
        let pinned = self.staging.buffers.next(&self.context, from.len())?;
        copy_through(pinned, &self.staging.stream, to, from).map_err(&failed)?;
        self.staging.written = Some(self.staging.stream.record_event(None).map_err(&failed)?);
        Ok(())
    }

    fn fetch(&mut self, from: Address, to: Address, bytes: usize) -> Result<()> {
        let failed = failed("copying on the GPU");
        self.context.bind_to_thread().map_err(&failed)?;
        if let Some(written) = &self.staging.written {
            self.stream.wait(written).map_err(&failed)?;
        }
        // SAFETY: both places are of this device; the next copy to `from` waits for the event behind this one.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }.map_err(&failed)?;
        self.staging.read = Some(self.stream.record_event(None).map_err(&failed)?);
        Ok(())
    }

    fn download(&mut self, mut from: Address, to: &mut [u8]) -> Result<()> {
        let failed = failed("copying from the GPU");
        self.context.bind_to_thread().map_err(&failed)?;
        for piece in to.chunks_mut(PIECE) {
            let pinned = grown(&mut self.download, &self.context, piece.len())?;
            let bytes = &mut pinned.as_mut_slice().map_err(&failed)?[..piece.len()];
            // SAFETY: the stream is waited for before the bytes are used. The driver refuses foreign memory.
            unsafe { result::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) }.map_err(&failed)?;
            self.stream.synchronize().map_err(&failed)?;
            piece.copy_from_slice(bytes);
            from += piece.len() as Address;
        }
        self.stream.synchronize().map_err(&failed)
    }

    fn record(&mut self, launches: Vec<Launch>) -> Result<TapeId> {
        self.context.bind_to_thread().map_err(failed("recording"))?;
        let mut ready = Vec::with_capacity(launches.len());
        for launch in launches {
            if !self.kernels.contains_key(launch.kernel) {
                let kernel = Kernel::load(&self.modules, launch.kernel, self.info.driver)?;
                self.kernels.insert(launch.kernel, kernel);
            }
            ready.push(self.kernels[launch.kernel].prepare(launch)?);
        }
        self.tapes.push(Tape::record(&self.stream, ready)?);
        Ok(TapeId(self.tapes.len() - 1))
    }

    fn run(&mut self, tape: TapeId) -> Result<()> {
        self.tape(tape)?.run()
    }

    fn times(&mut self, tape: TapeId) -> Result<Vec<f32>> {
        self.tape(tape)?.times(&self.stream)
    }

    fn join(&mut self, id: &[u8], rank: usize, size: usize) -> Result<()> {
        self.group = Some(Nccl::join(&self.stream, id, rank, size)?);
        Ok(())
    }

    fn sum_f32(&mut self, at: Address, len: usize) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.sum(at, len, FLOAT32))
    }

    fn sum_f64(&mut self, at: Address, len: usize) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.sum(at, len, FLOAT64))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // What still runs may use the memory. Nobody is left to hear of errors; one that was kept from before
        // would stop the context from being bound.
        let _ = self.context.check_err();
        // Before the stream is waited for, which may be in a sum that other ranks have left.
        self.group = None;
        let _ = self.staging.stream.synchronize();
        let _ = self.stream.synchronize();
        for block in self.blocks.drain(..) {
            // SAFETY: the block is ours, nothing runs any more, and it is freed once.
            let _ = unsafe { result::free_sync(block) };
        }
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("info", &self.info).finish_non_exhaustive()
    }
}
