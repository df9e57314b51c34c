//! The cosine head's stage. Small beside the backbone: one pass per image forward, one per image and one per class back.

use super::step::{Step, for_parts};
use crate::kernels::cosine::{logits, normalise, normalise_backward};
use crate::parallel::{Scratch, Shared, for_each};
use crate::program::Cosine;

/// Unit features `[n, d]`, unit class vectors `[classes, d]` and one over their lengths.
struct Units {
    x: Scratch,
    x_inverse: Scratch,
    w: Scratch,
    w_inverse: Scratch,
}

fn units(step: &Step, head: &Cosine) -> Units {
    let (n, d, classes) = (step.n, head.d, head.classes);
    let mut u = Units {
        x: Scratch::take(n * d),
        x_inverse: Scratch::take(n),
        w: Scratch::take(classes * d),
        w_inverse: Scratch::take(classes),
    };
    let mut features = Scratch::take(n * d);
    for image in 0..n {
        let src = step.value(head.src.value).at(image * d).cast_const();
        let dst = features[image * d..].as_mut_ptr();
        // SAFETY: one row of the features, which nobody writes now.
        unsafe {
            match step.load(&head.src, image) {
                None => dst.copy_from_nonoverlapping(src, d),
                Some(l) => crate::kernels::rows::activate(step.isa, dst, src, 1, d, &l),
            }
        }
    }
    normalise(&features, d, &mut u.x, &mut u.x_inverse);
    normalise(&step.params[head.weight.clone()], d, &mut u.w, &mut u.w_inverse);
    u
}

/// Logits of every image.
pub fn forward(step: &Step, head: &Cosine) {
    let u = units(step, head);
    for image in 0..step.n {
        let out = step.value(head.out).at(image * head.classes);
        // SAFETY: one row of the logits; this is the only thread at work.
        let out = unsafe { std::slice::from_raw_parts_mut(out, head.classes) };
        logits(&u.x[image * head.d..][..head.d], &u.w, head.scale, out);
    }
}

/// Gradients of the class vectors into `grads`, those of the features into their value's gradient.
pub fn backward(step: &Step, head: &Cosine, stage: usize, grads: &mut [f32]) {
    let (n, d, classes) = (step.n, head.d, head.classes);
    let u = units(step, head);
    let target = step.target(stage, &head.src);
    // SAFETY: the gradient of the logits holds n rows of this step; nobody writes it now.
    let dz = unsafe { std::slice::from_raw_parts(step.grad(head.out).at(0).cast_const(), n * classes) };
    // The clamp acts only on rounding errors past 1, where the projection below leaves nothing anyway.
    let mut slopes = Scratch::take(n * classes);
    slopes.iter_mut().zip(dz).for_each(|(s, dz)| *s = head.scale * dz);
    let (u, slopes) = (&u, &slopes[..]);
    let grad_w = Shared::new(grads[head.weight.clone()].as_mut_ptr());
    for_each(classes, |c| {
        // SAFETY: one class vector's gradient per part.
        let g = unsafe { std::slice::from_raw_parts_mut(grad_w.at(c * d), d) };
        g.fill(0.0);
        for i in 0..n {
            let s = slopes[i * classes + c];
            g.iter_mut().zip(&u.x[i * d..][..d]).for_each(|(g, x)| *g += s * x);
        }
        normalise_backward(&u.w[c * d..][..d], u.w_inverse[c], g);
    });
    for_parts(step, |p| {
        target.begin(p, 0);
        let mut g = Scratch::take(d);
        for i in step.images(p) {
            g.fill(0.0);
            for c in 0..classes {
                let s = slopes[i * classes + c];
                g.iter_mut().zip(&u.w[c * d..][..d]).for_each(|(g, w)| *g += s * w);
            }
            normalise_backward(&u.x[i * d..][..d], u.x_inverse[i], &mut g);
            // SAFETY: one row of the features' gradient, which belongs to this part.
            let to = unsafe { std::slice::from_raw_parts_mut(target.grad.at(i * d), d) };
            to.iter_mut().zip(g.iter()).for_each(|(t, g)| *t = if target.accumulate { *t + g } else { *g });
            target.finish(p, 0, i, 0, 1);
        }
    });
    step.collect_target(stage, &head.src, 0);
}
