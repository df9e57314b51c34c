//! Starting a model from another one that was trained on other labels.

use mlcls_engine::{Graph, Weights};

use crate::error::{Error, Mismatch, Result};

/// What [`transfer`] did, by label of the new model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Labels whose class vectors were copied.
    pub copied: Vec<String>,
    /// Labels that start afresh.
    pub fresh: Vec<String>,
}

/// Copies everything a model has learnt into a model with other labels: the backbone and the head's hidden layer as they
/// are, and of the class vectors (`head.weight`, `head.bias`) the rows of labels with equal names. Other rows of `to`
/// keep their values (OTX's class-incremental learning).
///
/// Labels are in the order of the logits. Input size, dropout and scale may differ.
///
/// # Errors
/// [`Error::Transfer`] where backbones or heads differ, or a label list is not as long as its model's class vectors;
/// `to` is then unchanged.
pub fn transfer(
    (from_graph, from, from_labels): (&Graph, &Weights, &[String]),
    (to_graph, to, to_labels): (&Graph, &mut Weights, &[String]),
) -> Result<Transfer> {
    let mut result = to.clone();
    let mut mismatch = Mismatch::default();
    for (name, labels, graph) in
        [("the other model", from_labels, from_graph), ("this model", to_labels, to_graph)]
    {
        if labels.len() != graph.output_len() {
            let found = format!("{name}: expected {} labels, found {}", graph.output_len(), labels.len());
            mismatch.wrong.push(found);
        }
    }

    let copied = |label: &String| from_labels.iter().position(|l| l == label);
    let mut used = 0;
    let wanted: Vec<(String, Vec<usize>)> =
        to.tensors(to_graph).map(|(name, shape, _)| (name.to_owned(), shape.to_vec())).collect();
    for (name, shape) in &wanted {
        let Some((_, from_shape, values)) = from.tensors(from_graph).find(|(n, ..)| n == name) else {
            mismatch.missing.push(name.clone());
            continue;
        };
        used += 1;
        let per_class = matches!(name.as_str(), "head.weight" | "head.bias");
        // Class vectors may differ in their number only.
        let first = usize::from(per_class);
        if from_shape.len() != shape.len() || from_shape[first..] != shape[first..] {
            mismatch.wrong.push(format!("{name}: expected {shape:?}, found {from_shape:?}"));
            continue;
        }
        let Some((_, out)) = result.tensor_mut(to_graph, name) else { continue };
        if !per_class {
            out.copy_from_slice(values);
        } else if mismatch.wrong.is_empty() {
            let width = shape[1..].iter().product();
            for (row, label) in out.chunks_exact_mut(width).zip(to_labels) {
                if let Some(i) = copied(label) {
                    row.copy_from_slice(&values[i * width..(i + 1) * width]);
                }
            }
        }
    }
    if used < from.tensors(from_graph).count() {
        let unknown = |name: &str| wanted.iter().all(|(n, _)| n != name);
        let extra = from.tensors(from_graph).map(|(name, ..)| name.to_owned()).filter(|n| unknown(n));
        mismatch.unexpected.extend(extra);
    }
    if !mismatch.is_empty() {
        return Err(Error::Transfer(Box::new(mismatch)));
    }
    *to = result;
    let (copied, fresh) = to_labels.iter().cloned().partition(|l| copied(l).is_some());
    Ok(Transfer { copied, fresh })
}
