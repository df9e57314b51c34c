//! Which of how many processes this one is, as its launcher says.

use std::fmt;

use mlcls_data::Part;

use super::error::{Result, WorldError};
use super::slurm;

/// Where the processes meet: the host of rank 0, and the port that it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Which of how many processes this one is, and where they meet.
///
/// ```
/// use mlcls_train::Placement;
///
/// let variables = [
///     ("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1"),
///     ("MASTER_ADDR", "gpu07"), ("MASTER_PORT", "29500"),
/// ];
/// let find = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
/// let placement = Placement::from(&find)?.expect("the variables are set");
/// assert_eq!((placement.rank(), placement.size(), placement.local_rank()), (5, 8, 1));
/// # Ok::<(), mlcls_train::WorldError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    pub(super) rank: usize,
    pub(super) size: usize,
    pub(super) local_rank: usize,
    pub(super) local_size: usize,
    /// None for the only one of its kind.
    pub(super) address: Option<Address>,
    /// Whether it is one of a group, be it of one.
    pub(super) grouped: bool,
}

impl Placement {
    /// The only process of its kind.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, local_rank: 0, local_size: 1, address: None, grouped: false }
    }

    /// What the environment says; `None` if no launcher has started this process.
    ///
    /// # Errors
    /// Of the variables some are missing, not numbers, or contradict each other.
    pub fn from_env() -> Result<Option<Self>> {
        Self::from(&|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// What the variables say that a function looks up. They are those of
    ///
    /// * torchrun: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT`, and `LOCAL_WORLD_SIZE` if it is set. Where torchrun itself listens on that
    ///   port (`TORCHELASTIC_USE_AGENT_STORE` is `True`), the processes meet at the next one;
    /// * or else `srun` of Slurm: `SLURM_PROCID`, `SLURM_STEP_NUM_TASKS` (also known as `SLURM_NTASKS`) and `SLURM_LOCALID`. They
    ///   meet at `MASTER_ADDR` or else the first host of `SLURM_STEP_NODELIST` or `SLURM_JOB_NODELIST`, and at `MASTER_PORT` or
    ///   else a port that follows from `SLURM_JOB_ID` and `SLURM_STEP_ID`. A batch script has no step: what it runs without
    ///   `srun` runs once, whatever `SLURM_NTASKS` says.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from(find: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let variables = Variables(find);
        let [rank, size, local_rank] = match (find("RANK"), find("SLURM_STEP_NUM_TASKS")) {
            (None, Some(_)) => ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"],
            (None, None) if find("WORLD_SIZE").is_none() && find("LOCAL_RANK").is_none() => return Ok(None),
            _ => ["RANK", "WORLD_SIZE", "LOCAL_RANK"],
        };
        let slurm = rank == "SLURM_PROCID";
        let size = variables.number(size, 1, u64::from(u16::MAX), "the number of processes")?;
        let rank = variables.number(rank, 0, size - 1, "the number of this process")?;
        let local_rank =
            variables.number(local_rank, 0, size - 1, "the number of this process on its host")?;
        // Slurm gives each process cores of its own.
        let local_size = match find("LOCAL_WORLD_SIZE") {
            Some(_) if !slurm => {
                let what = "the number of processes on this host";
                variables.number("LOCAL_WORLD_SIZE", local_rank + 1, size, what)?
            }
            _ => 1,
        };
        let address = match size {
            1 => None,
            _ => Some(Address { host: variables.host(slurm)?, port: variables.port(slurm)? }),
        };
        let [rank, size, local_rank, local_size] =
            [rank, size, local_rank, local_size].map(|number| number as usize);
        // Slurm starts many a process that is meant to be alone.
        let grouped = size > 1 || !slurm;
        Ok(Some(Self { rank, size, local_rank, local_size, address, grouped }))
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The number of this process on its host, from 0.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// How many processes share the cores and the memory that this one sees.
    pub fn local_size(&self) -> usize {
        self.local_size
    }

    /// Whether GPUs work as a group: those of several processes do, and so does the one of a single process that torchrun has started,
    /// which shows on one GPU what several would do.
    pub fn is_grouped(&self) -> bool {
        self.grouped
    }

    /// The share of this process in what all do together.
    pub(crate) fn part(&self) -> Part {
        Part { index: self.rank, of: self.size }
    }
}

/// Where variables are looked up.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn number(&self, name: &'static str, min: u64, max: u64, what: &str) -> Result<u64> {
        let found = (self.0)(name);
        let number = found.as_ref().and_then(|found| found.trim().parse().ok());
        number.filter(|number| (min..=max).contains(number)).ok_or_else(|| WorldError::Variable {
            name,
            found,
            expected: format!("{what}, from {min} to {max}"),
        })
    }

    fn host(&self, slurm: bool) -> Result<String> {
        let set = (self.0)("MASTER_ADDR");
        if let Some(host) = set.as_deref().map(str::trim).filter(|host| !host.is_empty()) {
            return Ok(host.to_owned());
        }
        let lists = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"];
        let host = lists.iter().filter(|_| slurm).find_map(|list| slurm::first_host(&(self.0)(list)?));
        host.ok_or_else(|| WorldError::Variable {
            name: "MASTER_ADDR",
            found: set,
            expected: "the host that rank 0 runs on".to_owned(),
        })
    }

    fn port(&self, slurm: bool) -> Result<u16> {
        // With this set the port belongs to a server of the launcher's.
        let taken = (self.0)("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|set| set == "True");
        if slurm && (self.0)("MASTER_PORT").is_none() {
            let what = "the number of the job, to choose a port by; or set MASTER_PORT";
            let job = self.number("SLURM_JOB_ID", 0, u64::MAX, what)?;
            let step = (self.0)("SLURM_STEP_ID").and_then(|step| step.parse().ok());
            return Ok(slurm::port(job, step.unwrap_or(0)));
        }
        let what = "a port of rank 0's host that all ranks can reach";
        let port = self.number("MASTER_PORT", 1, u64::from(u16::MAX), what)? as u16;
        Ok(if taken { port.checked_add(1).unwrap_or(port - 1) } else { port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Placement>> {
        Placement::from(&|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned()))
    }

    fn place(variables: &[(&str, &str)]) -> (usize, usize, usize, Option<String>) {
        let place = read(variables).unwrap().unwrap();
        (place.rank, place.size, place.local_rank, place.address.map(|address| address.to_string()))
    }

    const TORCHRUN: [(&str, &str); 5] = [
        ("RANK", "3"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_RANK", "1"),
        ("MASTER_ADDR", "gpu07"),
        ("MASTER_PORT", "29500"),
    ];
    const SLURM: [(&str, &str); 6] = [
        ("SLURM_PROCID", "2"),
        ("SLURM_STEP_NUM_TASKS", "4"),
        ("SLURM_LOCALID", "0"),
        ("SLURM_STEP_NODELIST", "gpu[07-08]"),
        ("SLURM_JOB_ID", "4097"),
        ("SLURM_STEP_ID", "1"),
    ];

    #[test]
    fn launchers() {
        assert_eq!(place(&TORCHRUN), (3, 4, 1, Some("gpu07:29500".into())));
        let agent = [&TORCHRUN[..], &[("TORCHELASTIC_USE_AGENT_STORE", "True")]].concat();
        assert_eq!(place(&agent).3.unwrap(), "gpu07:29501");
        assert_eq!(place(&SLURM), (2, 4, 0, Some("gpu07:61442".into())));
        assert_eq!(place(&[&SLURM[..], &TORCHRUN[..]].concat()), place(&TORCHRUN));
        // Scripts for Slurm set some of the other launcher's variables.
        let mixed = [&SLURM[..], &TORCHRUN[1..2], &TORCHRUN[3..]].concat();
        assert_eq!(place(&mixed), (2, 4, 0, Some("gpu07:29500".into())));
    }

    #[test]
    fn processes_of_a_host_share_its_cores_unless_slurm_has_dealt_them_out() {
        let local_size = |variables: &[_]| read(variables).unwrap().unwrap().local_size();
        let two = [&TORCHRUN[..], &[("LOCAL_WORLD_SIZE", "2")]].concat();
        assert_eq!((local_size(&TORCHRUN), local_size(&two), local_size(&SLURM)), (1, 2, 1));
    }

    #[test]
    fn no_launcher() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&TORCHRUN[3..]).unwrap(), None);
        // A batch script that runs something without srun.
        let batch = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4"), ("SLURM_LOCALID", "0")];
        assert_eq!(read(&batch).unwrap(), None);
    }

    #[test]
    fn one_process_needs_no_address() {
        let one = [("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")];
        assert_eq!(place(&one), (0, 1, 0, None));
        assert!(read(&one).unwrap().unwrap().is_grouped() && !Placement::alone().is_grouped());
        let one = [("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_LOCALID", "0")];
        assert_eq!(place(&one), (0, 1, 0, None));
        assert!(!read(&one).unwrap().unwrap().is_grouped() && read(&SLURM).unwrap().unwrap().is_grouped());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (name, _) in TORCHRUN {
            let rest: Vec<_> = TORCHRUN.into_iter().filter(|v| v.0 != name).collect();
            let error = read(&rest).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is not set; expected ")), "{error}");
        }
        for (name, value) in [
            ("RANK", "4"),
            ("RANK", "-1"),
            ("RANK", ""),
            ("RANK", "two"),
            ("WORLD_SIZE", "0"),
            ("WORLD_SIZE", "99999999999999999999"),
            ("LOCAL_RANK", "4"),
            ("MASTER_ADDR", " "),
            ("MASTER_PORT", "0"),
            ("MASTER_PORT", "65536"),
            ("LOCAL_WORLD_SIZE", "1"),
            ("LOCAL_WORLD_SIZE", "5"),
        ] {
            let rest = TORCHRUN.into_iter().filter(|v| v.0 != name);
            let changed: Vec<_> = rest.chain([(name, value)]).collect();
            let error = read(&changed).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is {value:?}; expected ")), "{error}");
        }
        let error = read(&TORCHRUN[..1]).unwrap_err().to_string();
        assert_eq!(error, "WORLD_SIZE is not set; expected the number of processes, from 1 to 65535");

        for (missing, named) in [
            ("SLURM_PROCID", "SLURM_PROCID"),
            ("SLURM_LOCALID", "SLURM_LOCALID"),
            ("SLURM_STEP_NODELIST", "MASTER_ADDR"),
            ("SLURM_JOB_ID", "SLURM_JOB_ID"),
        ] {
            let rest: Vec<_> = SLURM.into_iter().filter(|v| v.0 != missing).collect();
            let error = read(&rest).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{named} is not set; expected ")), "{error}");
        }
    }
}
