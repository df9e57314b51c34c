//! The data sets that can be fetched: addresses of their makers, sizes, checksums, and what they unpack to.

use std::fmt;

/// A published data set.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What the user types.
    pub name: &'static str,
    /// What a person calls it.
    pub title: &'static str,
    /// The folders that it consists of.
    pub trees: &'static [Tree],
}

/// A folder, and the archives that fill it.
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    /// Its name; every archive holds it at the top.
    pub folder: &'static str,
    /// How many files must lie in these folders, `folder` or below it, for the tree to be whole.
    pub holds: &'static [(&'static str, usize)],
    /// The archives to unpack.
    pub archives: &'static [Archive],
}

/// A tar or zip file on the network.
#[derive(Clone, Copy, Debug)]
pub struct Archive {
    /// Where its maker offers it. What follows the last slash is its name here, and ends in `.tar` or `.zip`.
    pub url: &'static str,
    /// Its size.
    pub bytes: u64,
    /// By which its content is known.
    pub checksum: Checksum,
}

/// A published checksum, in small hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// 32 digits. Finds damage; does not protect against somebody who wants to deceive.
    Md5(&'static str),
    /// 64 digits.
    Sha256(&'static str),
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(digits) => write!(f, "md5 {digits}"),
            Self::Sha256(digits) => write!(f, "sha256 {digits}"),
        }
    }
}

impl Archive {
    /// The name of the file.
    ///
    /// ```
    /// use mlcls_data::fetch::SOURCES;
    ///
    /// assert_eq!(SOURCES[0].trees[0].archives[0].file_name(), "VOCtrainval_06-Nov-2007.tar");
    /// ```
    pub fn file_name(&self) -> &'static str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }
}

impl Source {
    /// All archives.
    pub fn archives(&self) -> impl Iterator<Item = &'static Archive> + use<> {
        self.trees.iter().flat_map(|tree| tree.archives)
    }
}

/// The data sets that can be fetched.
pub const SOURCES: &[Source] = &[VOC2007, COCO2014];

/// PASCAL VOC 2007: 9,963 photos, 20 labels. Its makers publish no checksums; these are torchvision's
/// (`torchvision/datasets/voc.py`), the sizes those of TensorFlow Datasets (`url_checksums/voc.txt`).
pub const VOC2007: Source = Source {
    name: "voc2007",
    title: "PASCAL VOC 2007",
    trees: &[Tree {
        folder: "VOCdevkit",
        holds: &[("VOCdevkit/VOC2007/JPEGImages", 9_963), ("VOCdevkit/VOC2007/Annotations", 9_963)],
        archives: &[
            Archive {
                url: "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtrainval_06-Nov-2007.tar",
                bytes: 460_032_000,
                checksum: Checksum::Md5("c52e279531787c972589f7e41ab4ae64"),
            },
            Archive {
                url: "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
                bytes: 451_020_800,
                checksum: Checksum::Md5("b6e924de25625d8de591ea690078ad9f"),
            },
        ],
    }],
};

/// Microsoft COCO 2014: 123,287 photos, 80 labels. Its makers publish no checksums; these and the sizes are those of
/// TensorFlow Datasets (`url_checksums/coco.txt`).
pub const COCO2014: Source = Source {
    name: "coco2014",
    title: "Microsoft COCO 2014",
    trees: &[
        Tree {
            folder: "annotations",
            // Instances, person keypoints and captions of both splits.
            holds: &[("annotations", 6)],
            archives: &[Archive {
                url: "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
                bytes: 252_872_794,
                checksum: Checksum::Sha256(
                    "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
                ),
            }],
        },
        Tree {
            folder: "val2014",
            holds: &[("val2014", 40_504)],
            archives: &[Archive {
                url: "http://images.cocodataset.org/zips/val2014.zip",
                bytes: 6_645_013_297,
                checksum: Checksum::Sha256(
                    "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
                ),
            }],
        },
        Tree {
            folder: "train2014",
            holds: &[("train2014", 82_783)],
            archives: &[Archive {
                url: "http://images.cocodataset.org/zips/train2014.zip",
                bytes: 13_510_573_713,
                checksum: Checksum::Sha256(
                    "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
                ),
            }],
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_used() {
        for archive in SOURCES.iter().flat_map(Source::archives) {
            let name = archive.file_name();
            assert!(archive.url.starts_with("http://") && (name.ends_with(".tar") || name.ends_with(".zip")));
            let (digits, length) = match archive.checksum {
                Checksum::Md5(digits) => (digits, 32),
                Checksum::Sha256(digits) => (digits, 64),
            };
            assert_eq!(digits.len(), length, "{name}");
            assert!(digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{name}");
        }
        for tree in SOURCES.iter().flat_map(|source| source.trees) {
            assert!(tree.holds.iter().all(|(folder, _)| folder.starts_with(tree.folder)));
        }
    }
}
