//! Protobuf and `onnx.proto` read by hand, field number by field number, so that a wrong number in `proto.rs` is noticed.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The content of a field.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Varint(u64),
    Fixed([u8; 4]),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("expected bytes, found {self:?}") };
        bytes
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn int(self) -> i64 {
        let Self::Varint(v) = self else { panic!("expected a varint, found {self:?}") };
        v as i64
    }

    fn float(self) -> f32 {
        let Self::Fixed(v) = self else { panic!("expected four bytes, found {self:?}") };
        f32::from_le_bytes(v)
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return value;
        }
    }
}

/// Numbers and contents of a message's fields.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = vec![];
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(content)
            }
            5 => {
                let (content, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Field::Fixed(*content)
            }
            other => panic!("wire type {other}"),
        };
        all.push((key >> 3, field));
    }
    all
}

/// The fields of one number.
fn all(message: &[u8], number: u64) -> impl Iterator<Item = Field<'_>> {
    fields(message).into_iter().filter(move |(n, _)| *n == number).map(|(_, field)| field)
}

fn one(message: &[u8], number: u64) -> Field<'_> {
    let found: Vec<_> = all(message, number).collect();
    assert_eq!(found.len(), 1, "field {number}");
    found[0]
}

/// A tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub dims: Vec<usize>,
    pub values: Vec<f64>,
}

/// An operation; attributes are lists of numbers.
#[derive(Debug)]
pub struct Node {
    pub op: String,
    pub name: String,
    pub inputs: Vec<String>,
    pub output: String,
    pub attributes: HashMap<String, Vec<f64>>,
}

/// Name, type of the elements, sizes (0 where they are free).
#[derive(Debug, PartialEq)]
pub struct Value(pub String, pub i64, pub Vec<i64>);

/// A file.
#[derive(Debug)]
pub struct Model {
    pub ir_version: i64,
    pub opset: i64,
    pub metadata: BTreeMap<String, String>,
    pub nodes: Vec<Node>,
    pub tensors: HashMap<String, Tensor>,
    pub input: Value,
    pub outputs: Vec<Value>,
}

impl Model {
    pub fn parse(bytes: &[u8]) -> Self {
        let graph = one(bytes, 7).bytes();
        Self {
            ir_version: one(bytes, 1).int(),
            opset: one(one(bytes, 8).bytes(), 2).int(),
            metadata: all(bytes, 14)
                .map(|entry| (one(entry.bytes(), 1).text(), one(entry.bytes(), 2).text()))
                .collect(),
            nodes: all(graph, 1).map(|node| parse_node(node.bytes())).collect(),
            tensors: all(graph, 5).map(|tensor| parse_tensor(tensor.bytes())).collect(),
            input: parse_value(one(graph, 11).bytes()),
            outputs: all(graph, 12).map(|value| parse_value(value.bytes())).collect(),
        }
    }

    /// Every value is written once, and before its readers.
    #[track_caller]
    pub fn assert_in_order(&self, context: &str) {
        let mut known: HashSet<&str> = self.tensors.keys().map(String::as_str).collect();
        known.insert("image");
        for node in &self.nodes {
            let unknown = node.inputs.iter().find(|input| !known.contains(input.as_str()));
            assert_eq!(unknown, None, "{context}: {}", node.name);
            assert!(known.insert(&node.output), "{context}: {} is written twice", node.output);
        }
    }
}

fn parse_node(bytes: &[u8]) -> Node {
    Node {
        op: one(bytes, 4).text(),
        name: one(bytes, 3).text(),
        inputs: all(bytes, 1).map(Field::text).collect(),
        output: one(bytes, 2).text(),
        attributes: all(bytes, 5).map(|attribute| parse_attribute(attribute.bytes())).collect(),
    }
}

fn parse_attribute(bytes: &[u8]) -> (String, Vec<f64>) {
    let values = match one(bytes, 20).int() {
        1 => vec![f64::from(one(bytes, 2).float())],
        2 => vec![one(bytes, 3).int() as f64],
        7 => all(bytes, 8).map(|v| v.int() as f64).collect(),
        other => panic!("attribute of type {other}"),
    };
    (one(bytes, 1).text(), values)
}

fn parse_tensor(bytes: &[u8]) -> (String, Tensor) {
    let dims: Vec<usize> = all(bytes, 1).map(|d| d.int() as usize).collect();
    let raw = one(bytes, 9).bytes();
    let four = || raw.as_chunks::<4>().0.iter().copied();
    let values: Vec<f64> = match one(bytes, 2).int() {
        1 => four().map(|b| f64::from(f32::from_le_bytes(b))).collect(),
        2 => raw.iter().map(|&b| f64::from(b)).collect(),
        3 => raw.iter().map(|&b| f64::from(b as i8)).collect(),
        7 => raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        6 => four().map(|b| f64::from(i32::from_le_bytes(b))).collect(),
        other => panic!("elements of type {other}"),
    };
    assert_eq!(values.len(), dims.iter().product::<usize>());
    (one(bytes, 8).text(), Tensor { dims, values })
}

fn parse_value(bytes: &[u8]) -> Value {
    let tensor = one(one(bytes, 2).bytes(), 1).bytes();
    let size = |dimension: Field<'_>| all(dimension.bytes(), 1).next().map_or(0, Field::int);
    let sizes = all(one(tensor, 2).bytes(), 1).map(size).collect();
    Value(one(bytes, 1).text(), one(tensor, 1).int(), sizes)
}
