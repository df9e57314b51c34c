//! Plans as candle operators: differentiable, on the tensors that people already have.

use std::sync::{Arc, Mutex};

use candle_core::{
    CpuStorage, CustomOp2, DType, Device, Layout, Module, Result, Shape as TensorShape, Tensor, Var,
    backend::BackendStorage, bail,
};

use crate::graph::Graph;
use crate::infer::InferPlan;
use crate::train::TrainPlan;
use crate::weights::Weights;

/// A network in training mode as a candle operator of (pixels, flat parameter vector) -> logits.
///
/// `pixels` is a uint8 tensor `[n, h, w, 3]`, `params` an f32 vector of [`Graph::param_len`] elements; the result
/// `[n, classes]` is differentiable with respect to `params`. Running statistics live inside and are updated by every
/// forward pass. One batch can be in flight: `backward` must come before the next [`forward`](Self::forward), or it is an
/// error. CPU only; tensors elsewhere are refused.
///
/// ```
/// # use mlcls_engine::{Activation, ConvOptions, GraphBuilder, TrainOp, Weights};
/// use candle_core::{Device, Tensor, Var};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut b = GraphBuilder::new("tiny", 8);
/// # let x = b.input([0.5; 3], [0.5; 3]);
/// # let x = b.conv("stem", x, 8, ConvOptions { kernel: 3, stride: 2, ..Default::default() })?;
/// # let x = b.batch_norm("bn", x, 1e-5, 0.1)?;
/// # let map = b.activation(x, Activation::Relu);
/// # let features = b.global_pool(map);
/// # let logits = b.cosine_linear("head", features, 4, 7.0)?;
/// # let graph = b.finish(map, features, logits)?;
/// let weights = Weights::init(&graph, 7);
/// let net = TrainOp::new(&graph, &weights, 2)?;
/// let params = Var::from_vec(weights.params, graph.param_len(), &Device::Cpu)?;
/// let pixels = Tensor::zeros((2, 8, 8, 3), candle_core::DType::U8, &Device::Cpu)?;
/// let loss = net.forward(&pixels, params.as_tensor(), 0)?.sqr()?.sum_all()?;
/// let grads = loss.backward()?;
/// assert_eq!(grads.get(&params).unwrap().dims(), [graph.param_len()]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TrainOp {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    plan: TrainPlan,
    buffers: Vec<f32>,
    /// Names the forward pass that the plan's memory belongs to.
    pass: u64,
}

impl TrainOp {
    /// An operator for batches of 1 to `batch` images, starting from the running statistics of `weights`.
    pub fn new(graph: &Graph, weights: &Weights, batch: usize) -> crate::Result<Self> {
        let plan = TrainPlan::new(graph, batch)?;
        let state = State { plan, buffers: weights.buffers.clone(), pass: 0 };
        Ok(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// The logits; `seed` decides dropout and drop-path of this pass.
    pub fn forward(&self, pixels: &Tensor, params: &Tensor, seed: u64) -> Result<Tensor> {
        let pass = {
            let mut state = lock(&self.state)?;
            state.pass += 1;
            state.pass
        };
        pixels.contiguous()?.apply_op2(&params.contiguous()?, Pass { state: self.state.clone(), pass, seed })
    }

    /// The running statistics as they are now, in the order of [`Graph::buffers`].
    pub fn buffers(&self) -> Result<Vec<f32>> {
        Ok(lock(&self.state)?.buffers.clone())
    }
}

fn lock(state: &Mutex<State>) -> Result<std::sync::MutexGuard<'_, State>> {
    state.lock().map_err(|_| candle_core::Error::Msg("a thread panicked inside the plan".into()))
}

/// One forward pass and its backward pass.
struct Pass {
    state: Arc<Mutex<State>>,
    pass: u64,
    seed: u64,
}

/// The contiguous elements behind a layout.
fn slice<'a, T>(all: &'a [T], layout: &Layout, what: &str) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => bail!("mlcls: {what} must be contiguous, found {layout:?}"),
    }
}

impl CustomOp2 for Pass {
    fn name(&self) -> &'static str {
        "mlcls-train-plan"
    }

    fn cpu_fwd(
        &self,
        pixels: &CpuStorage,
        pixels_layout: &Layout,
        params: &CpuStorage,
        params_layout: &Layout,
    ) -> Result<(CpuStorage, TensorShape)> {
        let (CpuStorage::U8(px), CpuStorage::F32(w)) = (pixels, params) else {
            bail!(
                "mlcls: pixels must be u8 and parameters f32, found {:?} and {:?}",
                pixels.dtype(),
                params.dtype()
            )
        };
        let n = pixels_layout.dims().first().copied().unwrap_or(0);
        let px = slice(px, pixels_layout, "pixels")?;
        let w = slice(w, params_layout, "parameters")?;
        let mut state = lock(&self.state)?;
        let State { plan, buffers, .. } = &mut *state;
        let z = plan.forward(w, buffers, px, n, self.seed).map_err(candle_core::Error::wrap)?.to_vec();
        let classes = z.len() / n;
        Ok((CpuStorage::F32(z), (n, classes).into()))
    }

    fn bwd(
        &self,
        _pixels: &Tensor,
        params: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dlogits = grad.flatten_all()?.to_vec1::<f32>()?;
        let w = params.to_vec1::<f32>()?;
        let mut grads = vec![0.0; w.len()];
        let mut state = lock(&self.state)?;
        if state.pass != self.pass {
            bail!("mlcls: backward must come before the next forward pass of the same operator");
        }
        state.plan.backward(&w, &dlogits, &mut grads).map_err(candle_core::Error::wrap)?;
        Ok((None, Some(Tensor::from_vec(grads, params.shape(), &Device::Cpu)?)))
    }
}

/// An inference plan as a candle module: uint8 pixels `[n, h, w, 3]` to logits `[n, classes]`.
#[derive(Debug)]
pub struct InferModule {
    plan: Mutex<InferPlan>,
}

impl InferModule {
    /// Wraps a plan.
    pub fn new(plan: InferPlan) -> Self {
        Self { plan: Mutex::new(plan) }
    }
}

impl Module for InferModule {
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (n, _, _, _) = pixels.dims4()?;
        if pixels.dtype() != DType::U8 {
            bail!("mlcls: pixels must be u8, found {:?}", pixels.dtype());
        }
        let px = pixels.flatten_all()?.to_vec1::<u8>()?;
        let mut plan = self
            .plan
            .lock()
            .map_err(|_| candle_core::Error::Msg("a thread panicked inside the plan".into()))?;
        let z = plan.run(&px, n).map_err(candle_core::Error::wrap)?.to_vec();
        let classes = z.len() / n;
        Tensor::from_vec(z, (n, classes), pixels.device())
    }
}

impl Weights {
    /// The parameters as one candle variable, to be trained by candle's own optimizers.
    pub fn to_var(&self, device: &Device) -> Result<Var> {
        Var::from_slice(&self.params, self.params.len(), device)
    }

    /// One tensor by timm's name and in timm's shape.
    pub fn tensor(&self, graph: &Graph, name: &str, device: &Device) -> Result<Tensor> {
        match self.tensors(graph).find(|(n, _, _)| *n == name) {
            Some((_, shape, data)) => Tensor::from_slice(data, shape, device),
            None => bail!("mlcls: {} has no tensor {name}", graph.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Padding;
    use crate::graph::Activation;
    use crate::reference::{random_pixels, random_weights};
    use crate::train::tests::zoo;

    fn pixels(graph: &Graph, n: usize) -> (Vec<u8>, Tensor) {
        let px = random_pixels(graph, n, 5);
        let s = graph.input_shape();
        let t = Tensor::from_slice(&px, (n, s.h, s.w, s.c), &Device::Cpu).unwrap();
        (px, t)
    }

    #[test]
    fn gradients_through_candle_equal_the_plan() {
        let graph = zoo(16, Activation::HardSwish, 3, Padding::Symmetric);
        let weights = random_weights(&graph, 3);
        let (px, tensor) = pixels(&graph, 3);
        let net = TrainOp::new(&graph, &weights, 3).unwrap();
        let params = weights.to_var(&Device::Cpu).unwrap();
        let z = net.forward(&tensor, params.as_tensor(), 0).unwrap();
        let grads = z.sqr().unwrap().sum_all().unwrap().backward().unwrap();

        let mut plan = TrainPlan::new(&graph, 3).unwrap();
        let mut buffers = weights.buffers.clone();
        let direct = plan.forward(&weights.params, &mut buffers, &px, 3, 0).unwrap().to_vec();
        let mut want = vec![0.0; weights.params.len()];
        let d: Vec<f32> = direct.iter().map(|z| 2.0 * z).collect();
        plan.backward(&weights.params, &d, &mut want).unwrap();
        assert_eq!(z.flatten_all().unwrap().to_vec1::<f32>().unwrap(), direct);
        assert_eq!(grads.get(&params).unwrap().to_vec1::<f32>().unwrap(), want);
        assert_eq!(net.buffers().unwrap(), buffers);
    }

    #[test]
    fn a_second_forward_before_backward_is_an_error() {
        let graph = zoo(16, Activation::Relu, 3, Padding::Same);
        let weights = random_weights(&graph, 3);
        let (_, tensor) = pixels(&graph, 2);
        let net = TrainOp::new(&graph, &weights, 2).unwrap();
        let params = weights.to_var(&Device::Cpu).unwrap();
        let first = net.forward(&tensor, params.as_tensor(), 0).unwrap();
        net.forward(&tensor, params.as_tensor(), 0).unwrap();
        let e = first.sum_all().unwrap().backward().unwrap_err().to_string();
        assert!(e.contains("before the next forward"), "{e}");
        let floats = tensor.to_dtype(DType::F32).unwrap();
        assert!(net.forward(&floats, params.as_tensor(), 0).is_err());
    }

    #[test]
    fn the_module_gives_the_plan_s_logits() {
        let graph = zoo(16, Activation::Silu, 3, Padding::Same);
        let weights = random_weights(&graph, 3);
        let (px, tensor) = pixels(&graph, 2);
        let mut plan = InferPlan::new(&graph, &weights, 2).unwrap();
        let want = plan.run(&px, 2).unwrap().to_vec();
        let module = InferModule::new(plan);
        assert_eq!(module.forward(&tensor).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), want);
        let stem = weights.tensor(&graph, "stem.weight", &Device::Cpu).unwrap();
        assert_eq!(stem.dims(), [12, 3, 3, 3]);
        assert!(weights.tensor(&graph, "stem", &Device::Cpu).is_err());
    }
}
