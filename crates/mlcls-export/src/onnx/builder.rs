//! Writing an ONNX graph down, operation by operation.

use std::collections::HashSet;

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto};
use super::value::batch_of;

/// A graph under construction; names are its only references.
#[derive(Debug, Default)]
pub struct Builder {
    graph: GraphProto,
    names: HashSet<String>,
}

impl Builder {
    /// Adds an input of any number of images; returns its name.
    pub fn input(&mut self, name: &str, elem_type: i32, shape: &[usize]) -> String {
        self.names.insert(name.to_owned());
        self.graph.input.push(batch_of(name, elem_type, shape));
        name.to_owned()
    }

    /// Makes a value an output of the graph.
    pub fn output(&mut self, name: &str, elem_type: i32, shape: &[usize]) {
        self.graph.output.push(batch_of(name, elem_type, shape));
    }

    /// Adds an operation with one output; returns the output's name, which is `name`, numbered where that is taken.
    pub fn op<'a>(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: impl IntoIterator<Item = &'a str>,
        attribute: Vec<AttributeProto>,
    ) -> String {
        let mut unique = name.to_owned();
        let mut number = 1;
        while !self.names.insert(unique.clone()) {
            number += 1;
            unique = format!("{name}_{number}");
        }
        self.graph.node.push(NodeProto {
            input: inputs.into_iter().map(str::to_owned).collect(),
            output: vec![unique.clone()],
            name: unique.clone(),
            op_type: op_type.to_owned(),
            attribute,
        });
        unique
    }

    /// The float32 tensor of this name; `values` are asked for only where it is not there yet.
    pub fn tensor(&mut self, name: &str, shape: &[usize], values: impl FnOnce() -> Vec<f32>) -> String {
        if self.names.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto {
                dims: shape.iter().map(|&n| n as i64).collect(),
                data_type: TypeProto::FLOAT,
                name: name.to_owned(),
                raw_data: values().iter().flat_map(|v| v.to_le_bytes()).collect(),
            });
        }
        name.to_owned()
    }

    /// The int64 list of this name.
    pub fn whole(&mut self, name: &str, values: &[usize]) -> String {
        if self.names.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto {
                dims: vec![values.len() as i64],
                data_type: TypeProto::INT64,
                name: name.to_owned(),
                raw_data: values.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect(),
            });
        }
        name.to_owned()
    }

    /// A single number, for any shape.
    pub fn scalar(&mut self, value: f32) -> String {
        self.tensor(&format!("scalar({value})"), &[], || vec![value])
    }

    /// The finished graph.
    pub fn finish(self, name: &str) -> GraphProto {
        GraphProto { name: name.to_owned(), ..self.graph }
    }
}

/// A constant that is a number.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        f: Some(value),
        r#type: AttributeProto::FLOAT,
        ..Default::default()
    }
}

/// A constant that is a whole number.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: Some(value),
        r#type: AttributeProto::INT,
        ..Default::default()
    }
}

/// A constant that is a list of whole numbers.
pub fn ints<const N: usize>(name: &str, values: [usize; N]) -> AttributeProto {
    let ints = values.map(|n| n as i64).into();
    AttributeProto { name: name.to_owned(), ints, r#type: AttributeProto::INTS, ..Default::default() }
}
