//! Running the binary, and the data that the tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What a finished command left behind.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// The output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

/// `mlcls` with these arguments, cut off from the terminal, the network and the caches of the user.
pub fn command<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlcls"));
    command
        .args(args)
        .stdin(Stdio::null())
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", nowhere());
    // A launcher of the tests is none of theirs.
    for variable in ["RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_STEP_NUM_TASKS"] {
        command.env_remove(variable);
    }
    command
}

/// Runs `mlcls` and waits for it.
pub fn mlcls<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Done {
    finish(&mut command(args))
}

/// Runs a command and waits for it.
pub fn finish(command: &mut Command) -> Done {
    let output = command.output().expect("the binary starts");
    Done {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("the output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("the errors are UTF-8"),
    }
}

/// Whether the binary can use a GPU; says so in one line where a test is skipped for it.
pub fn has_gpu() -> bool {
    let machine = mlcls(["doctor", "--json"]).ok().stdout;
    let machine: serde_json::Value = serde_json::from_str(&machine).expect("the doctor prints JSON");
    let has = machine["cuda"]["built"] == true && machine["cuda"]["error"].is_null();
    if has {
        println!("skipped: there is an NVIDIA driver");
    }
    has
}

/// A folder that does not exist.
pub fn nowhere() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("nowhere")
}

/// The result of `mlcls demo --quick`, made once: `data/` is a data set, `run/` a finished run on it.
pub struct Demo {
    pub root: PathBuf,
    pub stdout: String,
}

impl Demo {
    pub fn data(&self) -> String {
        self.root.join("data").display().to_string()
    }

    pub fn best(&self) -> String {
        self.root.join("run/checkpoints/best.safetensors").display().to_string()
    }

    /// A file of the test split.
    pub fn image(&self, number: usize) -> String {
        self.root.join(format!("data/images/test/scene{number:05}.jpg")).display().to_string()
    }
}

/// The shared demo.
pub fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo");
        if root.exists() {
            fs::remove_dir_all(&root).expect("the last demo can be removed");
        }
        let done = mlcls(["demo", "--quick", "--out", &root.display().to_string()]).ok();
        Demo { root, stdout: done.stdout }
    })
}

/// The model that trains fastest.
pub const SMALL_MODEL: &str = "mobilenetv3_large_100";

/// Arguments of a training that takes seconds: the demo's data, 32 pixels, random first weights.
pub fn short_training(out: &Path, more: &[&str]) -> Vec<String> {
    let out = out.display().to_string();
    let data = demo().data();
    let fixed = [
        "train",
        &data,
        "--out",
        &out,
        "--model",
        SMALL_MODEL,
        "--pretrained",
        "none",
        "--image-size",
        "32",
        "--batch-size",
        "8",
    ];
    fixed.iter().chain(more).map(|s| (*s).to_owned()).collect()
}
