//! How much memory this process may still take.

use std::fs;

/// Bytes that can be taken without swapping: what the kernel calls available, or what the control group leaves if that is
/// less. `None` where the system does not say (other systems than Linux).
pub fn available_memory() -> Option<u64> {
    let machine = in_machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let group = || in_group(&read("memory.max")?, &read("memory.current")?, &read("memory.stat")?);
    Some(group().map_or(machine, |group| group.min(machine)))
}

/// From the text of `/proc/meminfo`.
fn in_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// From a control group's limit, its present use and what that consists of; `None` without a limit. Files that the kernel keeps
/// in memory count as used, but it gives them up for the asking.
fn in_group(max: &str, current: &str, stat: &str) -> Option<u64> {
    let of = |name: &str| stat.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok());
    let files = of("active_file ").unwrap_or(0) + of("inactive_file ").unwrap_or(0);
    let used = current.trim().parse::<u64>().ok()?.saturating_sub(files);
    Some(max.trim().parse::<u64>().ok()?.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let text = "MemTotal:       24690000 kB\nMemFree:         1000000 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(in_machine(text), Some(23_000_000 * 1024));
        assert_eq!(in_machine("MemTotal: 5 kB\n"), None);
        let stat = "anon 60\nfile 240\ninactive_file 150\nactive_file 50\n";
        assert_eq!(in_group("1000\n", "300\n", stat), Some(900));
        assert_eq!(in_group("1000\n", "300\n", ""), Some(700));
        assert_eq!(in_group("50\n", "300\n", stat), Some(0));
        assert_eq!(in_group("max\n", "300\n", stat), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
