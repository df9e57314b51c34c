//! Tables that are refused, with the place and what to do.

use crate::csv::table;
use crate::support::{Dir, items};

#[test]
fn paths_out_of_the_folder_are_refused_with_advice() {
    for (path, problem) in [
        (
            "../a.jpg",
            "is not a path inside the folder of this table; put the table into the folder that holds the images",
        ),
        ("..\\a.jpg", "is not a path inside the folder of this table"),
        ("a/../../../etc/passwd", "is not a path inside the folder of this table"),
        ("", "`` is not a path inside the folder of this table"),
        ("/etc/passwd", "`/etc/passwd` lies outside the folder of this table; write paths relative to ROOT"),
        ("C:\\photos\\a.jpg", "lies outside the folder of this table"),
        ("https://example.org/a.jpg", "is an address; download the images"),
    ] {
        let error = table(&format!("image,cat\nok.jpg,1\n{path},1\n")).error();
        assert!(error.starts_with("ROOT/labels.csv:3:1: "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
    let dir = Dir::new();
    dir.file("images/a.jpg", "");
    dir.file("labels.csv", format!("image,cat\n{},1\n", dir.join("images/a.jpg").display()));
    let dataset = dir.open();
    assert_eq!(items(&dataset, "all"), ["images/a +"]);
    assert_eq!(dataset.splits[0].items[0].image, dir.join("images/a.jpg"));
}

#[test]
fn a_second_row_of_an_image_must_say_the_same_where_labels_have_columns() {
    let same = table("image,cat,dog\na.jpg,1,0\nb.jpg,1,\na.jpg,yes,no\n").open();
    assert_eq!(items(&same, "all"), ["a +-", "b +?"]);
    assert_eq!(same.notes[3..], ["1 row that repeats another is left out"][..]);
    assert_eq!(
        table("image,cat,dog\na.jpg,1,0\n\nb.jpg,1,0\na.jpg,1,1\n").error(),
        "ROOT/labels.csv:5:1: `a.jpg` stands in ROOT/labels.csv:2 too, and there column `dog` says something else"
    );
    assert_eq!(
        table("id,image,cat\n7,a.jpg,1\n7,b.jpg,1\n").error(),
        "ROOT/labels.csv:3:1: `7` stands in ROOT/labels.csv:2 too, and there another path"
    );
    // Another id is another item.
    assert_eq!(items(&table("id,image,cat\n7,a.jpg,1\n8,a.jpg,0\n").open(), "all"), ["7 +", "8 -"]);
}

#[test]
fn a_split_is_refused_with_its_own_table() {
    let dir = Dir::new();
    dir.file("train.csv", "id,image,tags\n1,a.jpg,cat\n")
        .file("val.csv", "id,image,tags\n7,b.jpg,cat\n7,c.jpg,dog\n");
    assert_eq!(
        dir.error(),
        "ROOT/val.csv: 1 id is listed more than once: `7`; ids must be unique in a split"
    );
}

#[test]
fn cells_that_are_no_states_are_refused_with_place_and_words() {
    assert_eq!(
        table("image,cat,width\na.jpg,1,0\n\nb.jpg,1,640\n").error(),
        "ROOT/labels.csv:4:3: column `width`: `640` is not the state of a label: expected 1, true or yes (present), 0, \
         false or no (absent), or nothing, -1, ?, NA, nan, null or unknown (unknown); take out a column that is no label"
    );
    for (content, problem) in [
        ("image,cat\na.jpg,1\nb.jpg\n", "3:2: this row has 1 cell and the header 2"),
        ("image,cat\na.jpg,1,\n", "2:3: this row has 3 cells and the header 2"),
        ("image,cat,cat\na.jpg,1,1\n", "1:3: column 2 is called `cat` too"),
        ("image,cat,\na.jpg,1,5\n", "2:3: column 3 holds `5` and has no name"),
        (
            "image,split,cat\na.jpg,,1\n",
            "2:2: `` is no name of a split; expected train, val, test or another",
        ),
        ("image,split,cat\na.jpg,../..,1\n", "2:2: `../..` is no name of a split"),
        ("image\na.jpg\n", "1:1: no column of labels: expected one per label"),
        ("image,labels\na.jpg,\"['cat', 'dog']\"\n", "2:2: `['cat', 'dog']` is a list in brackets"),
        (
            "image,labels,cat\na.jpg,dog,1\n",
            "1:3: `labels` holds the names of labels, and `cat` seems to be a label",
        ),
        (
            "image,label,tags\na.jpg,dog,big\n",
            "1:3: `label` and `tags` both seem to hold the names of labels",
        ),
    ] {
        let error = table(content).error();
        assert!(error.starts_with(&format!("ROOT/labels.csv:{problem}")), "{error}\n{problem}");
    }
    assert_eq!(table("image,cat\n").error(), "ROOT/labels.csv: no items; remove it, or add items to it");
}

#[test]
fn a_table_without_paths_is_explained() {
    let error = |content: &str| table(content).error_at("labels.csv");
    assert_eq!(
        error("a.jpg,1,0\nb.jpg,0,1\n"),
        "ROOT/labels.csv:1:1: `a.jpg` looks like an image, and a header is expected here; put a line such as \
         `image,cat,dog` before it"
    );
    let message = error("imge;cat\na.jpg;1\n");
    assert!(message.starts_with("ROOT/labels.csv:1:1: no column of image paths: the header has `imge`, `cat`; expected one called `path`"), "{message}");
    assert!(message.ends_with("rename `imge` if it holds them"), "{message}");
    // A folder is not taken for a data set because of it; the advice says why.
    let message = table("a.jpg,1,0\n").error();
    assert!(message.starts_with("ROOT: no data set here: the folder holds `labels.csv`. The table in it is none: ROOT/labels.csv:1:1: `a.jpg` looks like an image"), "{message}");
    assert!(table("item,price\nbread,2\n").error().contains("no column of image paths"));
}
