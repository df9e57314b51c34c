//! Tables that are broken by accident or on purpose: each gets one clear error, none a panic.

use crate::support::{Dir, items};

fn table(content: impl AsRef<[u8]>) -> Dir {
    let dir = Dir::new();
    dir.file("labels.csv", content);
    dir
}

/// The message for the table when it is named itself.
fn error(content: impl AsRef<[u8]>) -> String {
    table(content).error_at("labels.csv")
}

#[test]
fn empty_and_cut_tables() {
    let empty = "ROOT/labels.csv:1:1: the file is empty; expected a header such as `image,cat,dog`";
    assert_eq!(error(""), empty);
    assert_eq!(error("\n\r\n\n"), empty);
    assert_eq!(error("\u{feff}"), empty);
    assert_eq!(error("\u{feff}\u{feff}"), empty, "found by fuzzing");
    let whole = "image,cat,dog\na.jpg,1,0\n\"b,c.jpg\",0,1\n";
    assert_eq!(items(&table(whole).open(), "all"), ["a +-", "b,c -+"]);
    for length in 0..whole.len() {
        // Each cut gives a message or a shorter table.
        let dir = table(&whole[..length]);
        if let Ok(dataset) = mlcls_data::Dataset::open(dir.join("labels.csv"), &Default::default()) {
            assert!(items(&dataset, "all").len() <= 2, "{length}");
        }
    }
}

#[test]
fn text_must_be_utf8() {
    assert_eq!(
        error(b"image,cat\nb\xe4r.jpg,1\n"),
        "ROOT/labels.csv:2:2: byte 0xe4 is not UTF-8 text; save the file as UTF-8"
    );
    let utf16: Vec<u8> = "\u{feff}image,cat\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(error(utf16), "ROOT/labels.csv:1:1: this is UTF-16 text; expected UTF-8, so save it as that");
    assert!(error(b"\xff\xd8\xff\xe0\x00\x10JFIF").contains("is not UTF-8 text"));
    assert_eq!(items(&table("\u{feff}image,cat\na\0.jpg,1\n").open(), "all"), ["a\0 +"]);
}

#[test]
fn quotes_that_are_never_closed() {
    for (content, place) in [
        ("image,\"cat\na.jpg,1\nb.jpg,0\n", "1:2"),
        ("image,cat\na.jpg,1\n\"b.jpg,0\nc.jpg,1\n", "3:1"),
        ("image,cat\r\na.jpg,1\r\n\r\nb.jpg,\"0\r\n", "4:2"),
        ("image,cat\na.jpg,\"", "2:2"),
        ("image,cat\n\"a\n\nb.jpg\",\"1\"\"", "4:2"),
    ] {
        assert_eq!(
            error(content),
            format!("ROOT/labels.csv:{place}: this quote is never closed"),
            "{content:?}"
        );
    }
    // Closed by the quote of another row.
    for (content, place) in [
        ("image,cat\n\"a.jpg,1\nb.jpg,0\n\"c.jpg,1\n", "4:1"),
        ("image,cat\na.jpg,\"1\nb.jpg,0\nc.jpg,\"1\"\n", "4:2"),
        ("image,cat\n\"a \"\"b\"\".jpg\"x,1\n", "2:1"),
    ] {
        let expected = "text behind a closing quote; a quote within quotes is written twice";
        assert_eq!(error(content), format!("ROOT/labels.csv:{place}: {expected}"), "{content:?}");
    }
    // Inches.
    assert_eq!(
        items(&table("image,5\" pipe\na.jpg,1\n\"b \"\"c\"\".jpg\",0\r\n").open(), "all"),
        ["a +", "b \"c\" -"]
    );
}

#[test]
fn a_huge_cell_is_shown_in_part() {
    let long = "x".repeat(10_000_000);
    let message = error(format!("image,cat\na.jpg,{long}\n"));
    assert!(
        message.starts_with("ROOT/labels.csv:2:2: column `cat`: `xxx") && message.len() < 1000,
        "{}",
        message.len()
    );
    let message = error(format!("{long},cat\na.jpg,1\n"));
    assert!(message.contains("no column of image paths") && message.len() < 1000, "{}", message.len());
    let message = error(format!("image,{long}\na.jpg,7\n"));
    assert!(message.contains("is not the state of a label") && message.len() < 1000, "{}", message.len());
}

#[test]
fn a_million_columns_and_a_million_labels() {
    let names: Vec<String> = (0..1_000_000).map(|i| format!("l{i}")).collect();
    let dataset = table(format!("image,{}\na.jpg{}\n", names.join(","), ",1".repeat(names.len()))).open();
    assert_eq!(dataset.labels.len(), names.len());
    let dataset = table(format!("image,labels\na.jpg,{}\n", names.join("|"))).open();
    assert_eq!(dataset.labels.len(), names.len());
}

#[test]
fn a_text_of_its_own_per_row_is_no_list_of_labels() {
    let rows: String = (0..70_000).map(|i| format!("{i}.jpg,a{i}\n")).collect();
    assert_eq!(
        error(format!("image,label\n{rows}")),
        "ROOT/labels.csv:1:2: `label` holds 70000 different labels in 70000 rows, too many to be read; does it hold labels?"
    );
}

#[cfg(unix)]
#[test]
fn links_may_lead_out_and_loops_end() {
    use std::os::unix::fs::symlink;
    let dir = table("image,cat\nlink/a.jpg,1\nloop/a.jpg,1\n");
    dir.file("elsewhere/a.jpg", "");
    symlink(dir.join("elsewhere"), dir.join("link")).unwrap();
    symlink(dir.join("loop"), dir.join("loop")).unwrap();
    assert_eq!(items(&dir.open(), "all"), ["link/a +", "loop/a +"]);
    symlink(dir.join("circle.csv"), dir.join("circle.csv")).unwrap();
    assert!(dir.error_at("circle.csv").contains("no such file"));
}
