//! A data set that Datumaro itself wrote (xtask/reference/datumaro_fixture.py, Datumaro 1.13.12).

use std::path::Path;

use mlcls_data::{Dataset, ImageCheck, ReadOptions, verify_images};

use crate::support::items;

#[test]
fn what_datumaro_writes_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/datumaro");
    let dataset = Dataset::open(folder, &ReadOptions::default()).unwrap();
    assert_eq!(dataset.labels, ["bird", "cat", "zebra crossing"]);
    assert_eq!(items(&dataset, "train"), ["one +--", "two +-+", "none ---", "box -+-"]);
    assert_eq!(items(&dataset, "val"), ["sub/deep +++", "ignored +??"]);
    assert_eq!(dataset.notes, ["passed over 1 annotation that is not a whole-image label: 1 bbox"]);
    assert!(verify_images(&dataset, ImageCheck::Full).is_empty());
}
