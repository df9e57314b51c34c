//! The NVIDIA driver: whether there is one, which GPUs it has, and its errors in words.

use cudarc::driver::{result, result::DriverError, sys};

use crate::error::{Error, Result};

/// The oldest CUDA that a driver must know.
const DRIVER: (u32, u32) = (12, 0);
/// The oldest compute capability: the kernels use the matrix instructions that came with Ampere.
const CAPABILITY: (u32, u32) = (8, 0);

/// What the driver says of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its name, for example `NVIDIA A10G`.
    pub name: String,
    /// Its number, from 0; `CUDA_VISIBLE_DEVICES` changes it.
    pub ordinal: usize,
    /// Bytes of its memory.
    pub memory: usize,
    /// Its compute capability, major and minor.
    pub capability: (u32, u32),
    /// Its multiprocessors.
    pub multiprocessors: u32,
    /// The newest CUDA that the driver knows, major and minor.
    pub driver: (u32, u32),
}

impl GpuInfo {
    /// Whether the kernels can run on it: from compute capability 8.0 on.
    pub fn supported(&self) -> bool {
        self.capability >= CAPABILITY
    }
}

/// All GPUs that the driver shows, which may be none; an error where there is no driver that can be used.
pub fn gpus() -> Result<Vec<GpuInfo>> {
    // SAFETY: the driver's library asks for nothing when it is loaded.
    if !unsafe { sys::is_culib_present() } {
        return Err(cuda("no NVIDIA driver found (libcuda.so.1); install one, or train with --device cpu"));
    }
    let mut version = 0;
    // SAFETY: the driver writes one number. It tells its version before it is started.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(failed("the NVIDIA driver"))?;
    let version = version.unsigned_abs();
    let driver = (version / 1000, version % 1000 / 10);
    if driver < DRIVER {
        return Err(cuda(format!(
            "the NVIDIA driver knows CUDA {}, expected {} or newer; update it to 525 or newer, or train with \
             --device cpu",
            dotted(driver),
            dotted(DRIVER)
        )));
    }
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
        other => other.map_err(failed("the NVIDIA driver does not start"))?,
    }
    let count = result::device::get_count().map_err(failed("counting the GPUs"))?;
    (0..count).map(|ordinal| info(ordinal, driver).map_err(failed("asking for a GPU's properties"))).collect()
}

fn info(ordinal: i32, driver: (u32, u32)) -> std::result::Result<GpuInfo, DriverError> {
    use sys::CUdevice_attribute::*;
    let device = result::device::get(ordinal)?;
    // SAFETY: the device comes from the driver.
    let number = |of| unsafe { result::device::get_attribute(device, of) }.map(i32::unsigned_abs);
    Ok(GpuInfo {
        name: result::device::get_name(device)?,
        ordinal: ordinal.unsigned_abs() as usize,
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device) }?,
        capability: (
            number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: number(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        driver,
    })
}

/// The GPU of a number, if the kernels can run on it.
pub(super) fn find(ordinal: usize) -> Result<GpuInfo> {
    let mut all = gpus()?;
    if ordinal >= all.len() {
        let names: Vec<&str> = all.iter().map(|gpu| gpu.name.as_str()).collect();
        return Err(cuda(match names.len() {
            0 => "the NVIDIA driver shows no GPU; see what nvidia-smi says and whether CUDA_VISIBLE_DEVICES \
                  hides it, or train with --device cpu"
                .to_string(),
            count => format!("no GPU {ordinal}: found {count}, numbered from 0 ({})", names.join(", ")),
        }));
    }
    let gpu = all.swap_remove(ordinal);
    if !gpu.supported() {
        return Err(cuda(format!(
            "{} has compute capability {}, expected {} or newer (Ampere); train with --device cpu",
            gpu.name,
            dotted(gpu.capability),
            dotted(CAPABILITY)
        )));
    }
    Ok(gpu)
}

/// A version as people write it.
pub(super) fn dotted((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

/// An error of this module.
pub(super) fn cuda(reason: impl Into<String>) -> Error {
    Error::Cuda { reason: reason.into() }
}

/// Puts an error of the driver into words. Graphs, modules and contexts take memory of the GPU, too.
pub(super) fn failed(what: &str) -> impl Fn(DriverError) -> Error {
    move |error| {
        if out_of_memory(&error) {
            return Error::OutOfGpuMemory { bytes: None };
        }
        let words = error.error_string().map(|words| words.to_string_lossy()).unwrap_or_default();
        cuda(format!("{what}: {:?} {words}", error.0).trim_end())
    }
}

/// An error of asking for memory of the GPU.
pub(super) fn refused(bytes: usize) -> impl Fn(DriverError) -> Error {
    move |error| match out_of_memory(&error) {
        true => Error::OutOfGpuMemory { bytes: Some(bytes) },
        false => failed("asking for memory")(error),
    }
}

pub(super) fn out_of_memory(error: &DriverError) -> bool {
    error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY
}

#[cfg(test)]
mod tests {
    use super::super::{Gpu, Precision};
    use super::*;

    #[test]
    fn without_a_driver_there_is_an_error_that_says_what_to_do() {
        if let Ok(gpus) = gpus() {
            println!("skipped: there is a driver, with {} GPUs", gpus.len());
            return;
        }
        let listed = gpus().unwrap_err().to_string();
        let opened = Gpu::open(0, Precision::Bf16, &[]).unwrap_err().to_string();
        for error in [listed, opened] {
            assert!(error.starts_with("CUDA: ") && error.contains("NVIDIA driver"), "{error}");
        }
    }

    #[test]
    fn whatever_finds_no_memory_on_the_gpu_says_so() {
        let full = || DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert!(matches!(failed("recording")(full()), Error::OutOfGpuMemory { bytes: None }));
        assert!(matches!(refused(7)(full()), Error::OutOfGpuMemory { bytes: Some(7) }));
        assert!(refused(7)(full()).to_string().contains("7 bytes"));
    }

    #[test]
    fn a_number_without_a_gpu_is_an_error() {
        assert!(find(usize::MAX).is_err());
    }
}
