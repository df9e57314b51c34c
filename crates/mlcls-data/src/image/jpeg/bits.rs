//! The bits of entropy-coded data, free of the marks that files hold between them.

/// Entropy-coded data without the zero that follows each 0xff byte, and where the intervals between restart
/// markers end in them.
#[derive(Debug)]
pub(super) struct Intervals {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Intervals {
    /// Reads up to the end of the image. `None` when another marker comes first, or a restart marker out of
    /// turn, or the data end.
    pub(super) fn read(mut scan: &[u8]) -> Option<Self> {
        const END_OF_IMAGE: u8 = 0xd9;
        let mut data = Vec::with_capacity(scan.len());
        let mut ends = Vec::new();
        loop {
            let (plain, marked) = scan.split_at(memchr::memchr(0xff, scan)?);
            data.extend_from_slice(plain);
            let restart = 0xd0 + (ends.len() % 8) as u8;
            match *marked.get(1)? {
                0 => data.push(0xff),
                0xff => {} // A fill byte.
                END_OF_IMAGE => {
                    ends.push(data.len());
                    return Some(Self { data, ends });
                }
                marker if marker == restart => ends.push(data.len()),
                _ => return None,
            }
            scan = &marked[if marked[1] == 0xff { 1 } else { 2 }..];
        }
    }

    /// How many there are, at least one.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bits of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = Bits<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| Bits::new(&self.data[start..end]))
    }
}

/// A reader of bits, most significant first. Behind the end of the data come zeros.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to be read.
    at: usize,
    /// The next bits, from the highest.
    next: u64,
    /// How many of them are certain.
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, next: 0, count: 0 }
    }

    /// Makes at least 56 bits certain.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let word = match self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some(&bytes) => u64::from_be_bytes(bytes),
            None => last_word(self.data, self.at),
        };
        // Bits that come a second time are the same bits.
        self.next |= word >> self.count;
        self.at += (63 - self.count as usize) >> 3;
        self.count |= 56;
    }

    /// The next bits, from the highest.
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        self.next
    }

    /// Steps over bits, at most as many as are certain.
    #[inline(always)]
    pub(super) fn consume(&mut self, bits: u8) {
        self.next <<= bits;
        self.count = self.count.wrapping_sub(u32::from(bits));
    }

    /// Whether more bits have been consumed than there were.
    pub(super) fn is_overrun(&self) -> bool {
        self.at * 8 > self.data.len() * 8 + self.count as usize
    }
}

/// The last bytes, then zeros. Takes no reader, so that one can stay in registers.
#[cold]
#[inline(never)]
fn last_word(data: &[u8], at: usize) -> u64 {
    let rest = data.get(at..).unwrap_or_default();
    (0..8).fold(0, |word, i| word << 8 | u64::from(*rest.get(i).unwrap_or(&0)))
}
