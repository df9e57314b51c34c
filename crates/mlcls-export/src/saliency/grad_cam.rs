//! Grad-CAM without a backward pass through the backbone.

use mlcls_engine::{Affine, Graph, Op, Weights, unit_rows};

use crate::error::{Error, Result};

/// The head as layers that can be differentiated.
///
/// The pooled features are the mean of the map, so the derivative of a logit by a place of the map is the head's gradient at the
/// features divided by the number of places, the same for every place. A label's map is therefore the derivative of its logit
/// *in the direction* of each place's features, over the number of places; one forward pass gives it for all labels.
#[derive(Debug)]
pub struct GradCam {
    layers: Vec<Layer>,
}

#[derive(Debug)]
enum Layer {
    /// `scale * x + shift`, element by element.
    Affine(Affine),
    /// `W x + b`, W `[out, in]`.
    Linear {
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    PRelu(f32),
    /// `scale * cos(x, row)`, rows of length 1.
    Cosine {
        unit: Vec<f32>,
        scale: f32,
    },
}

impl GradCam {
    /// The head of a graph.
    pub fn new(graph: &Graph, weights: &Weights) -> Result<Self> {
        let param = |id| &weights.params[graph.param(id).range()];
        let buffer = |id| &weights.buffers[graph.buffer(id).range()];
        let mut layers = vec![];
        let mut before = graph.features();
        for id in graph.features().0 + 1..=graph.output().0 {
            let node = &graph.nodes()[id];
            if node.inputs != [before] {
                return Err(Error::node(node, "Grad-CAM needs a head whose layers follow each other"));
            }
            match &node.op {
                Op::Conv { weight, bias, .. } => {
                    let bias = bias.map_or_else(|| vec![0.0; node.shape.c], |b| param(b).to_vec());
                    layers.push(Layer::Linear { weight: param(*weight).to_vec(), bias });
                }
                Op::BatchNorm { eps, weight, bias, running_mean, running_var, .. } => {
                    let (mean, var) = (buffer(*running_mean), buffer(*running_var));
                    layers.push(Layer::Affine(Affine::batch_norm(
                        *eps,
                        param(*weight),
                        param(*bias),
                        mean,
                        var,
                    )));
                }
                Op::PRelu { slope } => layers.push(Layer::PRelu(param(*slope)[0])),
                Op::CosineLinear { scale, weight } => {
                    let d = graph.node(before).shape.c;
                    layers.push(Layer::Cosine { unit: unit_rows(param(*weight), d), scale: *scale });
                }
                Op::Dropout { .. } => {}
                _ => return Err(Error::node(node, "Grad-CAM does not know the derivative of this layer")),
            }
            before.0 = id;
        }
        Ok(Self { layers })
    }

    /// Maps `[classes, places]` of a feature map `[places, c]`.
    pub fn maps(&self, map: &[f32], places: usize) -> Vec<f32> {
        let c = map.len() / places;
        let mean = |channel: usize| map[channel..].iter().step_by(c).sum::<f32>() / places as f32;
        let mut x: Vec<f32> = (0..c).map(mean).collect();
        // Row by row, how `x` changes when the features go a little in the direction of a place.
        let mut change = map.to_vec();
        for layer in &self.layers {
            (x, change) = layer.forward(&x, &change);
        }
        let classes = x.len();
        let label = |k: usize| change[k..].iter().step_by(classes).map(|v| (v / places as f32).max(0.0));
        (0..classes).flat_map(label).collect()
    }
}

impl Layer {
    /// A layer's output, and the rows of its change for rows of change of its input.
    fn forward(&self, x: &[f32], change: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let rows = |f: &dyn Fn(&[f32]) -> Vec<f32>| change.chunks_exact(x.len()).flat_map(f).collect();
        match self {
            Self::Affine(Affine { scale, shift }) => {
                let y = x.iter().zip(scale).zip(shift).map(|((x, a), b)| a * x + b).collect();
                (y, rows(&|d| d.iter().zip(scale).map(|(d, a)| a * d).collect()))
            }
            Self::Linear { weight, bias } => {
                let times =
                    |v: &[f32]| -> Vec<f32> { weight.chunks_exact(v.len()).map(|row| dot(row, v)).collect() };
                (times(x).iter().zip(bias).map(|(y, b)| y + b).collect(), rows(&times))
            }
            Self::PRelu(slope) => {
                let factor: Vec<f32> = x.iter().map(|&x| if x > 0.0 { 1.0 } else { *slope }).collect();
                let times = |v: &[f32]| -> Vec<f32> { v.iter().zip(&factor).map(|(v, a)| a * v).collect() };
                (times(x), rows(&times))
            }
            Self::Cosine { unit, scale } => {
                let length = dot(x, x).sqrt().max(1e-12);
                let cosines: Vec<f32> = unit.chunks_exact(x.len()).map(|w| dot(w, x) / length).collect();
                let turned = |d: &[f32]| -> Vec<f32> {
                    let along = dot(x, d) / length;
                    let classes = unit.chunks_exact(d.len()).zip(&cosines);
                    classes.map(|(w, cosine)| scale * (dot(w, d) - cosine * along) / length).collect()
                };
                (cosines.iter().map(|c| scale * c).collect(), rows(&turned))
            }
        }
    }
}

/// The inner product, in eight sums that a vector holds.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, b) = (a.chunks(8), b.chunks(8));
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
