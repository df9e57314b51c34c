//! One sample of a batch: from the file, or from what is kept of it, to augmented pixels; and its labels.

use rand::Rng;

use super::file_cache::key;
use super::{LoaderOptions, Shared};
use crate::augment::{RandomCrop, sample_rng};
use crate::dataset::LabelState;
use crate::image::{ImageError, ImageProblem, Part, Rgb, UprightJpeg, decode_for};

impl Shared {
    /// Bytes of pixels per image in a batch.
    pub(super) fn image_bytes(&self) -> usize {
        self.options.size as usize * self.options.size as usize * 3
    }

    /// Prepares one sample of an epoch into `out`.
    pub(super) fn load_sample(&self, epoch: u64, sample: usize, out: &mut [u8]) -> Result<(), ImageError> {
        let LoaderOptions { size, repeats, seed, ref augment, resize, .. } = self.options;
        let index = sample / repeats;
        let mut rng = sample_rng(seed, epoch, sample as u64);
        if let Some(crop) = self.first_crop() {
            let bytes = self.read(index)?;
            let mut drawn = rng.clone();
            let image = match self.crop_of_jpeg(&bytes, crop, &mut drawn) {
                Some(image) => augment.apply_to(&image, image.window(), size, resize, &mut drawn),
                None => augment.apply(&self.decoded(index, &bytes)?, size, resize, &mut rng),
            };
            out.copy_from_slice(image.data());
            return Ok(());
        }
        let fresh;
        let image = match self.cache.get(index) {
            Some(image) => image,
            None => {
                fresh = self.reduced(index)?;
                self.cache.offer(index, &fresh);
                &fresh
            }
        };
        out.copy_from_slice(augment.apply(image, size, resize, &mut rng).data());
        Ok(())
    }

    /// The crop that augmentation begins with, where nothing else needs more of the image than that.
    fn first_crop(&self) -> Option<RandomCrop> {
        let LoaderOptions { size, cache_bytes, ref augment, .. } = self.options;
        let alone = cache_bytes == 0 && self.file_cache.is_none();
        augment.first_crop(size).filter(|_| alone)
    }

    /// The window of a crop alone, decoded and reduced; `None` for a file of which only the whole can be decoded.
    fn crop_of_jpeg(&self, bytes: &[u8], crop: RandomCrop, rng: &mut impl Rng) -> Option<Rgb> {
        let LoaderOptions { size, resize: method, source, .. } = self.options;
        let jpeg = UprightJpeg::open(bytes, source.side(size))?;
        let picture = jpeg.sides();
        let resized = source.sides(picture, size);
        let window = crop.draw_within(resized.0, resized.1, rng);
        let part = Part { picture, resized, window, method };
        Some(part.pixels(jpeg.window(part.reach())?))
    }

    /// An image as augmentation starts from it, from the file cache or from its file.
    fn reduced(&self, index: usize) -> Result<Rgb, ImageError> {
        let LoaderOptions { size, resize, source, .. } = self.options;
        let Some(cache) = &self.file_cache else {
            return self.decoded(index, &self.read(index)?);
        };
        let known = &self.keys[index];
        if let Some(image) = known.get().and_then(|key| cache.get(key)) {
            return Ok(image);
        }
        let bytes = self.read(index)?;
        let key = key(&bytes, size, resize, source);
        let image = match cache.get(&key) {
            Some(image) => image,
            None => {
                let image = self.decoded(index, &bytes)?;
                cache.offer(key, &image);
                image
            }
        };
        // A file that was changed during the run keeps its first content here, as in memory.
        let _ = known.set(key);
        Ok(image)
    }

    /// The bytes of an image's file.
    fn read(&self, index: usize) -> Result<Vec<u8>, ImageError> {
        let path = &self.items[index].image;
        std::fs::read(path)
            .map_err(|error| ImageError { path: path.clone(), problem: ImageProblem::Read(error) })
    }

    /// An image as augmentation starts from it, from the bytes of its file.
    fn decoded(&self, index: usize, bytes: &[u8]) -> Result<Rgb, ImageError> {
        let LoaderOptions { size, resize, source, .. } = self.options;
        let image = decode_for(bytes, source.side(size))
            .map_err(|problem| ImageError { path: self.items[index].image.clone(), problem })?;
        Ok(source.reduce(image, size, resize))
    }

    /// The targets and the mask of some images, `[N, C]` each.
    pub(super) fn targets(&self, indices: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let states = || indices.iter().flat_map(|&i| &self.items[i].states);
        let number = |yes| if yes { 1.0 } else { 0.0 };
        (
            states().map(|&s| number(s == LabelState::Present)).collect(),
            states().map(|&s| number(s != LabelState::Unknown)).collect(),
        )
    }
}
