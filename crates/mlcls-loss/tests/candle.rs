//! The candle operator against the slices: same value, same gradient, also inside a larger graph.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use candle_core::{DType, Device, Result, Tensor, Var};
use mlcls_loss::{Asl, Bce, Focal, Loss};

const LOSSES: fn() -> [Loss; 4] = || {
    [Loss::default(), Loss::Asl(Asl::default()), Loss::Focal(Focal::default()), Loss::Bce(Bce { scale: 7.0 })]
};

const LOGITS: [[f32; 3]; 2] = [[3.5, 0.0, -2.1], [7.0, -0.4, 1.3]];
const TARGETS: [[f32; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]];
const MASK: [[f32; 3]; 2] = [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]];

#[test]
fn equals_the_slices() -> Result<()> {
    let (targets, mask) = (Tensor::new(&TARGETS, &Device::Cpu)?, Tensor::new(&MASK, &Device::Cpu)?);
    for loss in LOSSES() {
        let logits = Var::new(&LOGITS, &Device::Cpu)?;
        let objective = loss.forward(&logits, &targets, Some(&mask))?;
        let mut expected = [0.0; 6];
        let value = loss
            .value_and_grad(LOGITS.as_flattened(), TARGETS.as_flattened(), MASK.as_flattened(), &mut expected)
            .unwrap();
        assert_eq!(objective.to_scalar::<f32>()?, value.objective as f32);

        // Twice the objective, so that the gradient from above matters.
        let grads = (objective * 2.0)?.backward()?;
        let grad = grads.get(&logits).unwrap().flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(grad, expected.map(|g| 2.0 * g));
    }
    Ok(())
}

#[test]
fn without_a_mask_everything_is_known() -> Result<()> {
    let (logits, targets) = (Tensor::new(&LOGITS, &Device::Cpu)?, Tensor::new(&TARGETS, &Device::Cpu)?);
    let ones = targets.ones_like()?;
    for loss in LOSSES() {
        let without = loss.forward(&logits, &targets, None)?.to_scalar::<f32>()?;
        assert_eq!(without, loss.forward(&logits, &targets, Some(&ones))?.to_scalar::<f32>()?);
    }
    Ok(())
}

/// Logits that are a transposed view of f64 weights times an input: strides and types must not matter.
#[test]
fn gradient_reaches_through_a_graph() -> Result<()> {
    let (targets, mask) = (Tensor::new(&TARGETS, &Device::Cpu)?, Tensor::new(&MASK, &Device::Cpu)?);
    let input = Tensor::new(&[[0.5f64, -1.0], [2.0, 0.25]], &Device::Cpu)?;
    let start = [[1.0f64, -0.5], [0.3, 0.8], [-1.2, 0.1]];
    let objective = |loss: &Loss, weights: &Tensor| {
        loss.forward(&weights.matmul(&input)?.t()?, &targets, Some(&mask))?.to_dtype(DType::F64)
    };
    for loss in LOSSES() {
        let weights = Var::new(&start, &Device::Cpu)?;
        let grads = objective(&loss, &weights)?.backward()?;
        let grad = grads.get(&weights).unwrap().to_vec2::<f64>()?;
        for (i, row) in grad.iter().enumerate() {
            for (j, &slope) in row.iter().enumerate() {
                let shifted = |step: f64| {
                    let mut weights = start;
                    weights[i][j] += step;
                    objective(&loss, &Tensor::new(&weights, &Device::Cpu)?)?.to_scalar::<f64>()
                };
                let step = 1e-2; // the objective is f32, so a smaller step would measure its rounding
                let numeric = (shifted(step)? - shifted(-step)?) / (2.0 * step);
                assert!(
                    (slope - numeric).abs() < 2e-4 + 1e-3 * slope.abs(),
                    "{loss:?}: {slope} is not {numeric}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn shapes_and_values_are_checked() -> Result<()> {
    let loss = Loss::default();
    let logits = Tensor::new(&LOGITS, &Device::Cpu)?;
    let message = |targets: &Tensor, mask: Option<&Tensor>| {
        loss.forward(&logits, targets, mask).unwrap_err().to_string().lines().next().unwrap().to_owned()
    };
    let narrow = Tensor::zeros((2, 2), DType::F32, &Device::Cpu)?;
    assert!(message(&narrow, None).contains("shape mismatch in aam_loss, lhs: [2, 3], rhs: [2, 2]"));
    assert!(message(&logits.zeros_like()?, Some(&narrow)).contains("shape mismatch in aam_loss"));
    assert!(message(&logits, None).contains("entry 0 of the targets is 3.5"));
    assert!(loss.forward(&logits.flatten_all()?, &logits.flatten_all()?, None).is_err());
    Ok(())
}
