//! The inner loops, one generic source for every instruction set. All `unsafe` of the crate's arithmetic lives below here.

pub mod act;
pub mod cosine;
pub mod depthwise;
pub mod gemm;
pub mod roof;
pub mod rows;
pub mod simd;

#[cfg(test)]
mod tests;
