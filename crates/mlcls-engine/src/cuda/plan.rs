//! What training and inference plans share: a program, its memory on a device, and its passes as launches made ready.

use std::collections::HashMap;

use super::backward::backward;
use super::device::{Address, Device, Launch, TapeId};
use super::forward::{forward, prepare};
use super::places::{Mode, NormVector, Places};
use super::tape::Tape;
use crate::error::{Error, Result};
use crate::graph::{Graph, Op};
use crate::precision::Precision;
use crate::program::{Norm, Program};

/// A program on a device.
#[derive(Debug)]
pub struct Plan {
    program: Program,
    places: Places,
    mode: Mode,
    precision: Precision,
    device: Box<dyn Device>,
    max: usize,
    base: Address,
    /// Scratch memory and its length in bytes.
    scratch: (Address, usize),
    /// The passes for each size of batch that has come so far.
    passes: HashMap<usize, Passes>,
}

/// One batch's passes.
#[derive(Clone, Copy, Debug)]
struct Passes {
    prepare: TapeId,
    forward: TapeId,
    backward: Option<TapeId>,
}

impl Plan {
    /// Takes the memory for batches of up to `max` images.
    pub fn new(
        graph: &Graph,
        program: Program,
        mode: Mode,
        precision: Precision,
        max: usize,
        mut device: Box<dyn Device>,
    ) -> Result<Self> {
        if max == 0 {
            return Err(Error::Batch { max: 0, found: 0 });
        }
        program.trains(graph)?;
        // The kernels count with 32 bits.
        let largest =
            program.values.iter().map(|v| v.shape.len()).max().unwrap_or(0).max(graph.input_shape().len());
        let most = (i32::MAX as usize / 2) / largest.max(1);
        if max > most {
            return Err(Error::Batch { max: most, found: max });
        }
        let places = Places::new(graph, &program, mode, precision, max);
        let base = device.alloc(places.total)?;
        let mut plan = Self {
            program,
            places,
            mode,
            precision,
            device,
            max,
            base,
            scratch: (0, 0),
            passes: HashMap::new(),
        };
        plan.constants(graph)?;
        plan.passes(max)?;
        Ok(plan)
    }

    /// Bytes that a plan takes on the device beside its scratch memory.
    pub fn bytes(&self) -> usize {
        self.places.total + self.scratch.1
    }

    /// Largest batch.
    pub fn max(&self) -> usize {
        self.max
    }

    /// What never changes: how pixels are normalised, and the vectors of identities.
    fn constants(&mut self, graph: &Graph) -> Result<()> {
        let input = graph.nodes().iter().find_map(|node| match node.op {
            Op::Input { mean, std } => Some((mean, std)),
            _ => None,
        });
        if let Some((mean, std)) = input {
            let scale = std.map(|s| 1.0 / (255.0 * s));
            let shift = [0, 1, 2].map(|i| -mean[i] / std[i]);
            self.put(self.places.normalise, &[scale, shift].concat())?;
        }
        for id in 0..self.program.norms.len() {
            let Norm::Identity { c } = self.program.norms[id] else { continue };
            let place = self.places.norms[id];
            for (which, v) in [
                (NormVector::Mean, 0.0),
                (NormVector::Scale, 1.0),
                (NormVector::Shift, 0.0),
                (NormVector::InvStd, 1.0),
                (NormVector::A, 1.0),
                (NormVector::B, 0.0),
                (NormVector::K, 0.0),
            ] {
                self.put(place.at + which as usize * place.stride, &vec![v; c])?;
            }
        }
        Ok(())
    }

    /// Makes the passes for `n` images ready, where they are not yet.
    fn passes(&mut self, n: usize) -> Result<Passes> {
        if n == 0 || n > self.max {
            return Err(Error::Batch { max: self.max, found: n });
        }
        if let Some(&passes) = self.passes.get(&n) {
            return Ok(passes);
        }
        let (_, _, _, needed) = self.write(n);
        if needed > self.scratch.1 {
            // Passes of other sizes keep the memory that they were written for.
            self.scratch = (self.device.alloc(needed)?, needed);
        }
        let (prepare, forward, backward, _) = self.write(n);
        let passes = Passes {
            prepare: self.device.record(prepare)?,
            forward: self.device.record(forward)?,
            backward: match self.mode {
                Mode::Train => Some(self.device.record(backward)?),
                Mode::Infer => None,
            },
        };
        self.passes.insert(n, passes);
        Ok(passes)
    }

    /// The three passes for `n` images, and the scratch memory that they need.
    fn write(&self, n: usize) -> (Vec<Launch>, Vec<Launch>, Vec<Launch>, usize) {
        let mut tape = Tape {
            program: &self.program,
            places: &self.places,
            mode: self.mode,
            precision: self.precision,
            n,
            base: self.base,
            scratch: self.scratch.0,
            scratch_len: 0,
            launches: vec![],
        };
        let mut pass = |write: fn(&mut Tape)| {
            write(&mut tape);
            std::mem::take(&mut tape.launches)
        };
        let (prepared, ahead) = (pass(prepare), pass(forward));
        let back = if self.mode == Mode::Train { pass(backward) } else { vec![] };
        (prepared, ahead, back, tape.scratch_len)
    }

    /// Copies numbers of single precision to a place.
    fn put(&mut self, place: usize, values: &[f32]) -> Result<()> {
        self.device.upload(self.base + place as Address, bytes(values))
    }

    /// Copies numbers of single precision from a place.
    fn get(&mut self, place: usize, values: &mut [f32]) -> Result<()> {
        self.device.download(self.base + place as Address, bytes_mut(values))
    }

    /// Brings parameters and running statistics to the device, and the weights into the form of the kernels.
    pub fn put_weights(&mut self, params: &[f32], buffers: &[f32], n: usize) -> Result<()> {
        let passes = self.passes(n)?;
        self.put(self.places.params, params)?;
        self.put(self.places.buffers, buffers)?;
        self.device.run(passes.prepare)
    }

    /// Running statistics as the last pass left them.
    pub fn buffers(&mut self, buffers: &mut [f32]) -> Result<()> {
        self.get(self.places.buffers, buffers)
    }

    /// The forward pass over images that are brought to the device before.
    pub fn forward(&mut self, pixels: &[u8], n: usize, seed: u64, logits: &mut [f32]) -> Result<()> {
        let passes = self.passes(n)?;
        self.device.upload(self.base + self.places.pixels as Address, pixels)?;
        self.device.upload(self.base + self.places.seed as Address, &seed.to_le_bytes())?;
        self.device.run(passes.forward)?;
        self.get(self.places.values[self.program.output], logits)
    }

    /// Kernels of a training step over `n` images, as what is in memory has it, with the milliseconds of each.
    pub fn times(&mut self, n: usize) -> Result<Vec<(&'static str, f32)>> {
        let Passes { prepare, forward, backward } = self.passes(n)?;
        let mut times = vec![];
        for tape in [Some(prepare), Some(forward), backward].into_iter().flatten() {
            times.extend(self.device.times(tape)?);
        }
        Ok(times)
    }

    /// The backward pass of the last forward pass over `n` images.
    pub fn backward(&mut self, dlogits: &[f32], n: usize, grads: &mut [f32]) -> Result<()> {
        let Passes { backward: Some(backward), .. } = self.passes(n)? else { return Err(Error::NoForward) };
        self.put(self.places.gradients[self.program.output], dlogits)?;
        self.device.run(backward)?;
        self.get(self.places.grads, grads)
    }
}

fn bytes(values: &[f32]) -> &[u8] {
    // SAFETY: the same memory; any byte of an f32 is a valid u8.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn bytes_mut(values: &mut [f32]) -> &mut [u8] {
    // SAFETY: the same memory; any four bytes are a valid f32.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}
