//! A connection between rank 0 and another rank. What goes over it is in frames: one byte that says what it is, the length of
//! the whole in eight, and a part of it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::error::{Result, WorldError};

/// What a frame belongs to. All ranks call for the same in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    SumF32,
    SumF64,
    Gather,
    Broadcast,
    BroadcastF32,
    Barrier,
    Any,
    /// Rank 0 says who was lost.
    Lost,
}

const OPS: [Op; 8] =
    [Op::SumF32, Op::SumF64, Op::Gather, Op::Broadcast, Op::BroadcastF32, Op::Barrier, Op::Any, Op::Lost];
const HEAD: usize = 9;

/// A connection to one other rank.
#[derive(Debug)]
pub(super) struct Link {
    peer: usize,
    stream: TcpStream,
    patience: Duration,
    frame: Vec<u8>,
}

impl Link {
    /// A peer that is silent for longer than `patience` counts as lost.
    pub(super) fn new(peer: usize, stream: TcpStream, patience: Duration) -> Result<Self> {
        let set =
            stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)));
        let link = Self { peer, stream, patience, frame: Vec::new() };
        set.map_err(|e| link.lost(&e))?;
        Ok(link)
    }

    /// Sends a part of `total` bytes.
    pub(super) fn send(&mut self, op: Op, total: usize, part: &[u8]) -> Result<()> {
        match self.write(op, total, part) {
            Ok(()) => Ok(()),
            // Rank 0 may have said why before it went.
            Err(e) => match self.head() {
                Err(said @ WorldError::Lost { rank, .. }) if rank != self.peer => Err(said),
                _ => Err(self.lost(&e)),
            },
        }
    }

    fn write(&mut self, op: Op, total: usize, part: &[u8]) -> io::Result<()> {
        self.frame.clear();
        self.frame.push(op as u8);
        self.frame.extend((total as u64).to_le_bytes());
        self.frame.extend(part);
        self.stream.write_all(&self.frame)
    }

    /// Receives a part of `total` bytes.
    pub(super) fn receive(&mut self, op: Op, total: usize, part: &mut [u8]) -> Result<()> {
        match self.head()? {
            (found, len) if (found, len) == (Some(op), total as u64) => {
                self.stream.read_exact(part).map_err(|e| self.lost(&e))
            }
            (found, len) => Err(self.astray(found, len, op, &format!("{total} bytes"))),
        }
    }

    /// Receives a frame that is a whole, of any length.
    pub(super) fn receive_whole(&mut self, op: Op) -> Result<Vec<u8>> {
        let len = match self.head()? {
            (Some(found), len) if found == op => len,
            (found, len) => return Err(self.astray(found, len, op, "any number of bytes")),
        };
        let mut whole = Vec::new();
        match (&self.stream).take(len).read_to_end(&mut whole) {
            Ok(read) if read as u64 == len => Ok(whole),
            Ok(_) => Err(self.lost(&ErrorKind::UnexpectedEof.into())),
            Err(e) => Err(self.lost(&e)),
        }
    }

    /// Tells the peer who was lost, if it can still hear it.
    pub(super) fn tell(&mut self, rank: usize, reason: &str) {
        let reason = [&(reason.len() as u32).to_le_bytes(), reason.as_bytes()].concat();
        let _ = self.write(Op::Lost, rank, &reason);
    }

    /// What the next frame is; an error if it says that a rank was lost.
    fn head(&mut self) -> Result<(Option<Op>, u64)> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).map_err(|e| self.lost(&e))?;
        let [op, total @ ..] = head;
        let (op, total) = (OPS.get(usize::from(op)).copied(), u64::from_le_bytes(total));
        if op != Some(Op::Lost) {
            return Ok((op, total));
        }
        let (mut len, mut reason) = ([0; 4], Vec::new());
        self.stream.read_exact(&mut len).map_err(|e| self.lost(&e))?;
        let len = u32::from_le_bytes(len).into();
        (&self.stream).take(len).read_to_end(&mut reason).map_err(|e| self.lost(&e))?;
        Err(WorldError::Lost { rank: total as usize, reason: String::from_utf8_lossy(&reason).into_owned() })
    }

    fn astray(&self, found: Option<Op>, len: u64, expected: Op, total: &str) -> WorldError {
        let found = found.map_or("something unknown".to_owned(), |op| format!("{op:?}"));
        let reason = format!("it is at {found} of {len} bytes, expected {expected:?} of {total}");
        WorldError::Lost { rank: self.peer, reason }
    }

    fn lost(&self, error: &io::Error) -> WorldError {
        let reason = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("nothing was heard of it for {} s", self.patience.as_secs())
            }
            ErrorKind::UnexpectedEof => "it has closed the connection".to_owned(),
            _ => error.to_string(),
        };
        WorldError::Lost { rank: self.peer, reason }
    }
}
