//! Images per second that the loader prepares, by recipe, without and with a warm cache.
//!
//! ```text
//! cargo run --release -p mlcls-data --example loader_speed -- FOLDER [IMAGES [RECIPE]]
//! ```
//! FOLDER holds images; the first IMAGES of them by name (default 1024) are used, and all recipes unless one is named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use mlcls_data::{AugmentRecipe, Item, LoadError, Loader, LoaderOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: loader_speed FOLDER [IMAGES [RECIPE]]")?;
    let limit = args.next().map_or(Ok(1024), |n| n.parse())?;
    let recipe = args.next();
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    paths.truncate(limit);
    let item = |image: PathBuf| Item { id: image.display().to_string(), image, states: vec![] };
    let items: Arc<[Item]> = paths.into_iter().map(item).collect();

    let threads = rayon::current_num_threads();
    println!("{} images, {threads} threads; images per second", items.len());
    println!("{:<10} {:>9} {:>9}", "recipe", "from disk", "cached");
    let recipes =
        AugmentRecipe::PRESETS.into_iter().filter(|name| recipe.as_deref().is_none_or(|r| r == *name));
    for name in recipes {
        let augment = AugmentRecipe::preset(name)?;
        let source = augment.default_source();
        let options = LoaderOptions { shuffle: true, augment, source, ..LoaderOptions::default() };
        let from_files = speed(&Loader::new(items.clone(), options.clone()), 0)?;
        let cached = Loader::new(items.clone(), LoaderOptions { cache_bytes: 4 << 30, ..options });
        speed(&cached, 0)?;
        println!("{name:<10} {from_files:>9.0} {:>9.0}", speed(&cached, 1)?);
    }
    Ok(())
}

fn speed(loader: &Loader, epoch: u64) -> Result<f64, LoadError> {
    let start = Instant::now();
    let mut batches = loader.epoch(epoch, 0);
    let mut images = 0;
    while let Some(batch) = batches.next() {
        let batch = batch?;
        images += batch.len();
        batches.recycle(batch);
    }
    Ok(images as f64 / start.elapsed().as_secs_f64())
}
