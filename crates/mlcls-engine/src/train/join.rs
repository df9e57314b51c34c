//! Stages that move whole values: the residual sum with stochastic depth, global pooling, PReLU and dropout.

use super::step::{Step, drop_path_factor, for_parts};
use crate::kernels::rows;
use crate::parallel::Scratch;
use crate::program::{Add, Dropout, PRelu, Pool, View};
use crate::rng::Stream;

/// Elements that a pass handles at a time, so that the second touch finds them in cache.
const TILE: usize = 32 << 10;

/// Copies `len` elements of image `image` from element `at` on as the view shows them.
fn copy_view(step: &Step, view: &View, image: usize, at: usize, len: usize, dst: *mut f32) {
    let shape = step.program.values[view.value].shape;
    let src = step.value(view.value).at(image * shape.len() + at).cast_const();
    // SAFETY: whole rows of one image; the destination holds `len` elements.
    unsafe {
        match step.load(view, image) {
            None => dst.copy_from_nonoverlapping(src, len),
            Some(l) => rows::activate(step.isa, dst, src, len / shape.c, shape.c, &l),
        }
    }
}

/// `out = branch * factor + shortcut`.
pub fn add_forward(step: &Step, add: &Add) {
    let (len, c) = (add.shape.len(), add.shape.c);
    let tile = (TILE / c).max(1) * c;
    for_parts(step, |p| {
        let mut scratch = Scratch::take(tile);
        for image in step.images(p) {
            let factor = factor(step, add, image);
            for at in (0..len).step_by(tile) {
                let part = tile.min(len - at);
                let out = step.value(add.out).at(image * len + at);
                copy_view(step, &add.shortcut, image, at, part, out);
                if factor != 0.0 {
                    copy_view(step, &add.branch, image, at, part, scratch.as_mut_ptr());
                    // SAFETY: both hold `part` elements.
                    unsafe { rows::axpy(step.isa, out, scratch.as_ptr(), factor, part, true) };
                }
            }
        }
    });
}

fn factor(step: &Step, add: &Add, image: usize) -> f32 {
    if add.drop_path > 0.0 { drop_path_factor(step.seed, add.key, image, add.drop_path) } else { 1.0 }
}

/// Hands the gradient on to both inputs.
pub fn add_backward(step: &Step, add: &Add, stage: usize) {
    let (len, c) = (add.shape.len(), add.shape.c);
    let tile = (TILE / c).max(1) * c;
    let (branch, shortcut) = (step.target(stage, &add.branch), step.target(stage, &add.shortcut));
    for_parts(step, |p| {
        branch.begin(p, 0);
        shortcut.begin(p, 1);
        for image in step.images(p) {
            let factor = factor(step, add, image);
            for at in (0..len).step_by(tile) {
                let part = tile.min(len - at);
                let offset = image * len + at;
                let d = step.grad(add.out).at(offset);
                for (set, target, k) in [(0, &branch, factor), (1, &shortcut, 1.0)] {
                    // SAFETY: `part` elements of the part's own image in both values.
                    unsafe { rows::axpy(step.isa, target.grad.at(offset), d, k, part, target.accumulate) };
                    target.finish(p, set, image, at / c, part / c);
                }
            }
        }
    });
    step.collect_target(stage, &add.branch, 0);
    step.collect_target(stage, &add.shortcut, 1);
}

/// Mean over rows and columns.
pub fn pool_forward(step: &Step, pool: &Pool) {
    let (c, pixels) = (pool.input.c, pool.input.pixels());
    for_parts(step, |p| {
        for image in step.images(p) {
            let src = step.value(pool.src.value).at(image * pixels * c).cast_const();
            let out = step.value(pool.out).at(image * c);
            // SAFETY: one image of the input, one row of the output.
            unsafe {
                match step.load(&pool.src, image) {
                    Some(l) => rows::pool(step.isa, src, pixels, c, &l, out),
                    None => {
                        rows::axpy(step.isa, out, src, 1.0 / pixels as f32, c, false);
                        for row in 1..pixels {
                            rows::axpy(step.isa, out, src.add(row * c), 1.0 / pixels as f32, c, true);
                        }
                    }
                }
            }
        }
    });
}

/// Every pixel gets its share of the pooled gradient.
pub fn pool_backward(step: &Step, pool: &Pool, stage: usize) {
    let (c, pixels) = (pool.input.c, pool.input.pixels());
    let target = step.target(stage, &pool.src);
    for_parts(step, |p| {
        target.begin(p, 0);
        for image in step.images(p) {
            let d = step.grad(pool.out).at(image * c);
            for row in 0..pixels {
                let to = target.grad.at((image * pixels + row) * c);
                // SAFETY: one pixel of the input's gradient, one row of the output's.
                unsafe { rows::axpy(step.isa, to, d, 1.0 / pixels as f32, c, target.accumulate) };
            }
            target.finish(p, 0, image, 0, pixels);
        }
    });
    step.collect_target(stage, &pool.src, 0);
}

/// `x` where positive, else `slope * x`.
pub fn prelu_forward(step: &Step, prelu: &PRelu) {
    let (len, slope) = (prelu.shape.len(), step.params[prelu.slope]);
    for_parts(step, |p| {
        for image in step.images(p) {
            let out = step.value(prelu.out).at(image * len);
            copy_view(step, &prelu.src, image, 0, len, out);
            // SAFETY: one image of the output, which belongs to this part.
            let out = unsafe { std::slice::from_raw_parts_mut(out, len) };
            out.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { slope * *v });
        }
    });
}

/// The input's gradient, and that of the slope: the sum of `d * x` where `x` is not positive.
pub fn prelu_backward(step: &Step, prelu: &PRelu, stage: usize, grads: &mut [f32]) {
    let (len, slope) = (prelu.shape.len(), step.params[prelu.slope]);
    let c = prelu.shape.c;
    let target = step.target(stage, &prelu.src);
    for_parts(step, |p| {
        target.begin(p, 0);
        let sum = step.clear_sums(p, 2, 1);
        let mut x = Scratch::take(len);
        for image in step.images(p) {
            copy_view(step, &prelu.src, image, 0, len, x.as_mut_ptr());
            // SAFETY: one image of each gradient; the sum is this part's.
            unsafe {
                let d = std::slice::from_raw_parts(step.grad(prelu.out).at(image * len).cast_const(), len);
                let to = std::slice::from_raw_parts_mut(target.grad.at(image * len), len);
                for ((to, d), x) in to.iter_mut().zip(d).zip(x.iter()) {
                    let share = if *x > 0.0 { *d } else { slope * d };
                    *to = if target.accumulate { *to + share } else { share };
                    if *x <= 0.0 {
                        *sum += f64::from(d * x);
                    }
                }
            }
            target.finish(p, 0, image, 0, len / c);
        }
    });
    step.collect_sums(2, 1, |_, v| grads[prelu.slope] = v as f32);
    step.collect_target(stage, &prelu.src, 0);
}

/// The factors of one image: 0, or one over the probability of staying.
fn dropout_factors(step: &Step, dropout: &Dropout, image: usize) -> impl Iterator<Item = f32> {
    let (p, mut stream) = (dropout.p, Stream::new(step.seed, dropout.key << 32 | image as u64));
    std::iter::repeat_with(move || if stream.uniform() < p { 0.0 } else { 1.0 / (1.0 - p) })
}

/// Drops elements and scales the others up.
pub fn dropout_forward(step: &Step, dropout: &Dropout) {
    let len = dropout.shape.len();
    for_parts(step, |p| {
        for image in step.images(p) {
            let out = step.value(dropout.out).at(image * len);
            copy_view(step, &dropout.src, image, 0, len, out);
            // SAFETY: one image of the output, which belongs to this part.
            let out = unsafe { std::slice::from_raw_parts_mut(out, len) };
            out.iter_mut().zip(dropout_factors(step, dropout, image)).for_each(|(v, f)| *v *= f);
        }
    });
}

/// The same factors on the gradient.
pub fn dropout_backward(step: &Step, dropout: &Dropout, stage: usize) {
    let (len, c) = (dropout.shape.len(), dropout.shape.c);
    let target = step.target(stage, &dropout.src);
    for_parts(step, |p| {
        target.begin(p, 0);
        for image in step.images(p) {
            // SAFETY: one image of each gradient, which belong to this part.
            unsafe {
                let d = std::slice::from_raw_parts(step.grad(dropout.out).at(image * len).cast_const(), len);
                let to = std::slice::from_raw_parts_mut(target.grad.at(image * len), len);
                for ((to, d), f) in to.iter_mut().zip(d).zip(dropout_factors(step, dropout, image)) {
                    *to = if target.accumulate { *to + d * f } else { d * f };
                }
            }
            target.finish(p, 0, image, 0, len / c);
        }
    });
    step.collect_target(stage, &dropout.src, 0);
}
