//! What training and inference plans share: a program, its memory on a device, and its passes as launches made ready.

use std::collections::HashMap;
use std::sync::Arc;

use super::args::Args;
use super::backward::backward;
use super::device::{Address, Device, Launch, TapeId};
use super::forward::{forward, packs, prepare};
use super::places::{Mode, NormVector, Places};
use super::tape::Tape;
use crate::cut::Cut;
use crate::error::{Error, Result};
use crate::graph::{Graph, Op};
use crate::precision::Precision;
use crate::profile::{self, Profile, StageProfile};
use crate::program::{Norm, Program};

/// A program on a device.
#[derive(Debug)]
pub struct Plan {
    program: Program,
    places: Places,
    mode: Mode,
    /// Stages that do not learn.
    frozen: usize,
    precision: Precision,
    pub device: Box<dyn Device>,
    max: usize,
    base: Address,
    /// Scratch memory and its length in bytes.
    scratch: (Address, usize),
    /// Where batch-norms leave what is summed over several devices; 0 where they do not.
    shared: Address,
    /// The passes for each size of batch that has come so far.
    passes: HashMap<usize, Arc<Passes>>,
    /// The work of each stage.
    stages: Vec<StageProfile>,
}

/// One batch's passes.
#[derive(Debug)]
struct Passes {
    prepare: Pass,
    forward: Pass,
    /// Nothing in inference.
    backward: Pass,
}

/// Launches made ready.
#[derive(Debug)]
struct Pass(Vec<Part>);

/// Launches up to a sum over several devices, or to the end.
#[derive(Debug)]
struct Part {
    tape: TapeId,
    /// The stages that its launches work for.
    stages: Vec<Option<usize>>,
    /// How many numbers are summed behind it.
    sum: usize,
}

/// Passes written down as parts with the sums behind them, and the scratch memory that they need.
struct Written {
    prepare: Vec<(Vec<Launch>, usize)>,
    forward: Vec<(Vec<Launch>, usize)>,
    backward: Vec<(Vec<Launch>, usize)>,
    scratch: usize,
}

impl Plan {
    /// Takes the memory for batches of up to `max` images.
    pub fn new(
        graph: &Graph,
        program: Program,
        mode: Mode,
        precision: Precision,
        max: usize,
        device: Box<dyn Device>,
    ) -> Result<Self> {
        Self::frozen(graph, (program, 0), mode, precision, max, device)
    }

    /// A training plan of which all that comes before a cut does not learn.
    pub fn behind(
        graph: &Graph,
        cut: Cut,
        precision: Precision,
        max: usize,
        device: Box<dyn Device>,
    ) -> Result<Self> {
        Self::frozen(graph, (cut.program, cut.first), Mode::Train, precision, max, device)
    }

    fn frozen(
        graph: &Graph,
        (program, frozen): (Program, usize),
        mode: Mode,
        precision: Precision,
        max: usize,
        mut device: Box<dyn Device>,
    ) -> Result<Self> {
        if max == 0 {
            return Err(Error::Batch { max: 0, found: 0 });
        }
        program.trains(graph)?;
        // The kernels count with 32 bits, and some have a row of blocks for each image, of which there can be 65,535.
        let largest =
            program.values.iter().map(|v| v.shape.len()).max().unwrap_or(0).max(graph.input_shape().len());
        let most = ((i32::MAX as usize / 2) / largest.max(1)).min(65_535);
        if max > most {
            return Err(Error::Batch { max: most, found: max });
        }
        let places = Places::new(graph, &program, (mode, frozen), precision, max);
        let stages = profile::stages(graph, &program, precision.bytes());
        let base = device.alloc(places.total)?;
        let mut plan = Self {
            program,
            places,
            mode,
            frozen,
            precision,
            device,
            max,
            base,
            scratch: (0, 0),
            shared: 0,
            passes: HashMap::new(),
            stages,
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

    /// What never changes: how pixels are normalised, where weights are packed, and the vectors of identities.
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
        let packs: Vec<u8> = packs(&self.tape(self.max)).iter().flat_map(Args::bytes).collect();
        self.device.upload(self.base + self.places.packs as Address, &packs)?;
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
                (NormVector::C, 0.0),
            ] {
                self.put(place.at + which as usize * place.stride, &vec![v; c])?;
            }
        }
        Ok(())
    }

    /// Makes the passes for `n` images ready, where they are not yet.
    fn passes(&mut self, n: usize) -> Result<Arc<Passes>> {
        if n == 0 || n > self.max {
            return Err(Error::Batch { max: self.max, found: n });
        }
        if let Some(passes) = self.passes.get(&n) {
            return Ok(passes.clone());
        }
        let needed = self.write(n).scratch;
        if needed > self.scratch.1 {
            // Passes of other sizes keep the memory that they were written for.
            self.scratch = (self.device.alloc(needed)?, needed);
        }
        let written = self.write(n);
        let mut record = |parts: Vec<(Vec<Launch>, usize)>| {
            let part = |(launches, sum): (Vec<Launch>, usize)| {
                let stages = launches.iter().map(|launch| launch.stage).collect();
                Ok::<_, Error>(Part { tape: self.device.record(launches)?, stages, sum })
            };
            parts.into_iter().map(part).collect::<Result<_>>().map(Pass)
        };
        let passes = Arc::new(Passes {
            prepare: record(written.prepare)?,
            forward: record(written.forward)?,
            backward: record(written.backward)?,
        });
        self.passes.insert(n, passes.clone());
        Ok(passes)
    }

    /// Launches for `n` images, none yet.
    fn tape(&self, n: usize) -> Tape<'_> {
        Tape {
            program: &self.program,
            places: &self.places,
            mode: self.mode,
            precision: self.precision,
            n,
            processors: self.device.processors(),
            frozen: self.frozen,
            stage: None,
            base: self.base,
            scratch: self.scratch.0,
            scratch_len: 0,
            shared: self.shared,
            launches: vec![],
            sums: vec![],
        }
    }

    /// The passes for `n` images.
    fn write(&self, n: usize) -> Written {
        let mut tape = self.tape(n);
        let mut pass = |write: fn(&mut Tape)| {
            write(&mut tape);
            let mut launches = std::mem::take(&mut tape.launches).into_iter();
            let (mut parts, mut from) = (vec![], 0);
            for (at, sum) in std::mem::take(&mut tape.sums) {
                parts.push((launches.by_ref().take(at - from).collect(), sum));
                from = at;
            }
            parts.push((launches.collect(), 0));
            parts
        };
        let (prepare, forward) = (pass(prepare), pass(forward));
        let backward = if self.mode == Mode::Train { pass(backward) } else { vec![] };
        Written { prepare, forward, backward, scratch: tape.scratch_len }
    }

    /// From now on batch-norms take their statistics over the batches of all devices that work together. They must have the same
    /// running statistics.
    pub fn synchronise(&mut self) -> Result<()> {
        let channels = self.program.norms.iter().map(Norm::channels).max().unwrap_or(0);
        self.shared = self.device.alloc((2 * channels + 1) * size_of::<f64>())?;
        self.passes.clear();
        Ok(())
    }

    fn run(&mut self, pass: &Pass) -> Result<()> {
        for Part { tape, sum, .. } in &pass.0 {
            self.device.run(*tape)?;
            if *sum > 0 {
                self.device.sum_f64(self.shared, *sum)?;
            }
        }
        Ok(())
    }

    /// Copies numbers of single precision to a place.
    fn put(&mut self, place: usize, values: &[f32]) -> Result<()> {
        self.device.upload(self.base + place as Address, bytes(values))
    }

    /// Copies numbers of single precision from a place.
    fn get(&mut self, place: usize, values: &mut [f32]) -> Result<()> {
        self.device.download(self.base + place as Address, bytes_mut(values))
    }

    /// Brings parameters and running statistics to the device.
    pub fn put_weights(&mut self, params: &[f32], buffers: &[f32]) -> Result<()> {
        self.put(self.places.params, params)?;
        self.put(self.places.buffers, buffers)
    }

    /// Brings the weights into the form of the kernels, after they have changed.
    pub fn prepare(&mut self, n: usize) -> Result<()> {
        let passes = self.passes(n)?;
        self.run(&passes.prepare)
    }

    /// Where images lie.
    pub fn pixels(&self) -> Address {
        self.base + self.places.pixels as Address
    }

    /// Brings images to the device.
    pub fn put_pixels(&mut self, pixels: &[u8]) -> Result<()> {
        self.device.upload(self.pixels(), pixels)
    }

    /// The forward pass over the images that are there.
    pub fn forward(&mut self, n: usize, seed: u64, logits: &mut [f32]) -> Result<()> {
        let passes = self.passes(n)?;
        self.device.upload(self.base + self.places.seed as Address, &seed.to_le_bytes())?;
        self.run(&passes.forward)?;
        self.get(self.places.values[self.program.output], logits)
    }

    /// The backward pass of the last forward pass over `n` images; the gradient stays on the device.
    pub fn backward(&mut self, dlogits: &[f32], n: usize) -> Result<()> {
        let passes = self.passes(n)?;
        self.put(self.places.gradients[self.program.output], dlogits)?;
        self.run(&passes.backward)
    }

    /// The gradient of the last backward pass.
    pub fn grads(&mut self, grads: &mut [f32]) -> Result<()> {
        self.get(self.places.grads, grads)
    }

    /// The parameters as they are now.
    pub fn params(&mut self, params: &mut [f32]) -> Result<()> {
        self.get(self.places.params, params)
    }

    /// Running statistics as the last pass left them.
    pub fn buffers(&mut self, buffers: &mut [f32]) -> Result<()> {
        self.get(self.places.buffers, buffers)
    }

    /// Where parameters, gradients and running statistics lie.
    pub fn vectors(&self) -> [Address; 3] {
        [self.places.params, self.places.grads, self.places.buffers].map(|place| self.base + place as Address)
    }

    /// Where the time of a pass over `n` images goes, with what is in memory; launch by launch, so that what a CUDA graph hides
    /// is seen.
    pub fn profile(&mut self, n: usize) -> Result<Profile> {
        let passes = self.passes(n)?;
        let (mut stages, mut packing) = (self.stages.clone(), 0.0);
        let per_image = 1e-3 / n as f64;
        for (pass, back) in [(&passes.prepare, false), (&passes.forward, false), (&passes.backward, true)] {
            for part in &pass.0 {
                for (stage, milliseconds) in part.stages.iter().zip(self.device.times(part.tape)?) {
                    let seconds = match stage {
                        None => &mut packing,
                        Some(i) if back => &mut stages[*i].backward.seconds,
                        Some(i) => &mut stages[*i].forward.seconds,
                    };
                    *seconds += f64::from(milliseconds) * per_image;
                }
            }
        }
        let inside: f64 = stages.iter().map(|s| s.forward.seconds + s.backward.seconds).sum();
        Ok(Profile { stages, seconds: inside + packing, packing, images: n as u64 })
    }
}

/// Numbers as a device takes them.
pub fn bytes(values: &[f32]) -> &[u8] {
    // SAFETY: the same memory; any byte of an f32 is a valid u8.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The same, to be written.
pub fn bytes_mut(values: &mut [f32]) -> &mut [u8] {
    // SAFETY: the same memory; any four bytes are a valid f32.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}
