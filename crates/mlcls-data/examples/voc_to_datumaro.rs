//! Converts a PASCAL VOC data set to the Datumaro format that OTX trains on; difficult labels stay unknown.
//!
//! ```sh
//! cargo run -p mlcls-data --example voc_to_datumaro -- VOCdevkit/VOC2007 voc2007_datumaro
//! ```

use std::path::PathBuf;

use mlcls_data::{Dataset, Images, ReadOptions, WriteFormat, write_dataset};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = arguments.as_slice() else {
        return Err("usage: voc_to_datumaro FROM TO".into());
    };
    let dataset = Dataset::open(from, &ReadOptions::default())?;
    println!("{}", dataset.summary());
    write_dataset(&dataset, to, WriteFormat::Datumaro, Images::Copy)?;
    Ok(())
}
