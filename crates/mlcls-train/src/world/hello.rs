//! What processes tell each other when they meet. Both messages are numbers in little-endian behind a magic; their layout stays,
//! so that programs of different versions understand that they are.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::error::{Result, WorldError};
use super::placement::Address;

/// Changes with everything that is sent later on.
pub(super) const VERSION: u32 = 1;

/// Bytes of a [`Hello`].
pub(super) const HELLO: usize = 32;
const HELLO_MAGIC: [u8; 8] = *b"mlcls\0hi";
const VERDICT_MAGIC: [u8; 8] = *b"mlcls\0ok";

/// What every rank tells rank 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) rank: u32,
    pub(super) size: u32,
    /// Of everything that must agree.
    pub(super) fingerprint: u64,
}

impl Hello {
    pub(super) fn encode(&self) -> [u8; HELLO] {
        let places = u64::from(self.size) << 32 | u64::from(self.rank);
        words([u64::from_le_bytes(HELLO_MAGIC), self.version.into(), places, self.fingerprint])
    }

    /// `None` from a stranger.
    pub(super) fn decode(bytes: &[u8; HELLO]) -> Option<Self> {
        let (version, rank, size) =
            (number(bytes, 1) as u32, number(bytes, 2) as u32, number(bytes, 2) >> 32);
        let hello = Self { version, rank, size: size as u32, fingerprint: number(bytes, 3) };
        bytes.starts_with(&HELLO_MAGIC).then_some(hello)
    }

    /// What rank 0 thinks of another rank's hello.
    pub(super) fn judge(&self, other: &Self) -> Verdict {
        let pairs = [
            (Kind::Version, other.version.into(), self.version.into()),
            (Kind::Size, other.size.into(), self.size.into()),
            (Kind::Fingerprint, other.fingerprint, self.fingerprint),
        ];
        let differs = pairs.into_iter().find(|(_, found, expected)| found != expected);
        let outside = other.rank == 0 || other.rank >= self.size;
        let (kind, found, expected) =
            differs.unwrap_or((if outside { Kind::Twice } else { Kind::Welcome }, 0, 0));
        Verdict { kind, rank: other.rank, found, expected }
    }
}

/// What rank 0 tells every rank in the end, the same to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) kind: Kind,
    /// The rank that is at fault.
    pub(super) rank: u32,
    pub(super) found: u64,
    pub(super) expected: u64,
}

/// Whether the ranks can work together, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Welcome,
    Version,
    Size,
    Fingerprint,
    Twice,
    /// Not all have come.
    Absent,
}

const KINDS: [Kind; 6] =
    [Kind::Welcome, Kind::Version, Kind::Size, Kind::Fingerprint, Kind::Twice, Kind::Absent];

impl Verdict {
    pub(super) const WELCOME: Self = Self { kind: Kind::Welcome, rank: 0, found: 0, expected: 0 };

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let kind = u64::from(self.rank) << 32 | self.kind as u64;
        let magic = u64::from_le_bytes(VERDICT_MAGIC);
        to.write_all(&words::<5, 40>([magic, VERSION.into(), kind, self.found, self.expected]))
    }

    /// # Errors
    /// What answers is not rank 0, or none that this one understands.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let stranger =
            || io::Error::new(io::ErrorKind::InvalidData, "something else than mlcls answers there");
        let (mut magic, mut rest) = ([0; 8], [0; 32]);
        // Before the rest, which a stranger may never send.
        from.read_exact(&mut magic)?;
        if magic != VERDICT_MAGIC {
            return Err(stranger());
        }
        from.read_exact(&mut rest)?;
        let kind = KINDS.get(number(&rest, 1) as u32 as usize).ok_or_else(stranger)?;
        let rank = (number(&rest, 1) >> 32) as u32;
        Ok(Self { kind: *kind, rank, found: number(&rest, 2), expected: number(&rest, 3) })
    }

    /// The error of everything that is no welcome.
    pub(super) fn check(&self, address: &Address, limit: Duration) -> Result<()> {
        let Self { kind, found, expected, .. } = *self;
        let rank = self.rank as usize;
        let (what, found, expected) = match kind {
            Kind::Welcome => return Ok(()),
            Kind::Twice => return Err(WorldError::Twice { rank }),
            Kind::Absent => {
                return Err(WorldError::Absent {
                    address: address.to_string(),
                    seconds: limit.as_secs(),
                    came: found as usize,
                    size: expected as usize,
                    missing: rank,
                });
            }
            Kind::Version => ("version of the protocol", found.to_string(), expected.to_string()),
            Kind::Size => ("number of ranks", found.to_string(), expected.to_string()),
            Kind::Fingerprint => {
                ("fingerprint of settings and data", format!("{found:016x}"), format!("{expected:016x}"))
            }
        };
        Err(WorldError::Differs { rank, what, found, expected })
    }
}

fn words<const N: usize, const BYTES: usize>(words: [u64; N]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes.chunks_exact_mut(8).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
    bytes
}

fn number(bytes: &[u8; 32], word: usize) -> u64 {
    bytes[8 * word..][..8].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back() {
        let hello = Hello { version: 1, rank: 2, size: 3, fingerprint: 0x0123_4567_89ab_cdef };
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes), Some(hello));
        assert_eq!(Hello::decode(&[0; HELLO]), None);
        let mut sent = Vec::new();
        for kind in KINDS {
            sent.clear();
            let verdict = Verdict { kind, rank: u32::MAX, found: 7, expected: u64::MAX };
            verdict.write(&mut sent).unwrap();
            assert_eq!(Verdict::read(&mut &sent[..]).unwrap(), verdict);
            assert!(Verdict::read(&mut &sent[..sent.len() - 1]).is_err());
        }
        sent[16] = 99;
        assert_eq!(Verdict::read(&mut &sent[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // A process that has reached itself hears its own hello.
        assert_eq!(Verdict::read(&mut &bytes[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn judgement() {
        let first = Hello { version: 1, rank: 0, size: 3, fingerprint: 5 };
        let other = Hello { rank: 2, ..first };
        let judge = |other| {
            let Verdict { kind, rank, found, expected } = first.judge(&other);
            (kind, rank, found, expected)
        };
        assert_eq!(judge(other), (Kind::Welcome, 2, 0, 0));
        assert_eq!(judge(Hello { rank: 0, ..other }), (Kind::Twice, 0, 0, 0));
        assert_eq!(judge(Hello { version: 2, ..other }), (Kind::Version, 2, 2, 1));
        assert_eq!(judge(Hello { rank: 3, size: 9, ..other }), (Kind::Size, 3, 9, 3));
        assert_eq!(judge(Hello { fingerprint: 6, ..other }), (Kind::Fingerprint, 2, 6, 5));
    }
}
