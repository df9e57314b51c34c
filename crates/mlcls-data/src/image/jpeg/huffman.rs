//! Huffman codes, looked up several bits at a time.

/// Bits that the table is indexed with. Longer codes are rare and searched for.
const FAST_BITS: usize = 10;

/// What a table codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sizes of differences between the means of blocks.
    Dc,
    /// A run of zeros and the size of the coefficient after it.
    Ac,
}

/// What a code stands for. The value's own bits follow the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    /// Bits of the code; 0 for "not in the table of short codes".
    pub length: u8,
    /// Bits of the code and the value, at most 26 for a coefficient and 27 for a mean.
    pub total: u8,
    /// Bits of the value, at most 11.
    pub size: u8,
    /// Coefficients to step over, at most 15; [`END_OF_BLOCK`], or `INVALID`.
    pub skip: u8,
}

/// The rest of the block is zero.
pub(super) const END_OF_BLOCK: u8 = 128;

/// No code of the table, or a symbol that 8-bit samples cannot need. Leads out of the block, as
/// [`END_OF_BLOCK`] does, but to a place between 64 and it, where no sound block ends.
const INVALID: u8 = 65;

/// A code table in the form of the decoder.
#[derive(Clone, Debug)]
pub(super) struct Table {
    kind: Kind,
    fast: Box<[Code; 1 << FAST_BITS]>,
    symbols: Vec<u8>,
    /// For each length: the first code that is longer, as the first bits of 16.
    limits: [u32; 17],
    /// For each length: what to add to a code to have the place of its symbol.
    offsets: [i32; 17],
}

impl Table {
    /// A table from the number of codes of each length, 1 to 16 bits, and the symbols in the order of the codes.
    /// `None` when there are more codes than their lengths have room for, and, as in libjpeg, when a difference of means
    /// could have more than 15 bits.
    pub(super) fn new(kind: Kind, counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        if kind == Kind::Dc && symbols.iter().any(|&size| size > 15) {
            return None;
        }
        let mut table = Self {
            kind,
            fast: Box::new([Code::default(); 1 << FAST_BITS]),
            symbols: symbols.to_vec(),
            limits: [0; 17],
            offsets: [0; 17],
        };
        let (mut code, mut place) = (0_u32, 0_usize);
        for length in 1..=16 {
            let count = usize::from(counts[length - 1]);
            table.offsets[length] = place as i32 - code as i32;
            for &symbol in symbols.get(place..place + count)? {
                if length <= FAST_BITS {
                    let first = (code as usize) << (FAST_BITS - length);
                    let range = first..first + (1 << (FAST_BITS - length));
                    table.fast.get_mut(range)?.fill(Code::new(kind, symbol, length));
                }
                code += 1;
            }
            place += count;
            if code > 1 << length {
                return None;
            }
            table.limits[length] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// The code at the head of `bits`.
    #[inline(always)]
    pub(super) fn find(&self, bits: u64) -> Code {
        let code = self.fast[(bits >> (64 - FAST_BITS)) as usize];
        if code.length != 0 { code } else { self.find_long(bits) }
    }

    #[cold]
    #[inline(never)]
    fn find_long(&self, bits: u64) -> Code {
        let head = (bits >> 48) as u32;
        (FAST_BITS + 1..=16)
            .find(|&length| head < self.limits[length])
            .and_then(|length| {
                let place = (head >> (16 - length)) as i32 + self.offsets[length];
                Some(Code::new(self.kind, *self.symbols.get(usize::try_from(place).ok()?)?, length))
            })
            .unwrap_or(Code { length: 16, total: 16, size: 0, skip: INVALID })
    }
}

impl Code {
    fn new(kind: Kind, symbol: u8, length: usize) -> Self {
        let length = length as u8;
        let (run, size) = (symbol >> 4, symbol & 15);
        let (size, skip) = match (kind, run, size) {
            (Kind::Dc, 0, 0..=11) => (size, 0),
            (Kind::Ac, 0, 0) => (0, END_OF_BLOCK),
            (Kind::Ac, _, 1..=10) | (Kind::Ac, 15, 0) => (size, run),
            _ => (0, INVALID),
        };
        Self { length, total: length + size, size, skip }
    }

    /// The value that follows the code at the head of `bits`: its size is given, the first bit says the sign.
    #[inline(always)]
    pub(super) fn value(self, bits: u64) -> i32 {
        let bits = bits << self.length;
        // A value that starts with 0 is negative, and has all its bits inverted.
        let negative = !(bits as i64 >> 63);
        // Two shifts, for a size of 0.
        let magnitude = (bits ^ negative as u64) >> 1 >> (63 - self.size);
        ((magnitude as i64 ^ negative) - negative) as i32
    }
}
