//! What goes into a model and what comes out.

use std::fmt;

use super::proto::{Dimension, Size, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto};

/// An input or output of any number of images.
pub fn batch_of(name: &str, elem_type: i32, shape: &[usize]) -> ValueInfoProto {
    let batch = Size::DimParam("batch".to_owned());
    let sizes = std::iter::once(batch).chain(shape.iter().map(|&n| Size::DimValue(n as i64)));
    let shape = TensorShapeProto { dim: sizes.map(|size| Dimension { size: Some(size) }).collect() };
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(shape) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

/// Its type as `uint8 [batch, 224, 224, 3]`.
impl fmt::Display for TypeProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensor = self.tensor_type.clone().unwrap_or_default();
        let element = match tensor.elem_type {
            Self::FLOAT => "float32".to_owned(),
            Self::UINT8 => "uint8".to_owned(),
            other => format!("type {other}"),
        };
        let size = |dimension: &Dimension| match &dimension.size {
            Some(Size::DimValue(n)) => n.to_string(),
            Some(Size::DimParam(name)) => name.clone(),
            None => "?".to_owned(),
        };
        let sizes: Vec<String> = tensor.shape.unwrap_or_default().dim.iter().map(size).collect();
        write!(f, "{element} [{}]", sizes.join(", "))
    }
}
