//! The features of a split's images: from the cache, the rest from the backbone.

use std::collections::HashMap;
use std::path::Path;

use mlcls_data::{ImageError, ImageProblem, Item, LabelState};
use rayon::prelude::*;

use crate::backbone::Backbone;
use crate::cache::{ContentHash, FeatureCache};
use crate::error::{Error, Result};
use crate::readable::{BATCH, Readable};

/// Features of some images with what is known about their labels. N images, D numbers each, C labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// `[N, D]`, row by row in the order of the items.
    pub rows: Vec<f32>,
    /// D.
    pub width: usize,
    /// 1 where a label is present, else 0, `[N, C]`.
    pub targets: Vec<f32>,
    /// 0 where a label is unknown, else 1, `[N, C]`.
    pub mask: Vec<f32>,
    /// How many came from the cache.
    pub cached: usize,
}

impl Features {
    /// N.
    pub fn len(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// C.
    pub fn labels(&self) -> usize {
        self.targets.len() / self.len().max(1)
    }

    /// Those of some images, in the order of `images`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn subset(&self, images: &[usize]) -> Self {
        let gather = |from: &[f32], width: usize| {
            images.iter().flat_map(|&i| from[i * width..(i + 1) * width].iter().copied()).collect()
        };
        let labels = self.labels();
        Self {
            rows: gather(&self.rows, self.width),
            width: self.width,
            targets: gather(&self.targets, labels),
            mask: gather(&self.mask, labels),
            cached: 0,
        }
    }
}

/// Features of the items, in their order.
///
/// Every file is read and hashed; those whose hash the cache knows are neither decoded nor taken through the backbone. New
/// features are added to the cache as they come, so that an interrupted extraction goes on where it stopped. `progress` gets
/// images so far and in all.
///
/// # Errors
/// Images cannot be used (all of them are listed), or the cache cannot.
pub fn extract(
    backbone: &Backbone,
    items: &[Item],
    cache: Option<&FeatureCache>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Features> {
    let width = backbone.width();
    let mut features = Features { rows: vec![0.0; items.len() * width], width, ..Features::default() };
    for state in items.iter().flat_map(|item| &item.states) {
        features.targets.push(f32::from(u8::from(*state == LabelState::Present)));
        features.mask.push(f32::from(u8::from(*state != LabelState::Unknown)));
    }
    let mut problems = vec![];
    let hashes: Vec<_> = items.par_iter().map(hash).collect();
    let mut left: Vec<(usize, ContentHash)> = vec![];
    for (index, hash) in hashes.into_iter().enumerate() {
        match hash {
            Ok(hash) => left.push((index, hash)),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(cache) = cache {
        // Images of one content share a record; the loop below gives it to each of them.
        let wanted: HashMap<ContentHash, usize> = left.iter().map(|(index, hash)| (*hash, *index)).collect();
        let known: HashMap<usize, Vec<f32>> = cache.read(&wanted)?.into_iter().collect();
        left.retain(|(index, hash)| {
            let found = wanted.get(hash).and_then(|first| known.get(first));
            if let Some(found) = found {
                features.rows[index * width..(index + 1) * width].copy_from_slice(found);
            }
            found.is_none()
        });
        features.cached = items.len() - problems.len() - left.len();
    }
    progress(items.len() - left.len(), items.len());

    let mut plan = backbone.plan(BATCH)?;
    let mut done = items.len() - left.len();
    for batch in left.chunks(BATCH) {
        let paths: Vec<&Path> = batch.iter().map(|(index, _)| items[*index].image.as_path()).collect();
        let images = Readable::load(&paths, backbone.size(), backbone.resize());
        if !images.places.is_empty() {
            plan.run(&images.pixels, images.places.len())?;
        }
        problems.extend(images.problems);
        let rows = plan.features().unwrap_or_default().chunks_exact(width);
        let good = images.places.iter().map(|&place| &batch[place]).zip(rows);
        for ((index, _), row) in good.clone() {
            features.rows[index * width..(index + 1) * width].copy_from_slice(row);
        }
        if let Some(cache) = cache {
            cache.add(good.map(|((_, hash), row)| (hash, row)))?;
        }
        done += batch.len();
        progress(done, items.len());
    }
    if problems.is_empty() { Ok(features) } else { Err(Error::Images { problems }) }
}

fn hash(item: &Item) -> Result<ContentHash, ImageError> {
    let failed = |source| ImageError { path: item.image.clone(), problem: ImageProblem::Read(source) };
    Ok(*blake3::hash(&std::fs::read(&item.image).map_err(failed)?).as_bytes())
}
