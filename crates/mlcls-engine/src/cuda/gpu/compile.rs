//! NVIDIA's run-time compiler, NVRTC.

use std::ffi::{CString, c_char};

use cudarc::nvrtc::{result, result::NvrtcError, sys};

use super::driver::{cuda, dotted};
use super::library::Library;
use crate::error::{Error, Result};

/// The compiler, found and loaded.
#[derive(Debug)]
pub(super) struct Nvrtc {
    /// Its version, major and minor.
    pub(super) version: (u32, u32),
    /// The compute capabilities that it knows, as in `sm_80`.
    targets: Vec<u32>,
}

impl Nvrtc {
    /// Looks for the compiler: as the loader does, then for one of CUDA `newest` or older where the toolkit,
    /// pip and conda put it.
    pub(super) fn find(newest: u32) -> Result<Self> {
        // SAFETY: the library asks for nothing when it is loaded.
        let found = || unsafe { sys::is_culib_present() };
        if !found() {
            let majors = [13, 12].into_iter().filter(|&major| major <= newest);
            let _ = majors.map(|major| format!("libnvrtc.so.{major}")).find_map(|name| Library::find(&name));
        }
        if !found() {
            return Err(cuda(
                "no compiler for the kernels found (libnvrtc.so.12 or libnvrtc.so.13); it comes with the \
                 CUDA toolkit or with pip install nvidia-cuda-nvrtc-cu12 (nvidia-cuda-nvrtc for CUDA 13); \
                 unless that is the pip of the first python3 on PATH, its folder must be in LD_LIBRARY_PATH",
            ));
        }
        // SAFETY: the library is there, and the function is not called.
        let listed =
            unsafe { sys::culib().get::<unsafe extern "C" fn()>("nvrtcGetSupportedArchs".as_bytes()) };
        listed.map_err(|_| {
            cuda("the libnvrtc that was found is older than 11.2; install one of CUDA 12 or newer")
        })?;
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: two numbers, then one, and then as many as that one says are written.
        let targets = unsafe {
            sys::nvrtcVersion(&mut major, &mut minor).result().map_err(failed)?;
            sys::nvrtcGetNumSupportedArchs(&mut count).result().map_err(failed)?;
            let mut targets = vec![0; count.unsigned_abs() as usize];
            sys::nvrtcGetSupportedArchs(targets.as_mut_ptr()).result().map_err(failed)?;
            targets
        };
        Ok(Self {
            version: (major.unsigned_abs(), minor.unsigned_abs()),
            targets: targets.into_iter().map(i32::unsigned_abs).collect(),
        })
    }

    /// What to compile for: the GPU itself, or, if it came after this compiler, the newest one before it, in
    /// the form that the driver compiles further.
    pub(super) fn target(&self, capability: (u32, u32)) -> Result<String> {
        let gpu = 10 * capability.0 + capability.1;
        match self.targets.iter().copied().filter(|&known| known <= gpu).max() {
            Some(known) if known == gpu => Ok(format!("sm_{gpu}")),
            Some(known) => Ok(format!("compute_{known}")),
            None => Err(cuda(format!(
                "NVRTC {} does not compile for compute capability {}; install another one",
                dotted(self.version),
                dotted(capability)
            ))),
        }
    }

    /// The code of `source` for a `target`, in the form that the driver loads.
    pub(super) fn compile(&self, source: &str, target: &str, options: &[String]) -> Result<Vec<u8>> {
        let source = CString::new(source).map_err(|_| cuda("the source of the kernels has a zero byte"))?;
        let program = Program(result::create_program(&source, Some(c"kernels.cu")).map_err(failed)?);
        let options = [&[format!("--gpu-architecture={target}")], options].concat();
        // SAFETY: the program lives until the end of this function, as does its source.
        if let Err(error) = unsafe { result::compile_program(program.0, &options) } {
            // SAFETY: as above.
            let log = bytes(unsafe { result::get_program_log(program.0) }.unwrap_or_default());
            let log = String::from_utf8_lossy(&log);
            let (version, log) = (dotted(self.version), log.trim_end_matches(['\0', '\n']));
            return Err(cuda(format!("NVRTC {version} does not compile the kernels: {error}\n{log}")));
        }
        if target.starts_with("compute_") {
            // SAFETY: as above; it has been compiled.
            return unsafe { result::get_ptx(program.0) }.map(bytes).map_err(failed);
        }
        let mut size = 0;
        // SAFETY: as above; the second call fills the bytes that the first one counts.
        unsafe {
            sys::nvrtcGetCUBINSize(program.0, &mut size).result().map_err(failed)?;
            let mut code = vec![0u8; size];
            sys::nvrtcGetCUBIN(program.0, code.as_mut_ptr().cast()).result().map_err(failed)?;
            Ok(code)
        }
    }
}

/// A program that is freed when it goes.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by `create_program`, and nothing uses it any more.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

fn failed(error: NvrtcError) -> Error {
    cuda(format!("NVRTC: {error}"))
}

fn bytes(chars: Vec<c_char>) -> Vec<u8> {
    chars.into_iter().map(|char| char as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::source::SOURCES;
    use crate::precision::Precision;

    #[test]
    fn a_gpu_newer_than_the_compiler_gets_code_that_the_driver_compiles_further() {
        let nvrtc = Nvrtc { version: (12, 1), targets: vec![80, 86, 89, 90] };
        assert_eq!(nvrtc.target((8, 6)).unwrap(), "sm_86");
        assert_eq!(nvrtc.target((8, 7)).unwrap(), "compute_86");
        assert_eq!(nvrtc.target((12, 0)).unwrap(), "compute_90");
        assert!(nvrtc.target((7, 5)).is_err());
    }

    #[test]
    fn kernels_compile_and_errors_come_with_their_log() {
        let nvrtc = match Nvrtc::find(u32::MAX) {
            Ok(nvrtc) => nvrtc,
            Err(error) => {
                println!("skipped: {error}");
                assert!(error.to_string().contains("libnvrtc"), "{error}");
                return;
            }
        };
        let good = r#"struct Args { float* to; float by; };
            extern "C" __global__ void scale(Args a) { a.to[threadIdx.x] *= a.by + PRECISION; }"#;
        let options = ["--std=c++17".to_string(), "-DPRECISION=2".to_string()];
        let code = nvrtc.compile(good, "sm_80", &options).unwrap();
        assert_eq!(&code[..4], b"\x7fELF");
        let text = nvrtc.compile(good, "compute_80", &options).unwrap();
        assert!(String::from_utf8_lossy(&text).contains(".target sm_80"));
        assert_eq!(text.last(), Some(&0));

        let error = nvrtc.compile("__global__ void f() { missing(); }", "sm_80", &options).unwrap_err();
        assert!(error.to_string().contains("kernels.cu(1): error: identifier \"missing\""), "{error}");
        assert!(nvrtc.compile("a\0b", "sm_80", &options).is_err());
    }

    /// All kernels in all precisions, by NVIDIA's own compiler, which every other test does without.
    #[test]
    fn our_kernels_compile() {
        let Ok(nvrtc) = Nvrtc::find(u32::MAX) else {
            println!("skipped: there is no NVRTC");
            return;
        };
        for precision in Precision::ALL {
            let options = ["--std=c++17".to_string(), format!("-DPRECISION={}", precision.code())];
            for source in SOURCES {
                let code = nvrtc.compile(source, "sm_80", &options).unwrap();
                assert_eq!(&code[..4], b"\x7fELF", "{}", precision.name());
            }
        }
    }
}
