//! A partition of label rows from standard input, for comparison with other programs by `xtask/reference/split.py`:
//! one line per item, one of `0`, `1` or `?` per label; prints the part of each item.
//!
//! ```text
//! cargo run --release -p mlcls-data --example stratify -- 0.7,0.2,0.1 7 < rows.txt
//! ```

use std::error::Error;
use std::io::{Read, Write};

use mlcls_data::{LabelState, stratify};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, fractions, seed] = args.as_slice() else { return Err("expected FRACTIONS SEED".into()) };
    let fractions: Vec<f64> = fractions.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let state = |letter| match letter {
        '0' => Ok(LabelState::Absent),
        '1' => Ok(LabelState::Present),
        '?' => Ok(LabelState::Unknown),
        _ => Err(format!("expected 0, 1 or ?, found {letter:?}")),
    };
    let rows: Vec<Vec<LabelState>> =
        text.lines().map(|line| line.chars().map(state).collect()).collect::<Result<_, _>>()?;
    let start = std::time::Instant::now();
    let parts = stratify(&rows, &[], &fractions, seed.parse()?)?;
    eprintln!("{} items in {:.3} s", parts.len(), start.elapsed().as_secs_f64());
    let out: String = parts.iter().map(|part| format!("{part}\n")).collect();
    std::io::stdout().write_all(out.as_bytes())?;
    Ok(())
}
