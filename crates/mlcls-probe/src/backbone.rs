//! A frozen network: pixels in, pooled features out.

use std::path::PathBuf;

use mlcls_data::Resize;
use mlcls_engine::{InferPlan, Weights};
use mlcls_models::{
    Head, Hub, Model, ModelOptions, Normalization, Pretrained, WeightFile, build, find, is_head,
};
use mlcls_train::CheckpointInfo;

use crate::error::Result;

/// Which backbone, with which weights, fed how.
#[derive(Clone, Debug)]
pub struct BackboneOptions {
    /// Name of the model, ours or timm's.
    pub name: String,
    /// Its weights; [`Pretrained::None`] leaves them random, which is of use to tests only.
    pub pretrained: Pretrained,
    /// Side of the square input in pixels.
    pub size: usize,
    /// How images are brought to it.
    pub resize: Resize,
}

/// A backbone whose weights do not change any more.
///
/// Unlike a training run, which follows OTX, pixels are normalised as the published weights were trained: a network that cannot
/// adapt has to see what it knows.
#[derive(Debug)]
pub struct Backbone {
    /// With a head for one label, which nobody asks.
    model: Model,
    weights: Weights,
    resize: Resize,
    source: Option<PathBuf>,
}

impl Backbone {
    /// Builds the network and reads its weights, downloading them where they are not on this machine; `progress` gets the bytes
    /// so far and in all.
    ///
    /// # Errors
    /// No model or weights of this name, weights that cannot be had, or a file that does not fit.
    pub fn open(options: &BackboneOptions, progress: &mut dyn FnMut(u64, u64)) -> Result<Self> {
        let found = options.pretrained.locate(&options.name, &Hub::from_env(), progress)?;
        let (mut file, mut normalization) = (None, find(&options.name)?.normalization);
        if let Some(found) = &found {
            let weights = WeightFile::open(&found.path)?;
            let said = CheckpointInfo::of(&found.path, &weights)?.map(|info| info.normalization);
            normalization = found.tag.map(|tag| tag.normalization).or(said).unwrap_or(normalization);
            file = Some(weights);
        }
        let options_of_model = ModelOptions {
            size: options.size,
            normalization: Some(normalization),
            ..ModelOptions::default()
        };
        let model = build(&options.name, &options_of_model)?;
        let mut weights = Weights::init(&model.graph, 0);
        if let Some(file) = &file {
            file.backbone(&model, &mut weights)?;
        }
        let source = found.map(|found| found.path);
        Ok(Self { model, weights, resize: options.resize, source })
    }

    /// timm's name.
    pub fn name(&self) -> &'static str {
        self.model.name
    }

    /// Numbers per image.
    pub fn width(&self) -> usize {
        self.model.feature_width()
    }

    /// Side of the square input in pixels.
    pub fn size(&self) -> usize {
        self.model.size()
    }

    /// How images are brought to it.
    pub fn resize(&self) -> Resize {
        self.resize
    }

    /// What the pixels are normalised with.
    pub fn normalization(&self) -> Normalization {
        self.model.preprocessing
    }

    /// The file of its weights.
    pub fn source(&self) -> Option<&PathBuf> {
        self.source.as_ref()
    }

    /// A hash of everything that features depend on but the image: network, weights, size, resizing, normalisation.
    pub fn fingerprint(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("mlcls features: backbone 1");
        let (size, normalization) = (self.size(), self.normalization());
        hasher.update(format!("{} {size} {:?} {normalization:?}\n", self.name(), self.resize).as_bytes());
        for (name, values) in self.tensors() {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            hasher.update(name.as_bytes()).update(&bytes);
        }
        hasher.finalize()
    }

    /// Its own weights, without those of a head.
    fn tensors(&self) -> impl Iterator<Item = (&str, &[f32])> {
        let all = self.weights.tensors(&self.model.graph).map(|(name, _, values)| (name, values));
        all.filter(|(name, _)| !is_head(name))
    }

    /// The network made ready for batches of up to `batch` images: [`InferPlan::features`] are what it is for.
    pub(crate) fn plan(&self, batch: usize) -> Result<InferPlan> {
        Ok(InferPlan::new(&self.model.graph, &self.weights, batch)?)
    }

    /// A classifier on this backbone; its head starts at random.
    ///
    /// # Errors
    /// No label at all.
    pub fn classifier(&self, classes: usize, head: Head) -> Result<(Model, Weights)> {
        let options = ModelOptions {
            classes,
            size: self.size(),
            head: Some(head),
            normalization: Some(self.normalization()),
            ..ModelOptions::default()
        };
        let model = build(self.name(), &options)?;
        let mut weights = Weights::init(&model.graph, 0);
        for (name, values) in self.tensors() {
            if let Some((_, to)) = weights.tensor_mut(&model.graph, name) {
                to.copy_from_slice(values);
            }
        }
        Ok((model, weights))
    }
}

#[cfg(test)]
mod tests {
    use mlcls_loss::Loss;
    use mlcls_train::Checkpoint;

    use super::*;

    #[test]
    fn a_checkpoint_s_backbone_is_fed_as_it_was_trained_and_goes_on_into_a_classifier() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("best.safetensors");
        let unit = Some(Normalization::UNIT);
        let options = ModelOptions { classes: 2, size: 32, normalization: unit, ..ModelOptions::default() };
        let model = build("mobilenet_v3_large", &options).unwrap();
        let weights = Weights::init(&model.graph, 7);
        let labels = vec!["cat".to_owned(), "dog".to_owned()];
        Checkpoint::save(&path, &model, &weights, &CheckpointInfo::new(&model, labels, Loss::default()))
            .unwrap();

        let open = |pretrained| {
            let (name, resize) = ("mobilenet_v3_large".to_owned(), Resize::Antialias);
            let options = BackboneOptions { name, pretrained, size: 32, resize };
            Backbone::open(&options, &mut |_, _| ()).unwrap()
        };
        let (trained, random) = (open(Pretrained::File(path)), open(Pretrained::None));
        assert_eq!(trained.normalization(), Normalization::UNIT);
        assert_eq!(random.normalization(), Normalization::IMAGENET);
        assert_ne!(trained.fingerprint(), random.fingerprint());

        let (classifier, copied) = trained.classifier(5, Head::Linear).unwrap();
        let mut of_backbone = 0;
        for (name, _, values) in copied.tensors(&classifier.graph).filter(|(name, ..)| !is_head(name)) {
            let (.., expected) = weights.tensors(&model.graph).find(|(n, ..)| *n == name).unwrap();
            assert!(values == expected, "{name}");
            of_backbone += 1;
        }
        assert!(of_backbone > 100 && classifier.classes() == 5);
    }
}
