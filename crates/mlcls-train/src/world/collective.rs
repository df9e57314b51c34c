//! What all ranks do together. Each call is answered when every rank has made it. Rank 0 hears all others in their order, then
//! answers them; a rank never sends while it is sent to, so that no two can wait for each other, whatever sockets can hold.

use super::World;
use super::error::{Result, WorldError};
use super::link::{Link, Op};

/// Bytes of a part of a sum: few enough to stay in the cache, enough to make the way there and back worthwhile.
const PART: usize = 1 << 18;

impl World {
    /// Replaces the numbers by their sums over all ranks, added in the order of the ranks: equal in every bit on all of them.
    ///
    /// # Errors
    /// A rank is lost, or makes another call or one of another length.
    pub fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
        self.sum(Op::SumF32, values)
    }

    /// [`sum_f32`](Self::sum_f32) in double precision.
    ///
    /// # Errors
    /// As there.
    pub fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
        self.sum(Op::SumF64, values)
    }

    /// Replaces the numbers by their means over all ranks.
    ///
    /// # Errors
    /// As [`sum_f32`](Self::sum_f32).
    pub fn mean_f32(&mut self, values: &mut [f32]) -> Result<()> {
        self.sum_f32(values)?;
        let share = 1.0 / self.size() as f32;
        values.iter_mut().for_each(|value| *value *= share);
        Ok(())
    }

    /// Puts what each rank has behind each other, in the order of the ranks; all get the whole.
    ///
    /// # Errors
    /// A rank is lost, or makes another call.
    pub fn concat_f32(&mut self, values: &mut Vec<f32>) -> Result<()> {
        if self.size() == 1 {
            return Ok(());
        }
        let mut bytes = vec![0; size_of_val(&values[..])];
        f32::write(values, &mut bytes);
        let mut all = self.gather(&bytes)?.unwrap_or_default().concat();
        self.broadcast(&mut all)?;
        values.resize(all.len() / size_of::<f32>(), 0.0);
        f32::read(&all, values, |_, value| value);
        Ok(())
    }

    /// Brings what each rank has to rank 0, in the order of the ranks; the others get `None`.
    ///
    /// # Errors
    /// A rank is lost, or makes another call.
    pub fn gather(&mut self, bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        self.together(|first, links| {
            if !first {
                links.iter_mut().try_for_each(|link| link.send(Op::Gather, bytes.len(), bytes))?;
                return Ok(None);
            }
            let mut all = vec![bytes.to_vec()];
            for link in links {
                all.push(link.receive_whole(Op::Gather)?);
            }
            Ok(Some(all))
        })
    }

    /// Replaces the bytes by those of rank 0.
    ///
    /// # Errors
    /// A rank is lost, or makes another call.
    pub fn broadcast(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.together(|first, links| {
            for link in links {
                if first {
                    link.send(Op::Broadcast, bytes.len(), bytes)?;
                } else {
                    *bytes = link.receive_whole(Op::Broadcast)?;
                }
            }
            Ok(())
        })
    }

    /// Replaces the numbers by those of rank 0, of which there are as many.
    ///
    /// # Errors
    /// A rank is lost, or makes another call or one of another length.
    pub fn broadcast_f32(&mut self, values: &mut [f32]) -> Result<()> {
        let total = size_of_val(values);
        self.together(|first, links| {
            let mut bytes = Vec::new();
            for part in values.chunks_mut(PART / size_of::<f32>()) {
                bytes.resize(size_of_val(part), 0);
                f32::write(part, &mut bytes);
                for link in links.iter_mut() {
                    if first {
                        link.send(Op::BroadcastF32, total, &bytes)?;
                    } else {
                        link.receive(Op::BroadcastF32, total, &mut bytes)?;
                        f32::read(&bytes, part, |_, value| value);
                    }
                }
            }
            Ok(())
        })
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// A rank is lost, or makes another call.
    pub fn barrier(&mut self) -> Result<()> {
        self.sum(Op::Barrier, &mut [0.0f32])
    }

    /// Whether the answer is yes on any rank, for example to whether the run was asked to stop.
    ///
    /// # Errors
    /// A rank is lost, or makes another call.
    pub fn any(&mut self, here: bool) -> Result<bool> {
        let mut count = [f32::from(u8::from(here))];
        self.sum(Op::Any, &mut count)?;
        Ok(count != [0.0])
    }

    fn sum<N: Number>(&mut self, op: Op, values: &mut [N]) -> Result<()> {
        let total = size_of_val(values);
        self.together(|first, links| {
            let mut bytes = Vec::new();
            for part in values.chunks_mut(PART / size_of::<N>()) {
                bytes.resize(size_of_val(part), 0);
                if first {
                    for link in links.iter_mut() {
                        link.receive(op, total, &mut bytes)?;
                        N::read(&bytes, part, |sum, value| sum.add(value));
                    }
                }
                N::write(part, &mut bytes);
                for link in links.iter_mut() {
                    link.send(op, total, &bytes)?;
                    if !first {
                        link.receive(op, total, &mut bytes)?;
                        N::read(&bytes, part, |_, value| value);
                    }
                }
            }
            Ok(())
        })
    }

    /// Does something over the links; after an error nothing more goes over them, and rank 0 tells the others why.
    fn together<T>(&mut self, act: impl FnOnce(bool, &mut [Link]) -> Result<T>) -> Result<T> {
        if let Some((rank, reason)) = &self.lost {
            return Err(WorldError::Lost { rank: *rank, reason: reason.clone() });
        }
        let done = act(self.placement.rank == 0, &mut self.links);
        if let Err(WorldError::Lost { rank, reason }) = &done {
            if self.placement.rank == 0 {
                self.links.iter_mut().for_each(|link| link.tell(*rank, reason));
            }
            self.links.clear();
            self.lost = Some((*rank, reason.clone()));
        }
        done
    }
}

/// A number that goes over a link in little-endian.
trait Number: Copy {
    fn add(self, other: Self) -> Self;
    /// Puts each number of `bytes` to the one in its place.
    fn read(bytes: &[u8], values: &mut [Self], put: impl Fn(Self, Self) -> Self);
    fn write(values: &[Self], bytes: &mut [u8]);
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            fn add(self, other: Self) -> Self {
                self + other
            }

            fn read(bytes: &[u8], values: &mut [Self], put: impl Fn(Self, Self) -> Self) {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = put(*value, Self::from_le_bytes(*bytes));
                }
            }

            fn write(values: &[Self], bytes: &mut [u8]) {
                for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                    *bytes = value.to_le_bytes();
                }
            }
        }
    };
}

number!(f32);
number!(f64);
