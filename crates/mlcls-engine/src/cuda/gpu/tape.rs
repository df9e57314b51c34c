//! Kernels, and sequences of their launches as CUDA graphs.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUevent_flags::CU_EVENT_DEFAULT};
use cudarc::driver::{CudaEvent, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, result};

use super::driver::{cuda, failed};
use crate::cuda::device::Launch;
use crate::error::Result;

/// The largest argument that CUDA lets a kernel have, in words of 8 bytes.
const LARGEST: usize = 4096;

/// A kernel and what is known of it.
pub(super) struct Kernel {
    function: CudaFunction,
    /// Threads that a block can have, which depends on the registers of each.
    threads: u32,
    /// Bytes of the argument, where the driver can tell.
    argument: Option<usize>,
}

impl Kernel {
    /// The kernel of this name, from whichever of the modules has it.
    pub(super) fn load(modules: &[Arc<CudaModule>], name: &str, driver: (u32, u32)) -> Result<Self> {
        let failed = failed(name);
        let missing = Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND));
        let find = |found: std::result::Result<_, _>, module: &Arc<CudaModule>| {
            found.or_else(|_| module.load_function(name))
        };
        let function = modules.iter().fold(missing, find).map_err(&failed)?;
        // Asking for this makes the driver load what it has put off loading, which recording might not allow.
        let threads = function.max_threads_per_block().map_err(&failed)?.unsigned_abs();
        let (mut offset, mut bytes) = (0, 0);
        // Older drivers do not have this function.
        let told = driver >= (12, 4);
        if told {
            // SAFETY: the function is loaded, and two numbers are written.
            let asked =
                unsafe { sys::cuFuncGetParamInfo(function.cu_function(), 0, &mut offset, &mut bytes) };
            asked.result().map_err(&failed)?;
        }
        Ok(Self { function, threads, argument: told.then_some(bytes) })
    }

    /// Checks a launch for what the driver would not explain or not even see.
    pub(super) fn prepare(&self, mut launch: Launch) -> Result<Prepared> {
        let Launch { kernel, threads, ref mut args, .. } = launch;
        if threads > self.threads {
            return Err(cuda(format!(
                "{kernel}: a block of {threads} threads, at most {} can be",
                self.threads
            )));
        }
        match (8 * args.len(), self.argument) {
            (found, Some(expected)) if expected.next_multiple_of(8) != found => {
                return Err(cuda(format!("{kernel}: an argument of {found} bytes, expected {expected}")));
            }
            (_, Some(_)) => {}
            // The driver reads as much as the kernel takes, which this is enough for.
            (_, None) => args.resize(LARGEST, 0),
        }
        Ok(Prepared { launch, function: self.function.clone() })
    }
}

/// A launch that has been checked, and its kernel.
pub(super) struct Prepared {
    launch: Launch,
    function: CudaFunction,
}

impl Prepared {
    fn start(&self, stream: &CudaStream) -> Result<()> {
        let Launch { kernel, grid: [x, y, z], threads, ref args, .. } = self.launch;
        let (function, stream) = (self.function.cu_function(), stream.cu_stream());
        let mut args = [args.as_ptr().cast_mut().cast::<c_void>()];
        // SAFETY: the kernel is loaded. The argument has at least its length and is copied before this
        // returns. That the addresses in it are right is up to the plan.
        unsafe { result::launch_kernel(function, (x, y, z), (threads, 1, 1), 0, stream, &mut args) }
            .map_err(failed(kernel))
    }
}

/// A sequence of launches: recorded, and one by one to take their times.
pub(super) struct Tape {
    launches: Vec<Prepared>,
    graph: CudaGraph,
}

// SAFETY: a graph can be used from any thread, by one at a time; a tape shows it to its one owner only.
unsafe impl Send for Tape {}

impl Tape {
    pub(super) fn record(stream: &Arc<CudaStream>, launches: Vec<Prepared>) -> Result<Self> {
        let failed = failed("recording");
        stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).map_err(&failed)?;
        let started = launches.iter().try_for_each(|launch| launch.start(stream));
        // In any case: a stream that goes on recording does nothing else.
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
        started?;
        let graph = graph.map_err(&failed)?.ok_or_else(|| cuda("recording gave no graph"))?;
        graph.upload().map_err(&failed)?;
        Ok(Self { launches, graph })
    }

    pub(super) fn run(&self) -> Result<()> {
        self.graph.launch().map_err(failed("running the kernels"))
    }

    /// Runs the launches one by one and gives the milliseconds of each.
    pub(super) fn times(&self, stream: &CudaStream) -> Result<Vec<f32>> {
        let failed = failed("taking the times of kernels");
        // All of them beforehand: making one takes longer than many a kernel.
        let events = (0..=self.launches.len()).map(|_| stream.context().new_event(Some(CU_EVENT_DEFAULT)));
        let events = events.collect::<std::result::Result<Vec<_>, _>>().map_err(&failed)?;
        events[0].record(stream).map_err(&failed)?;
        for (launch, event) in self.launches.iter().zip(&events[1..]) {
            launch.start(stream)?;
            event.record(stream).map_err(&failed)?;
        }
        stream.synchronize().map_err(&failed)?;
        events.windows(2).map(|pair| milliseconds(&pair[0], &pair[1])).collect()
    }
}

fn milliseconds(from: &CudaEvent, to: &CudaEvent) -> Result<f32> {
    // cudarc calls the second version of this function, which drivers before 12.8 lack; all have the first.
    type Elapsed = unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> sys::CUresult;
    let mut time = 0.0;
    // SAFETY: the type is the function's, both events have been recorded, and one number is written.
    unsafe {
        let elapsed = sys::culib().get::<Elapsed>("cuEventElapsedTime".as_bytes());
        let elapsed = elapsed.map_err(|error| cuda(error.to_string()))?;
        elapsed(&mut time, from.cu_event(), to.cu_event())
            .result()
            .map_err(failed("taking the times of kernels"))?;
    }
    Ok(time)
}
