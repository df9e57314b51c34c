//! How much memory this process really holds, to compare with what a plan says it takes.

/// Bytes of memory that this process holds resident (not swapped out, not merely reserved) at this moment; `None` where the
/// system does not tell, which is everywhere but on Linux.
///
/// ```
/// if let Some(bytes) = mlcls_engine::resident_bytes() {
///     println!("{:.1} MB", bytes as f64 * 1e-6);
/// }
/// ```
pub fn resident_bytes() -> Option<usize> {
    // Counted page by page: the figures of `status` may be late by some pages per processor.
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"))?;
    Some(1024 * kib.parse::<usize>().ok()?)
}
