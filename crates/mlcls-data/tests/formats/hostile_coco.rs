//! COCO files that are broken by accident or on purpose: each gets one clear error, none a panic.

use crate::coco::pets;
use crate::support::{Dir, items};

/// A data set whose train file is this.
fn coco(content: impl AsRef<[u8]>) -> Dir {
    let dir = Dir::new();
    dir.file("annotations/instances_train.json", content);
    dir
}

const FILE: &str = "ROOT/annotations/instances_train.json";

/// A file of one image and one category, with this as its annotations.
fn with(annotations: &str) -> String {
    format!(
        r#"{{"images": [{{"id": 1, "file_name": "a.jpg"}}], "categories": [{{"id": 1, "name": "cat"}}],
"annotations": {annotations}}}"#
    )
}

#[test]
fn syntax_errors_have_line_and_column() {
    for (content, problem) in [
        ("", ":1:0: EOF while parsing a value"),
        ("{\n  \"images\": {]\n}", ":2:13: images: invalid type: map, expected a list"),
        ("{\n  \"info\": {]\n}", ":2:12: key must be a string"),
        ("annotations: []", ":1:1: expected value"),
        (
            "[]",
            ":1:1: invalid type: sequence, expected an object with `images`, `annotations` and `categories`",
        ),
        (
            "7",
            ":1:1: invalid type: integer `7`, expected an object with `images`, `annotations` and `categories`",
        ),
        ("{}", ":1:2: missing field `images`"),
        (r#"{"images": [], "categories": []}"#, ":1:32: missing field `annotations`"),
        (r#"{"images": [], "images": []}"#, ":1:24: duplicate field `images`"),
        (&(with("[]") + " x"), ":2:20: trailing characters"),
        (&(with("[]") + "{}"), ":2:19: trailing characters"),
    ] {
        assert_eq!(coco(content).error(), format!("{FILE}{problem}"), "{content}");
    }
}

#[test]
fn a_file_cut_anywhere_gets_an_error_with_a_place() {
    let whole = pets(r#"{"image_id": 1, "category_id": 3, "segmentation": [[1.5, 2]], "iscrowd": 0}"#);
    let dir = coco(&whole);
    assert_eq!(items(&dir.open(), "train"), ["a -+", "b --"]);
    for length in 0..whole.len() {
        dir.file("annotations/instances_train.json", &whole[..length]);
        let error = dir.error();
        // `1.` is cut inside a number.
        let cut = error.contains("EOF") || error.contains("invalid number");
        assert!(error.starts_with(&format!("{FILE}:")) && cut, "{length}: {error}");
    }
}

#[test]
fn wrong_types_name_the_field() {
    for (annotations, problem) in [
        ("{}", "annotations: invalid type: map, expected a list"),
        ("[7]", "annotations[0]: invalid type: integer `7`, expected struct Object"),
        (r#"[{"category_id": 1}]"#, "annotations[0]: missing field `image_id`"),
        (
            r#"[{"image_id": 1, "category_id": [1]}]"#,
            "annotations[0].category_id: invalid type: sequence, expected an id",
        ),
        (
            r#"[{"image_id": 1, "category_id": 1}, {"image_id": null}]"#,
            "annotations[1].image_id: invalid type: null",
        ),
        (r#"[{"image_id": 1, "image_id": 1}]"#, "annotations[0]: duplicate field `image_id`"),
        (
            r#"[{"image_id": 1.5}]"#,
            "annotations[0].image_id: invalid type: floating point `1.5`, expected an id",
        ),
        (r#"[{"image_id": 1e999}]"#, "number out of range"),
        (
            r#"[{"image_id": 1, "category_id": 1, "iscrowd": 2}]"#,
            "annotations[0].iscrowd: invalid value: integer `2`",
        ),
        (
            r#"[{"image_id": 1, "category_id": 1, "iscrowd": "no"}]"#,
            "annotations[0].iscrowd: invalid type: string",
        ),
        (r#"[{"image_id": "\ud800"}]"#, "unexpected end of hex escape"),
    ] {
        let error = coco(with(annotations)).error();
        assert!(error.starts_with(&format!("{FILE}:2:")) && error.contains(problem), "{error}\n{problem}");
    }
    for (old, new, problem) in [
        (r#""a.jpg""#, "5", "images[0].file_name: invalid type: integer `5`, expected a string"),
        (r#""cat""#, "null", "categories[0].name: invalid type: null, expected a string"),
        (r#""name": "cat""#, r#""x": 1"#, "categories[0]: missing field `name`"),
        (r#""file_name""#, r#""path""#, "images[0]: missing field `file_name`"),
    ] {
        let error = coco(with("[]").replacen(old, new, 1)).error();
        assert!(error.contains(problem), "{error}\n{problem}");
    }
}

#[test]
fn deep_nesting_is_refused_or_passed_over_and_never_overflows_the_stack() {
    let deep = "[".repeat(1_000_000);
    for content in [deep.clone(), format!(r#"{{"images": {deep}"#), with(&deep)] {
        let error = coco(content).error();
        assert!(error.starts_with(&format!("{FILE}:")), "{error}");
    }
    // In a field that is kept for its text, which goes no deeper than 128.
    let error = coco(with("[]").replace(r#""cat""#, &format!(r#""cat", "supercategory": {deep}"#))).error();
    assert!(error.contains("recursion limit exceeded"), "{error}");
    let closed = "[".repeat(100_000) + &"]".repeat(100_000);
    let unused = format!(r#"[{{"image_id": 1, "category_id": 1, "segmentation": {closed}}}]"#);
    assert_eq!(items(&coco(with(&unused)).open(), "train"), ["a +"]);
}

#[test]
fn text_must_be_utf8_and_may_have_a_byte_order_mark() {
    assert_eq!(items(&coco(format!("\u{feff}{}", with("[]"))).open(), "train"), ["a -"]);
    let utf16 = |bytes: fn(u16) -> [u8; 2]| "\u{feff}{}".encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    for content in [utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
        let problem = "this is UTF-16 text; expected UTF-8, so save it as that";
        assert_eq!(coco(content).error(), format!("{FILE}:1:1: {problem}"));
    }
    let mut latin = with("[]").into_bytes();
    let at = latin.windows(3).position(|w| w == b"cat").unwrap();
    latin[at] = 0xe9;
    let error = coco(latin).error();
    assert!(
        error.starts_with(&format!("{FILE}:1:")) && error.contains("invalid unicode code point"),
        "{error}"
    );
    assert!(coco([0xff; 3]).error().starts_with(&format!("{FILE}:1:")));
}

#[test]
fn paths_out_of_the_images_folder_are_refused() {
    for path in ["/etc/passwd", "../../etc/passwd", "a/../../../secret.jpg", "", "..", "./."] {
        let error = coco(with("[]").replace("a.jpg", path)).error();
        let problem = format!("`{path}` is not a path inside the folder of the images");
        assert_eq!(error, format!("{FILE}: images[0].file_name: {problem}"));
    }
    let odd = coco(with("[]").replace("a.jpg", "sub/b\\u0000.c.jpg"));
    assert_eq!(items(&odd.open(), "train"), ["sub/b\0.c -"]);
    let roundabout = coco(with("[]").replace("a.jpg", "./sub//a.jpg"));
    assert_eq!(items(&roundabout.open(), "train"), ["sub/a -"]);
}

#[test]
fn a_split_name_cannot_lead_out_of_the_folder() {
    let dir = Dir::new();
    dir.file("annotations/instances_...json", with("[]")).file("secret/a.jpg", "");
    let image = dir.open().splits[0].items[0].image.clone();
    assert!(image.starts_with(dir.path()), "{}", image.display());
}

#[test]
fn ids_that_are_repeated_or_not_listed_are_counted_and_named() {
    let images = r#"[{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "b"}, {"id": 1, "file_name": "c"},
        {"id": "2", "file_name": "d"}, {"id": 1, "file_name": "e"}]"#;
    let error = coco(with("[]").replace(r#"[{"id": 1, "file_name": "a.jpg"}]"#, images)).error();
    assert_eq!(error, format!("{FILE}: images[2].id: 2 ids are listed more than once: `1`, `2`"));
    let categories = r#"{"id": 7, "name": "dog"}, {"id": 7, "name": "cow"}"#;
    let error = coco(with("[]").replace(r#"{"id": 1, "name": "cat"}"#, categories)).error();
    assert_eq!(error, format!("{FILE}: categories[1].id: 1 id is listed more than once: `7`"));
    let stray = r#"[{"image_id": 1, "category_id": 1}, {"image_id": 9, "category_id": 1},
        {"image_id": "x", "category_id": 5}, {"image_id": 9, "category_id": 5}]"#;
    assert_eq!(
        coco(with(stray)).error(),
        format!("{FILE}: annotations[1].image_id: 2 ids are not in `images`: `9`, `\"x\"`")
    );
    let stray = r#"[{"image_id": 1, "category_id": 5}]"#;
    assert_eq!(
        coco(with(stray)).error(),
        format!("{FILE}: annotations[0].category_id: 1 id is not in `categories`: `5`")
    );
}

#[test]
fn labels_and_items_must_be_sound() {
    for (old, new, problem) in [
        (r#"{"id": 1, "name": "cat"}"#, "", "categories: no categories; expected at least one"),
        (r#""cat""#, r#"" ""#, "categories (id 1): the name is empty"),
        (
            r#"{"id": 1, "name": "cat"}"#,
            r#"{"id": 5, "name": "cat"}, {"id": 2, "name": "cat"}"#,
            "categories (id 5): the name `cat` is that of id 2 too",
        ),
        (r#"{"id": 1, "file_name": "a.jpg"}"#, "", "no items; remove it, or add items to it"),
        (
            r#""a.jpg"}"#,
            r#""a.jpg"}, {"id": 2, "file_name": "a.png"}"#,
            "1 id is listed more than once: `a`; ids must be unique in a split",
        ),
    ] {
        assert_eq!(coco(with("[]").replacen(old, new, 1)).error(), format!("{FILE}: {problem}"));
    }
}

#[test]
fn a_million_labels_are_read_and_a_million_images_of_them_are_not() {
    let list = |n: usize, field: &str| {
        (0..n).map(|i| format!(r#"{{"id": {i}, "{field}": "{i}"}}"#)).collect::<Vec<_>>().join(",")
    };
    let file = |images: usize| {
        let (images, categories) = (list(images, "file_name"), list(1_000_000, "name"));
        format!(r#"{{"images": [{images}], "annotations": [], "categories": [{categories}]}}"#)
    };
    assert_eq!(coco(file(3)).open().labels.len(), 1_000_000);
    assert_eq!(
        coco(file(5_000)).error(),
        format!("{FILE}: items: 5000 items with 1000000 labels each are more than 4294967296 label states")
    );
}
