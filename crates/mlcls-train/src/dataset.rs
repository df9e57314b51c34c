//! The data set of a run: opened, limited, and looked over before the first step.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mlcls_data::{Dataset, ImageCheck, Item, LabelState, ReadOptions, Split, verify_images};

use crate::config::Config;
use crate::error::{Error, Result};

/// Opens the data set that the settings name (`data.root`, `data.difficult`, `data.crowd`, `data.limit`).
///
/// # Errors
/// There is no `data.root`, or no data set there.
pub fn open_dataset(config: &Config) -> Result<Dataset> {
    let Some(root) = &config.data.root else {
        let reason = "no data set was named; set data.root, or name it on the command line".to_owned();
        return Err(Error::NoData { root: PathBuf::new(), reason });
    };
    let options = ReadOptions { difficult: config.data.difficult, crowd: config.data.crowd };
    let mut dataset = Dataset::open(root, &options)?;
    if let Some(limit) = config.data.limit {
        dataset.splits.iter_mut().for_each(|split| split.items.truncate(limit));
    }
    Ok(dataset)
}

impl Config {
    /// The same settings with `data.root` and `data.cache_file` made absolute, so that the run can be continued from any folder.
    pub(crate) fn at_absolute_root(&self) -> Result<Self> {
        let mut raw = self.clone().into_raw();
        for path in [&mut raw.data.root, &mut raw.data.cache_file].into_iter().flatten() {
            *path = std::path::absolute(&path).map_err(Error::io("find", path))?;
        }
        Ok(raw.check()?)
    }
}

/// The split to train on and the split to validate on.
pub(crate) fn train_and_val<'a>(dataset: &'a Dataset, config: &Config) -> Result<(&'a Split, &'a Split)> {
    let undivided = |reason: String| {
        let root = dataset.root.clone();
        let reason = format!(
            "{reason}. Divide it with: mlcls data split {} --out NEW --val 0.2, and train on NEW",
            root.display()
        );
        Error::NoData { root, reason }
    };
    let (train, val) = (&config.data.train, &config.data.val);
    if let [only] = dataset.splits.as_slice()
        && only.name != *train
    {
        let reason = format!(
            "the data set is not divided: its only split is `{}`, and `{train}` and `{val}` are needed",
            only.name
        );
        return Err(undivided(reason));
    }
    let train = dataset.require_split(train)?;
    let val = dataset.split(val).ok_or_else(|| match dataset.splits.as_slice() {
        [only] => undivided(format!("no split `{val}` to validate on; the only split is `{}`", only.name)),
        splits => {
            let others: Vec<String> = splits.iter().map(|s| format!("`{}`", s.name)).collect();
            let reason = format!(
                "no split `{val}` to validate on; the splits here are {}. Make one from images that are not trained \
                 on, or choose another with --set data.val=NAME (that split then chooses the best checkpoint)",
                others.join(", ")
            );
            Error::NoData { root: dataset.root.clone(), reason }
        }
    })?;
    let positives = val.items.iter().any(|item| item.count(LabelState::Present) > 0);
    if !positives {
        let reason = format!("no image of `{}` has a label, so no mAP can be computed on it", val.name);
        return Err(Error::NoData { root: dataset.root.clone(), reason });
    }
    Ok((train, val))
}

/// Refuses images that cannot be used, all of them in one error.
pub(crate) fn check_images(dataset: &Dataset, splits: [&Split; 2]) -> Result<()> {
    let used = Dataset { splits: splits.map(Split::clone).into(), ..dataset.clone() };
    let problems = verify_images(&used, ImageCheck::Quick);
    if problems.is_empty() { Ok(()) } else { Err(Error::Images { problems }) }
}

/// What the user should know about the data before training on it.
pub(crate) fn warnings(dataset: &Dataset, train: &Split, val: &Split) -> Result<Vec<String>> {
    let mut warnings = vec![];
    for (split, validates) in [(train, false), (val, true)] {
        let without = labels_without_positive(&dataset.labels, split);
        if !without.is_empty() {
            let are = if without.len() == 1 { "is" } else { "are" };
            let effect = if validates {
                format!("{are} left out of the validation mAP")
            } else {
                "cannot be learned".to_owned()
            };
            warnings.push(format!(
                "{} of {} labels {are} never positive in `{}` and {effect}: {}",
                without.len(),
                dataset.labels.len(),
                split.name,
                shortened(&without)
            ));
        }
    }
    if train.name == val.name {
        warnings.push(format!(
            "validation on the training images (`{}`): the numbers say nothing about new images",
            val.name
        ));
    } else {
        let shared = shared_images(&train.items, &val.items)?;
        if !shared.is_empty() {
            warnings.push(format!(
                "{} of {} images of `{}` are also in `{}`, so its numbers are too good: {}",
                shared.len(),
                val.items.len(),
                val.name,
                train.name,
                shortened(&shared)
            ));
        }
    }
    Ok(warnings)
}

fn labels_without_positive(labels: &[String], split: &Split) -> Vec<String> {
    let present =
        |label: usize| split.items.iter().any(|i| i.states.get(label) == Some(&LabelState::Present));
    (0..labels.len()).filter(|&l| !present(l)).map(|l| labels[l].clone()).collect()
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, ...") } else { shown }
}

/// Ids of `val` whose file has the same bytes as one of `train`. Only files of equal length are read.
fn shared_images(train: &[Item], val: &[Item]) -> Result<Vec<String>> {
    let length = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io("read", path));
    let hash = |path: &Path| -> Result<blake3::Hash> {
        Ok(blake3::hash(&std::fs::read(path).map_err(Error::io("read", path))?))
    };
    let mut by_length: HashMap<u64, Vec<&Path>> = HashMap::new();
    for item in train {
        by_length.entry(length(&item.image)?).or_default().push(&item.image);
    }
    let mut hashes: HashMap<&Path, blake3::Hash> = HashMap::new();
    let mut shared = vec![];
    for item in val {
        let Some(candidates) = by_length.get(&length(&item.image)?) else { continue };
        let own = hash(&item.image)?;
        for &candidate in candidates {
            let other = match hashes.get(candidate) {
                Some(&known) => known,
                None => *hashes.entry(candidate).or_insert(hash(candidate)?),
            };
            if other == own {
                shared.push(item.id.clone());
                break;
            }
        }
    }
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn setup(dataset: &Dataset, changes: &[&str]) -> Result<Vec<String>> {
        let config = testing::config(changes);
        let setup = testing::setup(config.clone(), dataset)?;
        let (train, val) = train_and_val(dataset, &config)?;
        assert_eq!(setup.train.items().len(), train.items.len());
        warnings(dataset, train, val)
    }

    #[test]
    fn odd_data_is_told_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let mut dataset = testing::dataset(folder.path(), 12, 8);
        assert_eq!(setup(&dataset, &[]).unwrap(), Vec::<String>::new());

        let same = setup(&dataset, &["data.val=train"]).unwrap();
        assert!(same.len() == 1 && same[0].contains("validation on the training images"), "{same:?}");

        // A copy under another name is the same image; one of the same length is not.
        std::fs::copy(&dataset.splits[0].items[3].image, &dataset.splits[1].items[5].image).unwrap();
        dataset.splits[0].items.iter_mut().for_each(|i| i.states[2] = LabelState::Absent);
        let found = setup(&dataset, &[]).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("1 of 3 labels is never positive in `train` and cannot be learned"),
            "{found:?}"
        );
        assert!(found[0].ends_with(": blue"), "{found:?}");
        assert!(found[1].starts_with("1 of 8 images of `val` are also in `train`"), "{found:?}");
        assert!(found[1].ends_with(": val5"), "{found:?}");
    }

    #[test]
    fn what_cannot_be_trained_on_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut dataset = testing::dataset(folder.path(), 6, 8);
        let message = |dataset: &Dataset, changes: &[&str]| setup(dataset, changes).unwrap_err().to_string();
        assert!(message(&dataset, &["data.train=trian"]).contains("did you mean `train`?"));
        let mut undivided = dataset.clone();
        undivided.splits.truncate(1);
        undivided.splits[0].name = "all".into();
        let root = dataset.root.display();
        assert_eq!(
            message(&undivided, &[]),
            format!(
                "{root}: the data set is not divided: its only split is `all`, and `train` and `val` are needed. Divide \
                 it with: mlcls data split {root} --out NEW --val 0.2, and train on NEW"
            )
        );
        undivided.splits[0].name = "train".into();
        let no_val = message(&undivided, &[]);
        assert!(
            no_val
                .contains("no split `val` to validate on; the only split is `train`. Divide it with: mlcls"),
            "{no_val}"
        );
        // Both on purpose.
        undivided.splits[0].name = "all".into();
        assert!(setup(&undivided, &["data.train=all", "data.val=all"]).is_ok());
        let no_val = message(&dataset, &["data.val=test"]);
        assert!(
            no_val.contains("no split `test` to validate on; the splits here are `train`, `val`"),
            "{no_val}"
        );
        assert!(no_val.contains("--set data.val=NAME"), "{no_val}");

        let bad = [&dataset.splits[0].items[1].image, &dataset.splits[1].items[2].image];
        std::fs::write(bad[0], b"").unwrap();
        std::fs::remove_file(bad[1]).unwrap();
        let images = message(&dataset, &[]);
        assert!(images.starts_with("2 images cannot be used:"), "{images}");
        assert!(bad.iter().all(|path| images.contains(path.to_str().unwrap())), "{images}");

        dataset.splits[1].items.iter_mut().for_each(|i| i.states.fill(LabelState::Absent));
        assert!(message(&dataset, &[]).contains("no mAP can be computed"));
    }

    #[test]
    fn settings_without_data_say_what_to_do() {
        assert!(open_dataset(&testing::config(&[])).unwrap_err().to_string().contains("set data.root"));
    }
}
