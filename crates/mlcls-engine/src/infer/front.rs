//! A part that candle runs, in front of an inference plan.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::segment::Slot;
use crate::border::Padded;
use crate::error::{Error, Result};
use crate::graph::{BoxedModule, Graph, NodeId, Op, ParamId, Shape, Window};
use crate::kernels::simd::Isa;
use crate::program::Candle;
use crate::weights::Weights;

/// The module with what goes in and what comes out.
pub struct Front {
    module: BoxedModule,
    isa: Isa,
    name: String,
    stage: Candle,
    input: Shape,
    output: Shape,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("name", &self.name).field("output", &self.output).finish()
    }
}

impl Front {
    /// Builds the module of a node.
    pub fn new(graph: &Graph, weights: &Weights, isa: Isa, stage: &Candle, node: NodeId) -> Result<Self> {
        let Op::Candle(part) = &graph.node(node).op else {
            unreachable!("this stage stands for no other node")
        };
        let tensor = |&id: &ParamId| {
            let spec = graph.param(id);
            let values = &weights.params[spec.range()];
            Ok((spec.name.clone(), Tensor::from_slice(values, &spec.shape[..], &Device::Cpu)?))
        };
        let tensors = part.params.iter().map(tensor).collect::<Result<HashMap<_, _>>>()?;
        Ok(Self {
            module: (part.build)(&tensors, graph.input_shape())?,
            isa,
            name: graph.node(node).name.clone(),
            stage: stage.clone(),
            input: graph.input_shape(),
            output: graph.node(node).shape,
        })
    }

    /// Where its values go.
    pub fn slot(&self) -> Slot {
        Slot { value: self.stage.out, len: self.output.len() }
    }

    /// Maps `[n, h, w, c]` of uint8 images, which the threads take one by one: a map does not depend on the images beside it.
    pub fn run(&self, pixels: &[u8]) -> Result<Vec<f32>> {
        let (image, map) = (self.input.len(), self.output.len());
        let mut maps = vec![0.0; pixels.len() / image * map];
        let pairs = maps.par_chunks_exact_mut(map).zip(pixels.par_chunks_exact(image)).with_max_len(1);
        pairs.try_for_each(|(map, pixels)| self.one(pixels, map))?;
        Ok(maps)
    }

    fn one(&self, pixels: &[u8], map: &mut [f32]) -> Result<()> {
        let Shape { h, w, c } = self.input;
        let borderless = Padded::new(self.input, self.input, Window::POINT);
        let mut normalised = vec![0.0; borderless.len()];
        borderless.fill_pixels(self.isa, pixels, &self.stage.mean, &self.stage.std, &mut normalised);
        let image = Tensor::from_vec(normalised, (1, h, w, c), &Device::Cpu)?;
        let found = self.module.forward(&image.permute((0, 3, 1, 2))?.contiguous()?)?;
        let expected = [1, self.output.h, self.output.w, self.output.c];
        if found.dims() != expected {
            let reason = format!("the module gave {:?}, expected {expected:?}", found.dims());
            return Err(Error::Graph { node: self.name.clone(), reason });
        }
        map.copy_from_slice(&found.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Module;

    use super::*;
    use crate::builder::{ConvOptions, GraphBuilder};
    use crate::graph::{Init, ParamKind};
    use crate::infer::{HeadPlan, InferPlan};
    use crate::train::TrainPlan;

    /// A patch embedding: a convolution of 2 by 2 pixels, channels last.
    struct Patches(Tensor);

    impl Module for Patches {
        fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
            x.conv2d(&self.0, 0, 2, 1, 1)?.permute((0, 2, 3, 1))
        }
    }

    fn patches(tensors: &HashMap<String, Tensor>, image: Shape) -> candle_core::Result<BoxedModule> {
        assert_eq!(image, Shape::new(6, 6, 3));
        Ok(Box::new(Patches(tensors["patches.weight"].clone())))
    }

    /// The same network with its first layer run by candle and by the engine.
    fn networks(shape: Shape) -> [Graph; 2] {
        [true, false].map(|candle| {
            let mut b = GraphBuilder::new("patches", 6);
            let image = b.input([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]);
            let map = if candle {
                let params = vec![("patches.weight".to_owned(), vec![5, 3, 2, 2], ParamKind::Weight)];
                b.candle("patches", image, shape, params, patches, 9 * 60)
            } else {
                let options = ConvOptions {
                    kernel: 2,
                    stride: 2,
                    padding: crate::builder::Padding::Same,
                    init: Some(Init::Normal(0.02)),
                    ..ConvOptions::default()
                };
                b.conv("patches", image, 5, options).unwrap()
            };
            let features = b.global_pool(map);
            let logits = b.linear("head", features, 4, Init::Normal(0.5)).unwrap();
            b.finish(map, features, logits).unwrap()
        })
    }

    #[test]
    fn candle_in_front_does_what_the_engine_does() {
        let [ours, expected] = networks(Shape::new(3, 3, 5));
        assert_eq!((ours.params(), ours.macs()), (expected.params(), expected.macs()));
        let weights = Weights::init(&ours, 3);
        let pixels = crate::reference::random_pixels(&ours, 4, 5);
        let run = |graph: &Graph| {
            let mut plan = InferPlan::with_feature_map(graph, &weights, 4).unwrap();
            let logits = plan.run(&pixels, 4).unwrap().to_vec();
            assert!(plan.run(&pixels, 5).is_err());
            [logits, plan.features().unwrap().to_vec(), plan.feature_map().unwrap().to_vec()]
        };
        let (found, expected) = (run(&ours), run(&expected));
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
        }
        let mut head = HeadPlan::new(&ours, &weights, 4).unwrap();
        assert_eq!(head.run(&found[1], 4).unwrap(), found[0], "the head gives the bits of the whole");
        for node in [ours.feature_map(), ours.features()] {
            let mut plan = InferPlan::up_to(&ours, &weights, 4, node).unwrap();
            let expected = if node == ours.features() { &found[1] } else { &found[2] };
            assert_eq!(plan.run(&pixels, 4).unwrap(), expected);
            TrainPlan::behind(&ours, 4, node).unwrap();
        }
        let profile = InferPlan::new(&ours, &weights, 1).unwrap().profile();
        assert_eq!((profile.stages[0].kind.as_str(), profile.stages[0].forward.flops), ("candle", 1080.0));
    }

    #[test]
    fn a_module_that_gives_another_shape_is_named() {
        let [graph, _] = networks(Shape::new(3, 4, 5));
        let mut plan = InferPlan::new(&graph, &Weights::init(&graph, 3), 1).unwrap();
        let message = plan.run(&[0; 108], 1).unwrap_err().to_string();
        assert_eq!(message, "patches: the module gave [1, 3, 3, 5], expected [1, 3, 4, 5]");
    }
}
