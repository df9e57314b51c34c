//! A pass over a program, written down as launches of kernels.

use super::args::{self, Args, int};
use super::device::{Address, Launch};
use super::places::{Mode, NormVector, Places};
use crate::precision::Precision;
use crate::program::{GateId, NormId, Program, ValueId, View};

/// Threads of a block of kernels that take one element each, and of most others.
pub const THREADS: u32 = 256;

/// Blocks of the larger kernels that a processor of a GPU has at a time, about.
const RESIDENT: usize = 8;

/// Launches under way, for a batch of `n` images.
pub struct Tape<'a> {
    pub program: &'a Program,
    pub places: &'a Places,
    pub mode: Mode,
    pub precision: Precision,
    pub n: usize,
    /// Processors of the device.
    pub processors: usize,
    /// Stages that do not learn: they run as in inference, and nothing goes back through them.
    pub frozen: usize,
    /// The stage that is being written down.
    pub stage: Option<usize>,
    /// Where the plan's memory starts.
    pub base: Address,
    /// Where memory starts that a stage and the one behind it share.
    pub scratch: Address,
    /// Bytes of it that are needed.
    pub scratch_len: usize,
    /// Where batch-norms leave what is summed over several devices; 0 where they do not.
    pub shared: Address,
    pub launches: Vec<Launch>,
    /// After how many launches so many numbers there are summed.
    pub sums: Vec<(usize, usize)>,
}

impl Tape<'_> {
    /// Adds a launch.
    pub fn launch(&mut self, kernel: &'static str, grid: [usize; 3], threads: u32, args: &impl Args) {
        let grid = grid.map(|blocks| int(blocks).unsigned_abs());
        self.launches.push(Launch { kernel, stage: self.stage, grid, threads, args: args.words() });
    }

    /// Adds a launch with one thread for each of `len` elements.
    pub fn launch_over(&mut self, kernel: &'static str, len: usize, args: &impl Args) {
        self.launch(kernel, [len.div_ceil(THREADS as usize), 1, 1], THREADS, args);
    }

    /// Whether a value is of the part that learns.
    pub fn learns(&self, id: ValueId) -> bool {
        self.mode == Mode::Train && self.program.values[id].producer >= self.frozen
    }

    /// A batch-norm of `c` channels: one kernel, or, over several devices, one before the sum and one behind it.
    pub fn launch_norm(&mut self, [alone, here, all]: [&'static str; 3], c: usize, args: &impl Args) {
        if self.shared == 0 {
            return self.launch(alone, [c.div_ceil(8), 1, 1], THREADS, args);
        }
        self.launch(here, [c.div_ceil(8), 1, 1], THREADS, args);
        self.sums.push((self.launches.len(), 2 * c + 1));
        self.launch_over(all, c, args);
    }

    /// `len` numbers of single precision that last until the next call.
    pub fn scratch(&mut self, len: usize) -> Address {
        self.scratch_len = self.scratch_len.max(4 * len);
        self.scratch
    }

    /// The address of a place.
    pub fn at(&self, place: usize) -> Address {
        self.base + place as Address
    }

    /// Parameter `i` of the flat vector.
    pub fn param(&self, i: usize) -> Address {
        self.at(self.places.params + 4 * i)
    }

    /// Its gradient.
    pub fn grad(&self, i: usize) -> Address {
        self.at(self.places.grads + 4 * i)
    }

    /// One vector of a batch-norm.
    pub fn norm(&self, id: NormId, which: NormVector) -> Address {
        let place = self.places.norms[id];
        self.at(place.at + which as usize * place.stride)
    }

    /// Channels that a wide kernel of products and sums reads at a time.
    pub fn vector(&self) -> usize {
        16 / self.precision.bytes()
    }

    /// Whether so many channels can be read by its kind.
    pub fn wide(&self, c: usize) -> bool {
        c.is_multiple_of(self.vector())
    }

    /// Whether wide kernels can read a value's gradient: that of the output is in single precision.
    pub fn wide_gradient(&self, id: ValueId) -> bool {
        id != self.program.output && self.wide(self.program.values[id].shape.c)
    }

    /// Blocks that share tiles out among themselves, where as many share each of `columns` columns of them. All have about
    /// the same number of tiles.
    pub fn shared_out(&self, tiles: usize, columns: usize) -> usize {
        let most = (RESIDENT * self.processors).div_ceil(columns);
        tiles.div_ceil(tiles.div_ceil(most).max(1))
    }

    /// Shares that a sum over `len` things is split into, where `blocks` work on each share.
    pub fn shares(&self, blocks: usize, len: usize) -> usize {
        (4 * self.processors).div_ceil(blocks).clamp(1, len.max(1))
    }

    /// A value as its producer writes it.
    pub fn value(&self, id: ValueId) -> args::Map {
        self.map(id, self.places.values[id])
    }

    /// The gradient of a value as its consumers leave it.
    pub fn gradient_map(&self, id: ValueId) -> args::Map {
        self.map(id, self.places.gradients[id])
    }

    fn map(&self, id: ValueId, place: usize) -> args::Map {
        args::Map { at: self.at(place), single: i32::from(id == self.program.output), pad: 0 }
    }

    /// A value as a consumer sees it.
    pub fn view(&self, view: &View) -> args::View {
        let norm = |which| view.norm.map_or(0, |id| self.norm(id, which));
        args::View {
            value: self.at(self.places.values[view.value]),
            scale: norm(NormVector::Scale),
            shift: norm(NormVector::Shift),
            gate: view.gate.map_or(0, |id| self.at(self.places.gates[id].gate)),
            act: args::act(view.act),
            c: int(self.program.values[view.value].shape.c),
        }
    }

    /// The gradient of a raw value.
    pub fn gradient(&self, id: ValueId) -> args::Gradient {
        let value = &self.program.values[id];
        let norm = |which| value.norm.map_or(0, |id| self.norm(id, which));
        let gate = |place: fn(&super::places::GatePlace) -> usize| {
            value.gate.map_or(0, |id| self.at(place(&self.places.gates[id])))
        };
        args::Gradient {
            d: self.gradient_map(id),
            y: self.at(self.places.values[id]),
            a: norm(NormVector::A),
            b: norm(NormVector::B),
            k: norm(NormVector::C),
            scale: norm(NormVector::Scale),
            shift: norm(NormVector::Shift),
            gate: gate(|g| g.gate),
            pooled: gate(|g| g.pooled_grad),
            act: args::act(value.act),
            c: int(value.shape.c),
        }
    }

    /// Channels and hidden channels of a squeeze-excite.
    pub fn gate_shape(&self, id: GateId) -> (usize, usize) {
        (self.program.gates[id].c, self.program.gates[id].reduced)
    }
}
