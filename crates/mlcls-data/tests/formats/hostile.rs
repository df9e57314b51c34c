//! Annotation files that are broken by accident or on purpose: each gets one clear error, none a panic.

use crate::support::{Dir, items};

/// A Datumaro data set whose train.json holds this.
fn json(content: impl AsRef<[u8]>) -> Dir {
    let dir = Dir::new();
    dir.folder("images").file("annotations/train.json", content);
    dir
}

/// A Datumaro file with this text as its items.
fn with_items(items: &str) -> String {
    format!(r#"{{"categories":{{"label":{{"labels":[{{"name":"cat"}}]}}}},"items":{items}}}"#)
}

/// A VOC data set of one image whose XML is this.
fn xml(content: impl AsRef<[u8]>) -> Dir {
    let dir = Dir::new();
    dir.folder("JPEGImages").file("ImageSets/Main/train.txt", "a\n").file("Annotations/a.xml", content);
    dir
}

#[test]
fn json_syntax_errors_have_line_and_column() {
    for (content, place) in [
        ("", "1:0: EOF while parsing a value"),
        ("{\n  \"categories\": {]\n}", "2:18: key must be a string"),
        (r#"{"categories": {"label": {"labels": [{"name": "cat"#, "1:50: EOF while parsing a string"),
        (&(with_items("[]") + " x"), "1:65: trailing characters"),
        ("categories: []", "1:1: expected value"),
    ] {
        assert_eq!(json(content).error(), format!("ROOT/annotations/train.json:{place}"), "{content}");
    }
}

#[test]
fn json_of_wrong_types_names_the_field() {
    for (items, problem) in [
        ("{}", "items: invalid type: map, expected a sequence"),
        (r#"[{"id": 5}]"#, "items[0].id: invalid type: integer `5`, expected a string"),
        (r#"[{"id": "a"}, {"annotations": []}]"#, "items[1]: missing field `id`"),
        (r#"[{"id": "a", "id": "b"}]"#, "items[0]: duplicate field `id`"),
        (
            r#"[{"id": "a", "annotations": [{"label_id": 0}]}]"#,
            "items[0].annotations[0]: missing field `type`",
        ),
        (r#"[{"id": "a", "annotations": [{"type": "label", "label_id": 1e999}]}]"#, "number out of range"),
        (
            r#"[{"id": "a", "image": {"path": ["a.jpg"]}}]"#,
            "items[0].image.path: invalid type: sequence, expected a string",
        ),
        (r#"[{"id": "\ud800"}]"#, "unexpected end of hex escape"),
    ] {
        let error = json(with_items(items)).error();
        assert!(error.starts_with("ROOT/annotations/train.json:1:"), "{error}");
        assert!(error.contains(problem), "{error}\n{problem}");
    }
}

#[test]
fn deep_nesting_is_refused_or_passed_over_and_never_overflows_the_stack() {
    let deep = "[".repeat(1_000_000);
    let error = json(&deep).error();
    assert!(error.contains("ROOT/annotations/train.json:1:"), "{error}");
    let error = json(with_items(&deep)).error();
    assert!(error.contains("items[0][0]: invalid type: sequence"), "{error}");
    let ignored = format!(r#"[{{"id": "a", "attr": {{"ignored_labels": [{deep}"#);
    let error = json(with_items(&ignored)).error();
    assert!(error.contains("recursion limit exceeded"), "{error}");
    let closed = "[".repeat(100_000) + &"]".repeat(100_000);
    let unused = format!(r#"[{{"id": "a", "polygons": {closed}}}]"#);
    assert_eq!(items(&json(with_items(&unused)).open(), "train"), ["a -"]);
}

#[test]
fn text_must_be_utf8_and_may_have_a_byte_order_mark() {
    let good = with_items(r#"[{"id": "a"}]"#);
    assert_eq!(items(&json(format!("\u{feff}{good}")).open(), "train"), ["a -"]);
    assert_eq!(
        json(b"{\n \"caf\xe9\": 1}").error(),
        "ROOT/annotations/train.json:2:6: byte 0xe9 is not UTF-8 text; save the file as UTF-8"
    );
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(
        json(utf16).error(),
        "ROOT/annotations/train.json:1:1: this is UTF-16 text; expected UTF-8, so save it as that"
    );
}

#[test]
fn paths_out_of_the_images_folder_are_refused() {
    for path in ["/etc/passwd", "../secret.jpg", "a/../../../secret.jpg"] {
        let dir = json(with_items(&format!(r#"[{{"id": "a", "image": {{"path": "{path}"}}}}]"#)));
        assert_eq!(
            dir.error(),
            format!(
                "ROOT/annotations/train.json: items[0] (id \"a\").image.path: `{path}` is not a path inside images/"
            )
        );
    }
    let error = json(with_items(r#"[{"id": "../a"}]"#)).error();
    assert!(error.contains("`../a.jpg` is not a path inside images/"), "{error}");
    // An odd id does no harm where the path is given.
    let odd = json(with_items(r#"[{"id": "../a", "image": {"path": "a.jpg"}}, {"id": "b\u0000"}]"#));
    assert_eq!(items(&odd.open(), "train"), ["../a -", "b\0 -"]);
}

#[test]
fn files_that_are_not_datumaro_are_passed_over_beside_one_that_is() {
    let dir = json(with_items(r#"[{"id": "a", "annotations": [{"type": "label", "label_id": 0}]}]"#));
    dir.file("annotations/instances.json", r#"{"images": [], "annotations": [], "categories": []}"#);
    dir.file("annotations/notes.json", "[1, 2]").file("annotations/meta.json", r#"{"categories": 0}"#);
    assert_eq!(
        dir.open().notes,
        [
            "read as Datumaro; this is a COCO data set too",
            "passed over annotations/instances.json: a COCO file",
            "passed over annotations/meta.json: without `items`",
            "passed over annotations/notes.json: not an object with `categories` and `items`",
        ]
    );
}

#[test]
fn xml_errors_have_line_and_column() {
    for (content, problem) in [
        ("", "1:1: "),
        ("<annotation>\n  <object>\n</annotation>", "3:1: expected 'object' tag, not 'annotation'"),
        ("<svg/>", "1:1: found <svg>; expected <annotation>"),
        ("<annotation>\n  <object><bndbox/></object></annotation>", "2:3: this <object> has no <name>"),
        ("<annotation><object><name> </name></object></annotation>", "1:13: this <object> has no <name>"),
        (
            "<annotation><object><name>cat</name><difficult>yes</difficult></object></annotation>",
            "1:13: <difficult> is `yes`; expected 0 or 1",
        ),
        ("<annotation>\n&nothing;</annotation>", "2:1: "),
        ("{\"not\": \"xml\"}", "1:1: "),
    ] {
        let error = xml(content).error();
        assert!(error.starts_with(&format!("ROOT/Annotations/a.xml:{problem}")), "{error}\n{problem}");
        // The place stands at the front, once.
        assert!(!error.contains(" at "), "{error}");
    }
}

#[test]
fn xml_bombs_and_deep_nesting_are_refused() {
    let bomb =
        "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><annotation>&c;</annotation>";
    let error = xml(bomb).error();
    assert!(error.contains("DTD"), "{error}");
    let deep = format!("<annotation>{}", "<object>".repeat(200_000));
    let error = xml(deep).error();
    assert!(error.starts_with("ROOT/Annotations/a.xml:"), "{error}");
    let closed = format!("<annotation>{}{}</annotation>", "<x>".repeat(20_000), "</x>".repeat(20_000));
    assert!(xml(closed).error().contains("no annotation names an object"));
}

#[test]
fn xml_must_be_utf8_and_may_have_a_byte_order_mark() {
    let cat = "<annotation><object><name>cat</name></object></annotation>";
    assert_eq!(items(&xml(format!("\u{feff}{cat}")).open(), "train"), ["a +"]);
    let error = xml(b"<annotation><object><name>b\xe4r</name></object></annotation>").error();
    assert_eq!(error, "ROOT/Annotations/a.xml:1:28: byte 0xe4 is not UTF-8 text; save the file as UTF-8");
}
