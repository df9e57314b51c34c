//! Data sets as they lie on disk once their makers' archives are unpacked: the same trees and names, with a few
//! images each. None needs an option.

use mlcls_data::{Dataset, Format, ImageCheck, ReadOptions, verify_images};

use crate::coco::pets;
use crate::support::{Dir, items};

/// So many images, and each can be decoded.
fn assert_sound(dataset: &Dataset, images: usize) {
    assert_eq!(dataset.splits.iter().map(|split| split.items.len()).sum::<usize>(), images);
    assert_eq!(verify_images(dataset, ImageCheck::Full).len(), 0);
}

/// COCO 2014: annotations_trainval2014.zip, image_info_test2014.zip, train2014.zip, val2014.zip and test2014.zip
/// unpacked into one folder.
#[test]
fn coco_2014() {
    let dir = Dir::new();
    for split in ["train", "val"] {
        let file = |name: &str| format!("annotations/{name}_{split}2014.json");
        let photo = |id: u32| format!("COCO_{split}2014_{id:012}.jpg");
        let image = |id: u32| {
            format!(
                r#"{{"license": 5, "file_name": "{0}", "coco_url": "http://images.cocodataset.org/{split}2014/{0}",
                    "height": 640, "width": 480, "date_captured": "2013-11-14 11:18:45",
                    "flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg", "id": {id}}}"#,
                photo(id)
            )
        };
        let object = |id: u32, image: u32, category: u32, crowd: u32| {
            format!(
                r#"{{"segmentation": [[312.29, 562.89, 402.25, 511.49]], "area": 54652.9556, "iscrowd": {crowd},
                    "image_id": {image}, "bbox": [116.95, 305.86, 285.3, 266.03], "category_id": {category}, "id": {id}}}"#
            )
        };
        let text = format!(
            r#"{{"info": {{"description": "COCO 2014 Dataset", "url": "http://cocodataset.org", "version": "1.0",
                "year": 2014, "contributor": "COCO Consortium", "date_created": "2017/09/01"}},
                "images": [{}, {}], "licenses": [{{"url": "http://flickr.com/commons/usage/", "id": 7, "name": "none"}}],
                "annotations": [{}, {}], "categories": [{{"supercategory": "person", "id": 1, "name": "person"}},
                {{"supercategory": "outdoor", "id": 13, "name": "stop sign"}},
                {{"supercategory": "indoor", "id": 90, "name": "toothbrush"}}]}}"#,
            image(57870),
            image(384_029),
            object(86, 57870, 90, 0),
            object(900_100, 57870, 1, 1),
        );
        dir.file(&file("instances"), text).file(&file("captions"), "{").file(&file("person_keypoints"), "{");
        dir.photo(&format!("{split}2014/{}", photo(57870)));
        dir.photo(&format!("{split}2014/{}", photo(384_029)));
    }
    dir.file("annotations/image_info_test2014.json", "{").photo("test2014/COCO_test2014_000000000001.jpg");
    let dataset = dir.open();
    assert_eq!((dataset.format, dataset.labels.len()), (Format::Coco, 3));
    assert_eq!(dataset.labels[2], "toothbrush");
    for split in ["train", "val"] {
        let expected =
            [format!("COCO_{split}2014_000000057870 +-+"), format!("COCO_{split}2014_000000384029 ---")];
        assert_eq!(items(&dataset, split), expected);
    }
    assert_sound(&dataset, 4);
    assert_eq!(
        dataset.notes,
        [
            "JSON files that are left out: `captions_train2014.json`, `captions_val2014.json`, \
             `image_info_test2014.json`, `person_keypoints_train2014.json`, `person_keypoints_val2014.json`",
            "warning: 1 label is never positive in train and cannot be learned: `stop sign`"
        ]
    );
    for inside in ["annotations", "train2014"] {
        let path = dir.join(inside);
        match Dataset::open(&path, &ReadOptions::default()) {
            Ok(found) => assert_eq!(found.fingerprint(), dataset.fingerprint()),
            Err(error) => {
                assert!(error.to_string().contains("above it is a COCO data set: give that"), "{error}")
            }
        }
    }
}

/// VOC 2007: VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar unpacked into one folder.
#[test]
fn voc_2007() {
    const LABELS: [&str; 20] = [
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ];
    let dir = Dir::new();
    let file = |path: &str, text: String| dir.file(&format!("VOCdevkit/VOC2007/{path}"), text);
    for (list, ids) in [("train", &[12, 17][..]), ("val", &[5]), ("trainval", &[5, 12, 17]), ("test", &[1])] {
        let lines = |end: &str| ids.iter().map(|id| format!("{id:06}{end}\n")).collect::<String>();
        file(&format!("ImageSets/Main/{list}.txt"), lines(""));
        file(&format!("ImageSets/Layout/{list}.txt"), lines(" 1"));
        file(&format!("ImageSets/Segmentation/{list}.txt"), lines(""));
        for (at, label) in LABELS.iter().enumerate() {
            // Each image shows one label, and one more that is difficult.
            let mark = |id: &usize| match at {
                at if at == id % 20 => " 1",
                at if at == (id + 1) % 20 => " 0",
                _ => "-1",
            };
            let marks: String = ids.iter().map(|id| format!("{id:06} {}\n", mark(id))).collect();
            file(&format!("ImageSets/Main/{label}_{list}.txt"), marks);
        }
        for id in ids {
            let object = |label: &str, difficult: u8| {
                format!(
                    "\t<object>\n\t\t<name>{label}</name>\n\t\t<pose>Rear</pose>\n\t\t<truncated>0</truncated>\n\
                     \t\t<difficult>{difficult}</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>156</xmin>\n\t\t\t<ymin>97</ymin>\n\
                     \t\t\t<xmax>351</xmax>\n\t\t\t<ymax>270</ymax>\n\t\t</bndbox>\n\t</object>\n"
                )
            };
            let objects = object(LABELS[id % 20], 0) + &object(LABELS[(id + 1) % 20], 1);
            let xml = format!(
                "<annotation>\n\t<folder>VOC2007</folder>\n\t<filename>{id:06}.jpg</filename>\n\
                 \t<size>\n\t\t<width>500</width>\n\t\t<height>333</height>\n\t\t<depth>3</depth>\n\t</size>\n\
                 \t<segmented>0</segmented>\n{objects}</annotation>\n"
            );
            file(&format!("Annotations/{id:06}.xml"), xml);
            for photo in ["JPEGImages/{}.jpg", "SegmentationClass/{}.png", "SegmentationObject/{}.png"] {
                dir.photo(&format!("VOCdevkit/VOC2007/{}", photo.replace("{}", &format!("{id:06}"))));
            }
        }
    }
    for start in ["", "VOCdevkit", "VOCdevkit/VOC2007"] {
        let dataset = Dataset::open(dir.join(start), &ReadOptions::default()).unwrap();
        assert_eq!((dataset.format, dataset.labels.as_slice()), (Format::Voc, &LABELS.map(String::from)[..]));
        let shown: Vec<(&str, usize)> =
            dataset.splits.iter().map(|s| (s.name.as_str(), s.items.len())).collect();
        assert_eq!(shown, [("train", 2), ("val", 1), ("test", 1)]);
        assert_eq!(items(&dataset, "val"), ["000005 -----+?-------------"]);
        assert_eq!(items(&dataset, "test"), ["000001 -+?-----------------"]);
        assert_sound(&dataset, 4);
        let trainval = "trainval.txt is left out: it repeats train and val";
        let read: Vec<&String> =
            dataset.notes.iter().filter(|note| !note.contains("never positive")).collect();
        assert_eq!(*read[read.len() - 1], trainval);
        assert_eq!(read.len(), if start == "VOCdevkit/VOC2007" { 1 } else { 2 }, "{read:?}");
    }
}

/// Roboflow's COCO export of Aerial Maritime, unpacked: 52, 15 and 7 photos, and a category for the project itself.
fn aerial_maritime(dir: &Dir) {
    dir.file("README.dataset.txt", "# Aerial Maritime Drone > large\n");
    dir.file("README.roboflow.txt", "\nAerial Maritime - v14 black_pad_one_pixel\n=====\n");
    let mut photo = 230_u32;
    for (split, photos) in [("train", 52_u32), ("valid", 15), ("test", 7)] {
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for id in 0..photos {
            photo += 1;
            let name = format!("DJI_{photo:04}_JPG.rf.{:032x}.jpg", u128::from(photo).pow(13));
            dir.photo(&format!("{split}/{name}"));
            images.push(format!(
                r#"{{"id": {id}, "license": 1, "file_name": "{name}", "height": 800, "width": 600,
                    "date_captured": "2020-08-26T14:22:38+00:00", "extra": {{"name": "DJI_{photo:04}.JPG"}}}}"#
            ));
            // Every photo shows a dock, every second a boat, and so on.
            for category in 1..=5 {
                if id % [2, 3, 1, 5, 4][category - 1] == 0 {
                    annotations.push(format!(
                        r#"{{"id": {}, "image_id": {id}, "category_id": {category}, "bbox": [180, 153, 6.046544213876359, 4.5],
                            "area": 27.14762733677111, "segmentation": [], "iscrowd": 0}}"#,
                        annotations.len()
                    ));
                }
            }
        }
        let category = |(id, name): (usize, &&str)| {
            let group = if id == 0 { "none" } else { "movable-objects" };
            format!(r#"{{"id": {id}, "name": "{name}", "supercategory": "{group}"}}"#)
        };
        let categories: Vec<String> = ["movable-objects", "boat", "car", "dock", "jetski", "lift"]
            .iter()
            .enumerate()
            .map(category)
            .collect();
        let text = format!(
            r#"{{"info": {{"year": "2020", "version": "9", "description": "Exported from roboflow.ai", "contributor": "",
                "url": "https://public.roboflow.ai/object-detection/aerial-maritime", "date_created": "2020-08-26T14:22:38+00:00"}},
                "licenses": [{{"id": 1, "url": "https://opensource.org/licenses/MIT", "name": "MIT"}}],
                "categories": [{}], "images": [{}], "annotations": [{}]}}"#,
            categories.join(", "),
            images.join(", "),
            annotations.join(", ")
        );
        dir.file(&format!("{split}/_annotations.coco.json"), text);
    }
}

#[test]
fn roboflow_aerial_maritime() {
    let dir = Dir::new();
    aerial_maritime(&dir);
    let dataset = dir.open();
    assert_eq!(dataset.format, Format::RoboflowCoco);
    assert_eq!(dataset.labels, ["boat", "car", "dock", "jetski", "lift"]);
    let splits = dataset.summary().splits;
    let shown: Vec<(&str, usize, &[usize])> =
        splits.iter().map(|s| (s.name.as_str(), s.images, s.positives.as_slice())).collect();
    assert_eq!(
        shown,
        [
            ("train", 52, &[26, 18, 52, 11, 13][..]),
            ("val", 15, &[8, 5, 15, 3, 4]),
            ("test", 7, &[4, 3, 7, 2, 2])
        ]
    );
    assert_eq!(
        dataset.notes,
        ["the category `movable-objects` is left out: it is the group of the others, and no object is one"]
    );
    assert_sound(&dataset, 74);
    assert!(dataset.splits[0].items[0].id.starts_with("DJI_0231_JPG.rf."));
}

#[test]
fn roboflows_group_is_kept_where_an_object_is_one_and_may_be_called_as_a_label() {
    let export = |annotations: &str| {
        pets(annotations)
            .replace(r#""id": 3, "name": "dog""#, r#""id": 0, "name": "cat", "supercategory": "none""#)
            .replace(r#""id": 1, "name": "cat""#, r#""id": 1, "name": "cat", "supercategory": "cat""#)
    };
    let dir = Dir::new();
    dir.file("train/_annotations.coco.json", export(r#"{"image_id": 2, "category_id": 1}"#));
    let dataset = dir.open();
    assert_eq!(
        (dataset.labels.len(), items(&dataset, "train")),
        (1, vec!["a -".to_owned(), "b +".to_owned()])
    );
    // One box of the group in any split, and it is a label, here one that another has the name of.
    dir.file("valid/_annotations.coco.json", export(r#"{"image_id": 1, "category_id": 0}"#));
    assert_eq!(
        dir.error(),
        "ROOT/train/_annotations.coco.json: categories (id 1): the name `cat` is that of id 0 too"
    );
    for split in ["train", "valid"] {
        let path = dir.join(&format!("{split}/_annotations.coco.json"));
        let text = std::fs::read_to_string(&path).unwrap().replacen(r#""cat""#, r#""pets""#, 1);
        std::fs::write(path, text.replace(r#""supercategory": "cat""#, r#""supercategory": "pets""#))
            .unwrap();
    }
    assert_eq!(dir.open().labels, ["pets", "cat"]);
}
