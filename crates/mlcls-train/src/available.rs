//! How much memory this process may still take.

use std::fs;

/// Bytes that can be taken without swapping: what the kernel calls available, or what the control group leaves if that is
/// less. `None` where the system does not say (other systems than Linux).
pub(crate) fn available_memory() -> Option<u64> {
    let machine = in_machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let group = read("memory.max").zip(read("memory.current")).and_then(|(max, now)| in_group(&max, &now));
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// From the text of `/proc/meminfo`.
fn in_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// From a control group's limit and its present use; `None` without a limit.
fn in_group(max: &str, current: &str) -> Option<u64> {
    Some(max.trim().parse::<u64>().ok()?.saturating_sub(current.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let text = "MemTotal:       24690000 kB\nMemFree:         1000000 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(in_machine(text), Some(23_000_000 * 1024));
        assert_eq!(in_machine("MemTotal: 5 kB\n"), None);
        assert_eq!(in_group("1000\n", "300\n"), Some(700));
        assert_eq!(in_group("100\n", "300\n"), Some(0));
        assert_eq!(in_group("max\n", "300\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
