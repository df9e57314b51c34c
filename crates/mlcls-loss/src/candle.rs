//! The losses as a candle operator: a scalar that knows its own gradient.

use candle_core::{CpuStorage, CustomOp3, DType, Device, Error, Layout, Result, Shape, Tensor};

use crate::Loss;

impl Loss {
    /// The objective of a batch as a differentiable scalar.
    ///
    /// # Shapes
    /// - `logits`, `targets`, `mask`: `[N, C]`, any float type and device. No mask means that everything is known.
    /// - result: `[]` of type F32 on the device of the logits; `backward` reaches the logits, not targets and mask.
    ///
    /// The arithmetic of this small array is done on the CPU; logits on another device are copied there and back.
    ///
    /// # Errors
    /// Shapes that differ, and what [`Loss::value_and_grad`] refuses.
    ///
    /// ```
    /// use candle_core::{Device, Tensor, Var};
    /// use mlcls_loss::Loss;
    ///
    /// let logits = Var::new(&[[3.5f32, 0.0]], &Device::Cpu)?;
    /// let targets = Tensor::new(&[[1f32, 0.0]], &Device::Cpu)?;
    /// let loss = Loss::default().forward(&logits, &targets, None)?;
    /// let grads = loss.backward()?;
    /// assert_eq!(grads.get(&logits).unwrap().dims(), [1, 2]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn forward(&self, logits: &Tensor, targets: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (_images, _labels) = logits.dims2()?;
        let on_cpu = |tensor: &Tensor| {
            if tensor.shape() != logits.shape() {
                let (lhs, rhs) = (logits.shape().clone(), tensor.shape().clone());
                return Err(Error::ShapeMismatchBinaryOp { lhs, rhs, op: self.op_name() });
            }
            tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()
        };
        let mask = match mask {
            Some(mask) => on_cpu(mask)?,
            None => Tensor::ones(logits.shape(), DType::F32, &Device::Cpu)?,
        };
        // Only the logits stay in the graph.
        let (targets, mask) = (on_cpu(targets)?.detach(), mask.detach());
        on_cpu(logits)?.apply_op3(&targets, &mask, Objective(*self))?.to_device(logits.device())
    }

    fn op_name(&self) -> &'static str {
        match self {
            Self::Aam(_) => "aam_loss",
            Self::Asl(_) => "asl_loss",
            Self::Focal(_) => "focal_loss",
            Self::Bce(_) => "bce_loss",
        }
    }
}

/// (logits, targets, mask) -> objective, on contiguous F32 in CPU memory.
struct Objective(Loss);

impl CustomOp3 for Objective {
    fn name(&self) -> &'static str {
        self.0.op_name()
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        logits_layout: &Layout,
        targets: &CpuStorage,
        targets_layout: &Layout,
        mask: &CpuStorage,
        mask_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let value = self
            .0
            .value(
                slice(logits, logits_layout, self.name())?,
                slice(targets, targets_layout, self.name())?,
                slice(mask, mask_layout, self.name())?,
            )
            .map_err(Error::wrap)?;
        Ok((CpuStorage::F32(vec![value.objective as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        targets: &Tensor,
        mask: &Tensor,
        _objective: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let mut dlogits = vec![0.0; logits.elem_count()];
        self.0
            .value_and_grad(&values(logits)?, &values(targets)?, &values(mask)?, &mut dlogits)
            .map_err(Error::wrap)?;
        let dlogits = Tensor::from_vec(dlogits, logits.shape(), logits.device())?;
        Ok((Some(dlogits.broadcast_mul(grad)?), None, None))
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout, op: &'static str) -> Result<&'a [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op })?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}
