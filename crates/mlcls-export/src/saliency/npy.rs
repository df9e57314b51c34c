//! Arrays as numpy reads them.

/// A float32 array in numpy's file format, version 1.0 (`numpy.load` reads it): the first 6 bytes are `\x93NUMPY`.
///
/// ```
/// let bytes = mlcls_export::saliency::npy(&[0.5, 1.0], &[1, 2]);
/// assert_eq!(bytes.len(), 128 + 2 * 4);
/// ```
///
/// # Panics
/// The shape does not hold so many values, or has more than a few axes.
pub fn npy(values: &[f32], shape: &[usize]) -> Vec<u8> {
    assert_eq!(values.len(), shape.iter().product::<usize>(), "values for the shape {shape:?}");
    let axes: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}");
    // The data begins at a multiple of 64 bytes, and the header ends in a line break.
    let len = (10 + header.len() + 1).next_multiple_of(64).max(128) - 10;
    let field = u16::try_from(len).unwrap_or_else(|_| panic!("an array of {} axes", shape.len()));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(field.to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = len - 1).bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}
