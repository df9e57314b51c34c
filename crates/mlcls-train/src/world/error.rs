//! What can go wrong between processes that train together.

/// An error of training in several processes. After any of them the processes can no longer work together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// An environment variable is missing or says something impossible.
    #[error("{name} is {}; expected {expected}", found.as_ref().map_or("not set".to_owned(), |found| format!("{found:?}")))]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it says, if it is set.
        found: Option<String>,
        /// What it should say.
        expected: String,
    },
    /// Rank 0 cannot listen where the others look for it.
    #[error(
        "rank 0 cannot listen at {address}: {source}; is MASTER_ADDR its host, and MASTER_PORT free there?"
    )]
    Listen {
        /// Host and port.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Rank 0 was not found.
    #[error(
        "rank 0 was not found at {address} within {seconds} s: {source}; is it running, is MASTER_ADDR its host, and \
         does a firewall let MASTER_PORT through?"
    )]
    Unreached {
        /// Host and port.
        address: String,
        /// How long it was looked for.
        seconds: u64,
        /// What happened last.
        source: std::io::Error,
    },
    /// Not all ranks came.
    #[error(
        "{came} of {size} ranks came to {address} within {seconds} s, and rank {missing} did not; was it started, and \
         with the same MASTER_ADDR and MASTER_PORT?"
    )]
    Absent {
        /// Host and port.
        address: String,
        /// How long rank 0 waited.
        seconds: u64,
        /// Ranks that came, with rank 0.
        came: usize,
        /// Ranks that were expected.
        size: usize,
        /// The first that is missing.
        missing: usize,
    },
    /// A rank was started for something else than rank 0.
    #[error(
        "rank {rank} differs from rank 0 in its {what}: found {found}, expected {expected}; start all ranks with the \
         same program, settings and data"
    )]
    Differs {
        /// The rank.
        rank: usize,
        /// In what.
        what: &'static str,
        /// What it has.
        found: String,
        /// What rank 0 has.
        expected: String,
    },
    /// Two processes have the same rank.
    #[error("two processes are rank {rank}; give each its own RANK, from 0 to WORLD_SIZE - 1")]
    Twice {
        /// The rank.
        rank: usize,
    },
    /// A rank ended, fell silent, or does something else than the others.
    #[error("rank {rank} is lost: {reason}; its own output says why")]
    Lost {
        /// The rank.
        rank: usize,
        /// What was seen of it.
        reason: String,
    },
}

/// A result of this module.
pub(super) type Result<T> = std::result::Result<T, WorldError>;
