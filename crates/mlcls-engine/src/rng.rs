//! Random numbers that depend only on what they are for, never on which thread asks.

/// A stream of random numbers (SplitMix64) for one purpose, named by its key.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    state: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream of one (seed, key) pair.
    pub fn new(seed: u64, key: u64) -> Self {
        Self { state: mix(mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)) ^ key) }
    }

    /// The stream of one (seed, name) pair; the name is hashed with FNV-1a.
    pub fn named(seed: u64, name: &str) -> Self {
        let key = name
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        Self::new(seed, key)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Normal with mean 0 and variance 1 (Box-Muller).
    pub fn normal(&mut self) -> f32 {
        let u = ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let v = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }
}
