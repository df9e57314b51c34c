//! What `mlcls doctor` says of NVIDIA GPUs.

use std::path::Path;

use serde::Serialize;

use super::gigabytes;

/// Computing on an NVIDIA GPU.
#[derive(Default, Serialize)]
pub struct Cuda {
    /// Whether this program can.
    built: bool,
    /// Version of the machine's driver; `null` if there is none.
    driver: Option<String>,
    /// What the driver shows; nothing where this program does not ask it.
    gpus: Vec<Gpu>,
    /// Why nothing could be asked.
    error: Option<String>,
    /// Version of NVRTC, which compiles the kernels; `null` where there is none or it was not looked for.
    compiler: Option<String>,
    /// What is wrong with it, where there is a GPU.
    compiler_error: Option<String>,
}

/// A GPU that the driver shows.
#[derive(Serialize)]
struct Gpu {
    /// As `--device` takes it.
    device: String,
    name: String,
    /// Bytes.
    memory: usize,
    compute_capability: String,
    multiprocessors: u32,
    /// The newest CUDA that the driver knows.
    driver_cuda: String,
    /// Whether mlcls can use it.
    supported: bool,
}

impl Cuda {
    #[cfg(feature = "cuda")]
    pub fn look() -> Self {
        let (gpus, error) = match mlcls_engine::gpus() {
            Ok(gpus) => (gpus.into_iter().map(Gpu::from).collect(), None),
            Err(error) => (vec![], Some(error.to_string())),
        };
        let gpus: Vec<Gpu> = gpus;
        let compiler = (!gpus.is_empty()).then(mlcls_engine::cuda_compiler).transpose();
        let (compiler, compiler_error) = match compiler {
            Ok(version) => (version, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { built: true, driver: nvidia_driver(), gpus, error, compiler, compiler_error }
    }

    #[cfg(not(feature = "cuda"))]
    pub fn look() -> Self {
        Self { driver: nvidia_driver(), ..Self::default() }
    }

    /// In a line.
    pub fn line(&self) -> String {
        let built = if self.built { "built in" } else { "not part of this program" };
        let driver = match (&self.driver, &self.error, self.gpus.first()) {
            (Some(version), ..) => format!("driver {version}"),
            (None, Some(error), _) => error.trim_start_matches("CUDA: ").to_owned(),
            (None, None, Some(gpu)) => format!("driver for CUDA {}", gpu.driver_cuda),
            (None, None, None) => "no NVIDIA driver".to_owned(),
        };
        let compiler = self.compiler.iter().map(|version| format!("; NVRTC {version}"));
        format!("{built}; {driver}{}", compiler.collect::<String>())
    }

    /// Each GPU in a line, with its name as `--device` takes it.
    pub fn gpus(&self) -> impl Iterator<Item = (&str, String)> {
        self.gpus.iter().map(|gpu| (gpu.device.as_str(), gpu.line()))
    }

    /// What is in the way, and what to do.
    pub fn advise(&self) -> Vec<String> {
        let too_old = self.gpus.iter().filter(|gpu| !gpu.supported).map(|gpu| {
            format!(
                "{} is too old: it has compute capability {}, and mlcls needs 8.0 (Ampere) or newer.",
                gpu.name, gpu.compute_capability
            )
        });
        let mut advice: Vec<String> = too_old.collect();
        advice.extend(self.compiler_error.iter().map(|error| format!("No GPU can be used. {error}")));
        match (&self.driver, &self.error) {
            (None, _) => {}
            _ if !self.built => advice.push(
                "There is an NVIDIA driver, but this program was built without CUDA: `cargo build --release --features cuda` makes \
                 one that has it."
                    .to_owned(),
            ),
            (_, Some(error)) => advice.push(format!("No GPU can be used. {error}")),
            _ if self.gpus.is_empty() => advice.push(
                "There is an NVIDIA driver, but it shows no GPU: see what nvidia-smi says, and whether CUDA_VISIBLE_DEVICES hides \
                 it."
                .to_owned(),
            ),
            _ => {}
        }
        advice
    }
}

impl Gpu {
    fn line(&self) -> String {
        format!(
            "{}, {}, compute capability {}, {} multiprocessors, CUDA {}{}",
            self.name,
            gigabytes(self.memory as u64),
            self.compute_capability,
            self.multiprocessors,
            self.driver_cuda,
            if self.supported { "" } else { "; not supported" }
        )
    }
}

#[cfg(feature = "cuda")]
impl From<mlcls_engine::GpuInfo> for Gpu {
    fn from(gpu: mlcls_engine::GpuInfo) -> Self {
        let dotted = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        Self {
            device: format!("cuda:{}", gpu.ordinal),
            memory: gpu.memory,
            compute_capability: dotted(gpu.capability),
            multiprocessors: gpu.multiprocessors,
            driver_cuda: dotted(gpu.driver),
            supported: gpu.supported(),
            name: gpu.name,
        }
    }
}

/// The version in the driver's own words, such as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19`.
fn nvidia_driver() -> Option<String> {
    version(&std::fs::read_to_string(Path::new("/proc/driver/nvidia/version")).ok()?)
}

fn version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let numeric = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(numeric).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_version_is_found() {
        let text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\nGCC version:  gcc version 12.2.0\n";
        assert_eq!(version(text).as_deref(), Some("535.129.03"));
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n";
        assert_eq!(version(open).as_deref(), Some("580.95.05"));
        assert_eq!(version("nothing"), None);
    }

    #[test]
    fn gpus_are_described() {
        let gpu = |name: &str, supported| Gpu {
            device: "cuda:0".to_owned(),
            name: name.to_owned(),
            memory: 24_000_000_000,
            compute_capability: if supported { "8.6" } else { "7.5" }.to_owned(),
            multiprocessors: 72,
            driver_cuda: "12.4".to_owned(),
            supported,
        };
        assert_eq!(
            gpu("NVIDIA A10G", true).line(),
            "NVIDIA A10G, 24.0 GB, compute capability 8.6, 72 multiprocessors, CUDA 12.4"
        );
        assert!(gpu("Tesla T4", false).line().ends_with("CUDA 12.4; not supported"));
        let mut cuda = Cuda { built: true, error: Some("CUDA: no driver".to_owned()), ..Cuda::default() };
        assert_eq!(cuda.line(), "built in; no driver");
        assert!(cuda.advise().is_empty(), "most machines have none");
        cuda.driver = Some("550.54".to_owned());
        assert_eq!(cuda.line(), "built in; driver 550.54");
        assert_eq!(cuda.advise(), ["No GPU can be used. CUDA: no driver"]);
        cuda.error = None;
        assert!(cuda.advise()[0].contains("nvidia-smi"));
        cuda.gpus = vec![gpu("NVIDIA A10G", true), gpu("Tesla T4", false)];
        assert_eq!(cuda.advise().len(), 1);
        assert!(cuda.advise()[0].contains("Tesla T4 is too old: it has compute capability 7.5"));
        cuda.compiler = Some("12.9".to_owned());
        assert_eq!(cuda.line(), "built in; driver 550.54; NVRTC 12.9");
        cuda.compiler_error = Some("CUDA: no compiler".to_owned());
        assert_eq!(cuda.advise()[1], "No GPU can be used. CUDA: no compiler");
        let other = Cuda { driver: cuda.driver, ..Cuda::default() };
        assert!(other.advise()[0].contains("--features cuda"));
    }
}
