//! What the numbers were measured on.

use std::fs::read_to_string;

use crate::shell::{command, read};

/// Instruction sets that a kernel may choose between, newest last.
const ISA: &[&str] = &[
    "asimd",
    "sve",
    "sse4_2",
    "avx",
    "fma",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
];

/// Processor, cores, instruction sets, memory and kernel, on one line.
pub fn describe() -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} x {}; {}; {:.0} GiB; Linux {}",
        cores(),
        model(&cpu),
        isa(&cpu),
        field(&memory, "MemTotal").and_then(|v| v.strip_suffix(" kB")?.parse().ok()).unwrap_or(0.0)
            / f64::from(1 << 20),
        kernel.trim()
    )
}

/// Threads that this process may use at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Our version and the compiler's, as a line of a Markdown list.
pub fn versions() -> String {
    format!("- mlcls: {}; {}; {}\n", commit(), said("rustc", &["--version"]), said("date", &["+%F"]))
}

/// The commit that is checked out, and whether files differ from it.
pub fn commit() -> String {
    let changed = if said("git", &["status", "--porcelain"]).is_empty() { "" } else { " with changes" };
    format!("{}{changed}", said("git", &["rev-parse", "--short", "HEAD"]))
}

/// What a program prints; nothing where it cannot be run.
fn said(program: &str, args: &[&str]) -> String {
    read(&mut command(program, args)).unwrap_or_default().trim().to_owned()
}

/// How many threads wanted to run in the last minute, on average.
pub fn load() -> f64 {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

/// The processor's name; virtual machines hide the exact one, so family and model go with it.
fn model(cpu: &str) -> String {
    let name = field(cpu, "model name").unwrap_or("unknown processor");
    match (field(cpu, "cpu family"), field(cpu, "model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name.to_owned(),
    }
}

fn isa(cpu: &str) -> String {
    let flags = field(cpu, "flags").or(field(cpu, "Features")).unwrap_or_default();
    let has = |name: &&str| flags.split(' ').any(|flag| flag == *name);
    ISA.iter().copied().filter(has).collect::<Vec<_>>().join(" ")
}

/// The first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().filter_map(|l| l.split_once(':')).find(|(key, _)| key.trim() == name).map(|(_, v)| v.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2 avx512f\n";

    #[test]
    fn the_processor_is_named_with_its_instruction_sets() {
        assert_eq!(model(CPU), "AMD EPYC (family 26, model 2)");
        assert_eq!(isa(CPU), "avx avx2 avx512f");
        assert_eq!(model(""), "unknown processor");
    }
}
