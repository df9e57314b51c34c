//! Many small smooth problems minimised side by side: limited-memory BFGS in lockstep.
//!
//! Heads have one vector per label, and the labels do not know of each other; neither do the folds of a cross-validation. One
//! evaluation serves them all with one pair of matrix products, in which each problem has a row.

use rayon::prelude::*;

use crate::error::Result;

/// Pairs of steps and gradient changes that are remembered: enough for a few hundred iterations on thousands of numbers.
const MEMORY: usize = 10;

/// Share of the decrease that the slope promises, which a step must reach (Armijo's condition).
const SUFFICIENT: f64 = 1e-4;

/// Share of the value below which a difference may be rounding, so that it does not count against a step.
const NOISE: f64 = 1e-8;

/// Halvings of a step until another direction is tried; where there is none, f32 can tell no better place.
const HALVINGS: u32 = 10;

/// Problems that share one evaluation.
pub(crate) trait Objective: Sync {
    /// How many problems there are.
    fn problems(&self) -> usize;

    /// The values of the problems `which` at `place` `[which, n]`, and the gradients, written to `gradient` of the same shape.
    fn evaluate(&self, which: &[usize], place: &[f32], gradient: &mut [f32]) -> Result<Vec<f64>>;
}

/// A minimisation under way.
pub(crate) struct Minimizer<'a, O> {
    objective: &'a O,
    width: usize,
    place: Vec<f32>,
    gradient: Vec<f32>,
    problems: Vec<Problem>,
    tolerance: f32,
}

/// What one problem remembers.
struct Problem {
    value: f64,
    direction: Vec<f32>,
    /// Slope along the direction, below zero.
    slope: f64,
    step: f64,
    halvings: u32,
    /// Steps and gradient changes, the oldest first, with the inverse of their product.
    memory: Vec<(Vec<f32>, Vec<f32>, f64)>,
    done: bool,
}

impl<'a, O: Objective> Minimizer<'a, O> {
    /// Begins at `start` `[problems, n]`. A problem is solved when no element of its gradient exceeds `tolerance`.
    pub fn new(objective: &'a O, start: Vec<f32>, tolerance: f32) -> Result<Self> {
        let width = start.len() / objective.problems().max(1);
        let mut gradient = vec![0.0; start.len()];
        let all: Vec<usize> = (0..objective.problems()).collect();
        let values = objective.evaluate(&all, &start, &mut gradient)?;
        let problems =
            values.into_iter().zip(gradient.chunks_exact(width.max(1))).map(|(value, gradient)| {
                let mut problem = Problem {
                    value,
                    direction: vec![0.0; width],
                    slope: 0.0,
                    step: 1.0,
                    halvings: 0,
                    memory: vec![],
                    done: false,
                };
                problem.aim(gradient, tolerance);
                problem
            });
        let problems = problems.collect();
        Ok(Self { objective, width, place: start, gradient, problems, tolerance })
    }

    /// Where the problems are now, `[problems, n]`.
    pub fn place(&self) -> &[f32] {
        &self.place
    }

    /// One evaluation further: each problem takes its step, or halves it where the value did not fall enough. `false` when all
    /// are solved.
    pub fn advance(&mut self) -> Result<bool> {
        let width = self.width;
        let open: Vec<usize> = (0..self.problems.len()).filter(|&i| !self.problems[i].done).collect();
        if open.is_empty() {
            return Ok(false);
        }
        let mut next = Vec::with_capacity(open.len() * width);
        for &i in &open {
            let (here, problem) = (&self.place[i * width..(i + 1) * width], &self.problems[i]);
            let step = problem.step as f32;
            next.extend(here.iter().zip(&problem.direction).map(|(v, d)| v + step * d));
        }
        let mut gradient = vec![0.0; next.len()];
        let mut values = self.objective.evaluate(&open, &next, &mut gradient)?.into_iter();
        let mut there = next.chunks_exact(width).zip(gradient.chunks_exact(width));
        let tolerance = self.tolerance;
        let here = self.place.chunks_exact_mut(width).zip(self.gradient.chunks_exact_mut(width));
        let steps: Vec<_> = self
            .problems
            .iter_mut()
            .zip(here)
            .filter(|(problem, _)| !problem.done)
            .filter_map(|(problem, here)| Some((problem, here, there.next()?, values.next()?)))
            .collect();
        steps.into_par_iter().for_each(|(problem, here, there, value)| {
            problem.step(here, there, value, tolerance);
        });
        Ok(true)
    }
}

impl Problem {
    /// Goes there, or shortens the step.
    fn step(&mut self, here: (&mut [f32], &mut [f32]), there: (&[f32], &[f32]), value: f64, tolerance: f32) {
        let enough = value <= self.value + SUFFICIENT * self.step * self.slope + NOISE * self.value.abs();
        if !enough {
            // Also where the value is not a number.
            self.step *= 0.5;
            self.halvings += 1;
            if self.halvings > HALVINGS {
                // The memory may mislead; downhill is the last resort.
                self.done = self.memory.is_empty();
                self.halvings = 0;
                self.memory.clear();
                self.aim(here.1, tolerance);
            }
            return;
        }
        let moved: Vec<f32> = there.0.iter().zip(&*here.0).map(|(a, b)| a - b).collect();
        let turned: Vec<f32> = there.1.iter().zip(&*here.1).map(|(a, b)| a - b).collect();
        let product = dot(&moved, &turned);
        // Without positive curvature along the step there is nothing to remember of it.
        if product > 1e-10 * dot(&turned, &turned).sqrt() * dot(&moved, &moved).sqrt() {
            if self.memory.len() == MEMORY {
                self.memory.remove(0);
            }
            self.memory.push((moved, turned, 1.0 / product));
        }
        here.0.copy_from_slice(there.0);
        here.1.copy_from_slice(there.1);
        self.value = value;
        self.halvings = 0;
        self.aim(here.1, tolerance);
    }

    /// Chooses the next direction: minus the gradient through the approximate inverse Hessian (two-loop recursion of Nocedal
    /// 1980).
    fn aim(&mut self, gradient: &[f32], tolerance: f32) {
        let largest = gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
        self.done |= largest <= tolerance || !largest.is_finite();
        if self.done {
            return;
        }
        let mut d: Vec<f32> = gradient.iter().map(|g| -g).collect();
        let mut shares = vec![0.0; self.memory.len()];
        for (share, (moved, turned, inverse)) in shares.iter_mut().zip(&self.memory).rev() {
            *share = inverse * dot(moved, &d);
            add(&mut d, -*share as f32, turned);
        }
        self.step = 1.0;
        match self.memory.last() {
            Some((_, turned, inverse)) => {
                let scale = (1.0 / (inverse * dot(turned, turned))) as f32;
                d.iter_mut().for_each(|d| *d *= scale);
            }
            // The first step has length 1 at most.
            None => self.step = 1.0 / dot(gradient, gradient).sqrt().max(1.0),
        }
        for (share, (moved, turned, inverse)) in shares.iter().zip(&self.memory) {
            let back = inverse * dot(turned, &d);
            add(&mut d, (share - back) as f32, moved);
        }
        self.slope = dot(&d, gradient);
        if self.slope >= 0.0 {
            // Rounding has spoilt the memory.
            self.memory.clear();
            return self.aim(gradient, tolerance);
        }
        self.direction = d;
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// `to += factor * what`.
fn add(to: &mut [f32], factor: f32, what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += factor * what);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Valleys as Rosenbrock's, of different steepness, and a quadratic whose minimum is at its number.
    struct Valleys;

    impl Objective for Valleys {
        fn problems(&self) -> usize {
            4
        }

        fn evaluate(&self, which: &[usize], place: &[f32], gradient: &mut [f32]) -> Result<Vec<f64>> {
            let rows = which.iter().zip(place.chunks_exact(2).zip(gradient.chunks_exact_mut(2)));
            Ok(rows
                .map(|(&number, (at, gradient))| {
                    let (x, y) = (f64::from(at[0]), f64::from(at[1]));
                    let steep = [100.0, 10.0, 1.0, 0.0][number];
                    if steep == 0.0 {
                        gradient.copy_from_slice(&[(x - 3.0) as f32, (10.0 * (y + 1.0)) as f32]);
                        return 0.5 * (x - 3.0).powi(2) + 5.0 * (y + 1.0).powi(2);
                    }
                    gradient[0] = (2.0 * (x - 1.0) - 4.0 * steep * x * (y - x * x)) as f32;
                    gradient[1] = (2.0 * steep * (y - x * x)) as f32;
                    (x - 1.0).powi(2) + steep * (y - x * x).powi(2)
                })
                .collect())
        }
    }

    #[test]
    fn each_problem_finds_its_own_minimum() {
        let start = [-1.2, 1.0].repeat(4);
        let mut minimizer = Minimizer::new(&Valleys, start, 1e-4).unwrap();
        let mut rounds = 0;
        while minimizer.advance().unwrap() {
            rounds += 1;
            assert!(rounds < 200, "{:?}", minimizer.place());
        }
        for (number, at) in minimizer.place().chunks_exact(2).enumerate() {
            let expected = if number == 3 { [3.0, -1.0] } else { [1.0, 1.0] };
            for (a, b) in at.iter().zip(expected) {
                assert!((a - b).abs() < 2e-3, "problem {number}: {at:?} after {rounds} rounds");
            }
        }
    }

    #[test]
    fn a_start_at_the_minimum_stays_there() {
        let start = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, -1.0];
        let mut minimizer = Minimizer::new(&Valleys, start.to_vec(), 1e-4).unwrap();
        assert!(!minimizer.advance().unwrap());
        assert_eq!(minimizer.place(), start);
    }
}
