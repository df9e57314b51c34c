//! Processes that train together, each on its share of a batch: how they find each other, and what they tell each other.
//!
//! All is said through rank 0, over TCP: simple, and enough for small things and for processors. GPUs add their gradients by
//! NCCL. Nobody is asked for a password, as with NCCL, gloo and MPI: the processes belong into a network of their own.

mod collective;
mod error;
mod hello;
mod link;
mod placement;
mod rendezvous;
mod slurm;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::world as together;

use std::net::TcpListener;
use std::time::Duration;

use self::error::Result;
use self::hello::{Hello, VERSION};
use self::link::Link;

pub use self::error::WorldError;
pub use self::placement::Placement;

/// How long ranks wait for each other.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// To come.
    arrival: Duration,
    /// To say something: longer than anything that one rank does while the others wait.
    silence: Duration,
}

const LIMITS: Limits = Limits { arrival: Duration::from_secs(300), silence: Duration::from_secs(3600) };

/// The processes that train together, as one of them sees them.
///
/// Every rank makes the same calls in the same order, and each call ends when all have made it.
///
/// ```no_run
/// use mlcls_train::{Placement, World};
///
/// # fn main() -> Result<(), mlcls_train::WorldError> {
/// # let fingerprint = 0;
/// let mut world = match Placement::from_env()? {
///     Some(placement) => World::join(&placement, fingerprint)?,
///     None => World::alone(),
/// };
/// let mut gradient = [0.5, -1.0];
/// world.sum_f32(&mut gradient)?;
/// if world.is_first() {
///     println!("{gradient:?} from {} ranks", world.size());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct World {
    placement: Placement,
    /// On rank 0 to all others in their order, on these to rank 0.
    links: Vec<Link>,
    /// The rank that was lost, and what was seen of it.
    lost: Option<(usize, String)>,
}

impl World {
    /// A process that trains by itself.
    pub fn alone() -> Self {
        Self { placement: Placement::alone(), links: Vec::new(), lost: None }
    }

    /// Waits for all ranks, for five minutes at most. `fingerprint` says in one number everything that must agree between
    /// them, for example a hash of the settings and of the data.
    ///
    /// # Errors
    /// A rank does not come or is there twice, rank 0 cannot be reached, or the ranks do not agree. Every rank that has come hears
    /// of it, and which rank it is.
    pub fn join(placement: &Placement, fingerprint: u64) -> Result<Self> {
        Self::join_within(placement, None, fingerprint, LIMITS)
    }

    /// On rank 0 perhaps with the port already taken.
    fn join_within(
        placement: &Placement,
        listener: Option<TcpListener>,
        fingerprint: u64,
        limits: Limits,
    ) -> Result<Self> {
        let Placement { rank, size, ref address, .. } = *placement;
        let Some(address) = address else {
            return Ok(Self { placement: placement.clone(), ..Self::alone() });
        };
        let me = Hello { version: VERSION, rank: rank as u32, size: size as u32, fingerprint };
        let streams = if rank == 0 {
            let listener =
                listener.map_or_else(|| rendezvous::listen(address, limits.arrival), Result::Ok)?;
            rendezvous::host(listener, &me, address, limits.arrival)?
        } else {
            vec![rendezvous::visit(&me, address, limits.arrival)?]
        };
        let peers = usize::from(rank == 0)..;
        // Rank 0 is the first to lose patience, and tells the others with whom.
        let silence = if rank == 0 { limits.silence } else { 2 * limits.silence };
        let links = peers.zip(streams).map(|(peer, stream)| Link::new(peer, stream, silence));
        Ok(Self { placement: placement.clone(), links: links.collect::<Result<_>>()?, lost: None })
    }

    /// Which one this process is.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.placement.rank
    }

    /// The number of processes.
    pub fn size(&self) -> usize {
        self.placement.size
    }

    /// Whether this is rank 0, the one that writes files and tells the user.
    pub fn is_first(&self) -> bool {
        self.placement.rank == 0
    }
}
