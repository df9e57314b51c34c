//! What Slurm's variables say about where to meet.

/// The first host of a list as in `SLURM_STEP_NODELIST`, for example `gpu07` of `gpu[07-09,12],cpu1`; `None` if it is no such
/// list. Rank 0 runs there, unless the job asked for another order.
pub(super) fn first_host(list: &str) -> Option<String> {
    let mut host = String::new();
    let mut rest = list.trim();
    while let Some(at) = rest.find(['[', ',']) {
        host += &rest[..at];
        if rest[at..].starts_with(',') {
            rest = "";
            break;
        }
        let (numbers, behind) = rest[at + 1..].split_once(']')?;
        host += numbers.split([',', '-']).next()?;
        rest = behind;
    }
    host += rest;
    let valid = |char: char| char.is_alphanumeric() || "-_.:".contains(char);
    (!host.is_empty() && host.chars().all(valid)).then_some(host)
}

/// A port for a step of a job, above those that Linux gives to outgoing connections: 61440 to 65535.
pub(super) fn port(job: u64, step: u64) -> u16 {
    61440 + (job.wrapping_add(step) % 4096) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_host_of_a_list() {
        for (list, first) in [
            ("gpu07", "gpu07"),
            ("gpu07,gpu08", "gpu07"),
            ("gpu[07-09,12],cpu1", "gpu07"),
            ("gpu[3]", "gpu3"),
            ("gpu[12,14-15].cluster.org,x", "gpu12.cluster.org"),
            ("rack[2-3]node[04-09]", "rack2node04"),
            ("node-1-2,node-1-3", "node-1-2"),
            ("10.0.0.7", "10.0.0.7"),
        ] {
            assert_eq!(first_host(list).as_deref(), Some(first), "{list}");
        }
        for list in ["", " ", ",a", "gpu[1-2", "gpu]1", "a b", "[", "[]", "]["] {
            assert_eq!(first_host(list), None, "{list}");
        }
    }

    #[test]
    fn ports_of_jobs() {
        assert_eq!(port(0, 0), 61440);
        assert_eq!(port(4095, 0), 65535);
        assert_eq!(port(u64::MAX, 3), port(2, 0));
        assert_ne!(port(7, 0), port(7, 1));
    }
}
