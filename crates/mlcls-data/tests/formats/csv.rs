//! Tables: which column is what, what cells mean, and where images lie.

use mlcls_data::{Dataset, Format, ReadOptions};

use crate::support::{Dir, items};

/// A folder with one table.
pub fn table(content: &str) -> Dir {
    let dir = Dir::new();
    dir.file("labels.csv", content);
    dir
}

/// What is said about the columns: the notes behind the one that names the file.
fn notes(dataset: &Dataset) -> Vec<&str> {
    dataset.notes[1..].iter().map(String::as_str).filter(|note| !note.contains("never positive")).collect()
}

#[test]
fn a_column_per_label_with_every_word_for_a_state() {
    let dir = table(
        "image,cat,dog\na.jpg,1,0\nb.jpg,1.0,0.0\nc.jpg,true,False\nd.jpg,yes,No\ne.jpg,,-1\nf.jpg,?,nan\ng.jpg,NA,Unknown\n\
         h.jpg,null, 1 \n",
    );
    let dataset = dir.open();
    assert_eq!((dataset.format, dataset.root.as_path()), (Format::Csv, dir.join("labels.csv").as_path()));
    assert_eq!(dataset.labels, ["cat", "dog"]);
    let expected = ["a +-", "b +-", "c +-", "d +-", "e ??", "f ??", "g ??", "h ?+"];
    assert_eq!(items(&dataset, "all"), expected);
    assert_eq!(dir.relative(&dataset.notes[0]), "read from `ROOT/labels.csv`");
    assert_eq!(
        notes(&dataset),
        ["image paths are in the column `image`", "2 labels, a column each: `cat`, `dog`"]
    );
}

#[test]
fn labels_in_one_column_are_separated_by_what_stands_in_the_cells() {
    for (cells, labels, how) in [
        (["cat|dog", "dog", "|cat| "], vec!["cat", "dog"], "separated by `|`"),
        (["cat; dog", "\"big, bad dog\"", "cat"], vec!["big, bad dog", "cat", "dog"], "separated by `;`"),
        (["\"cat,dog\"", "dog", "cat"], vec!["cat", "dog"], "separated by `,`"),
        // Three words instead of three cells: nothing is gained.
        (
            ["haze primary", "haze water", "water primary"],
            vec!["haze primary", "haze water", "water primary"],
            "one per row",
        ),
        (["cat", "dog", "traffic light"], vec!["cat", "dog", "traffic light"], "one per row"),
        (["3", "0", "1"], vec!["0", "1", "3"], "one per row"),
    ] {
        let rows: String = cells.iter().enumerate().map(|(i, cell)| format!("{i}.jpg,{cell}\n")).collect();
        let dataset = table(&format!("image,labels\n{rows}")).open();
        assert_eq!(dataset.labels, labels);
        assert!(notes(&dataset)[1].contains(how), "{:?}", dataset.notes);
    }
    let spaces = table("image_name,tags\na,haze primary\nb,haze\nc,primary\nd,\n").open();
    assert_eq!(items(&spaces, "all"), ["a ++", "b +-", "c -+", "d --"]);
    assert_eq!(
        notes(&spaces),
        [
            "image paths are in the column `image_name`",
            "2 labels from the column `tags`, separated by spaces: that gives fewer labels than taking each cell as \
             one: `haze`, `primary`",
        ]
    );
}

#[test]
fn rows_of_one_image_are_joined_where_one_column_names_labels() {
    let dir = table("filename,width,class\na.jpg,500,cat\nb.jpg,375,dog\na.jpg,500,dog\na.jpg,500,cat\n");
    let dataset = dir.open();
    assert_eq!(items(&dataset, "all"), ["a ++", "b -+"]);
    assert_eq!(
        notes(&dataset)[1..],
        [
            "2 labels from the column `class`, one per row: no `|`, `;` or `,` separates several: `cat`, `dog`",
            "1 other column is passed over: `width`",
            "2 rows of an image that has one already: the labels of all its rows are joined",
        ]
    );
}

#[test]
fn delimiters_quotes_blanks_and_line_ends_of_all_kinds() {
    for content in [
        "image,cat,\"big dog\"\na.jpg,1,0\n\n\nb.jpg,0,1",
        "image\tcat\tbig dog\r\na.jpg\t1\t0\r\n\r\nb.jpg\t0\t1\r\n",
        "image;cat;big dog\na.jpg;1;0\nb.jpg;0;1\n",
        "image, cat, big dog\na.jpg, 1, 0\nb.jpg, 0, 1\n,,\n",
        "\u{feff}\"image\",\"cat\",\"big dog\"\r\"a.jpg\",\"1\",\"0\"\r\"b.jpg\",\"0\",\"1\"\r",
        ",Image,cat,big dog,\n0,a.jpg,1,0,\n1,b.jpg,0,1,\n",
    ] {
        let dataset = table(content).open();
        assert_eq!(dataset.labels, ["cat", "big dog"], "{content:?}");
        assert_eq!(items(&dataset, "all"), ["a +-", "b -+"], "{content:?}");
    }
    // The comma gives an image column here, so that the semicolons are part of a name.
    let dataset = table("image,a;b;c;d;e\nx.jpg,1\n").open();
    assert_eq!(dataset.labels, ["a;b;c;d;e"]);
}

#[test]
fn split_columns_are_known_by_their_place_or_by_what_they_hold() {
    let leading = table("split,id,image,cat\nTrain,1,a.jpg,1\nvalid,2,b.jpg,1\nfold 3,3,c.jpg,0\n").open();
    let names: Vec<&str> = leading.splits.iter().map(|split| split.name.as_str()).collect();
    assert_eq!(names, ["train", "val", "fold 3"]);
    assert_eq!(items(&leading, "val"), ["2 +"]);
    assert_eq!(leading.notes[1], "image paths are in the column `image`, ids in `id`, splits in `split`");
    for header in ["image,cat,split", "subset,image,cat", "image,Set,cat"] {
        let row = |cat: &str, split: &str| {
            let cell = |name| match name {
                "image" => format!("{split}.jpg"),
                "cat" => cat.to_owned(),
                _ => split.to_owned(),
            };
            header.split(',').map(cell).collect::<Vec<_>>().join(",")
        };
        let content = format!("{header}\n{}\n{}\n", row("1", "train"), row("0", "test"));
        let dataset = table(&content).open();
        assert_eq!((dataset.labels.len(), dataset.splits.len()), (1, 2), "{content}");
    }
    // Behind a label, and without the names of splits, a column is a label.
    let label = table("image,cat,split\na.jpg,1,0\n").open();
    assert_eq!(label.labels, ["cat", "split"]);
}

#[test]
fn the_first_column_of_a_kind_counts() {
    let dataset = table("id,image,split,id,image,split,labels\nx,a.jpg,train,1,0,,1\n").open();
    assert_eq!(dataset.labels, ["id", "image", "split", "labels"]);
    assert_eq!(items(&dataset, "train"), ["x +-?+"]);
    let dataset = table("image,label\na.jpg,1\nb.jpg,0\n").open();
    assert_eq!(
        (dataset.labels.as_slice(), items(&dataset, "all")),
        (&["label".into()][..], vec!["a +".into(), "b -".into()])
    );
}

#[test]
fn tables_per_split_are_one_data_set() {
    let dir = Dir::new();
    dir.file("train.csv", "image,cat,dog\na.jpg,1,0\n").file("valid.csv", "image,cat,dog\na.jpg,0,1\n");
    dir.file("test.csv", "image\nc.jpg\n").file("sample_submission.csv", "image,cat,dog\nc.jpg,0.5,0.5\n");
    let dataset = dir.open();
    assert_eq!(
        (items(&dataset, "train"), items(&dataset, "val")),
        (vec!["a +-".into()], vec!["a -+".into()])
    );
    assert_eq!(dataset.splits.len(), 2);
    assert!(dataset.notes.contains(&"test.csv is left out: it has no labels".into()), "{:?}", dataset.notes);
    dir.file("test.csv", "image,dog,cat\nc.jpg,1,0\n");
    assert_eq!(
        dir.error(),
        "ROOT/test.csv and ROOT/train.csv list different labels: the same in another order (id 0 is `dog` and `cat`)"
    );
    dir.file("test.csv", "image,cat,dog\nc.jpg,1,0\n").file("val.csv", "image,cat,dog\nc.jpg,1,0\n");
    assert_eq!(dir.error(), "ROOT/val.csv and ROOT/valid.csv are both the split `val`; keep one of them");
    let alone = Dataset::open(dir.join("valid.csv"), &ReadOptions::default()).unwrap();
    assert_eq!(items(&alone, "val"), ["a -+"]);
}

#[test]
fn of_several_tables_one_must_be_named() {
    let dir = table("image,cat\na.jpg,1\n");
    dir.file("prices.csv", "item,price\nbread,2\n");
    assert_eq!(dir.open().labels, ["cat"]);
    dir.file("old.tsv", "image\tdog\na.jpg\t1\n");
    assert_eq!(dir.error(), "ROOT: several data sets lie here (`labels.csv`, `old.tsv`); name one of them");
    assert_eq!(Dataset::open(dir.join("old.tsv"), &ReadOptions::default()).unwrap().labels, ["dog"]);
}

#[test]
fn images_are_looked_for_where_people_put_them() {
    let dir = Dir::new();
    dir.file("labels.csv", "image,split,cat\na.jpg,train,1\nb.jpg,train,1\nc.jpg,valid,1\nd,val,1\ne.jpg,train,1\nsub\\f.png,train,1\n");
    dir.file("a.jpg", "").file("images/a.jpg", "").file("images/b.jpg", "").file("valid/c.jpg", "");
    dir.file("images/val/d.JPG", "").file("images/sub/f.png", "");
    let dataset = dir.open();
    let images: Vec<String> = dataset
        .splits
        .iter()
        .flat_map(|split| &split.items)
        .map(|item| dir.relative(item.image.to_str().unwrap()))
        .collect();
    let expected = ["a.jpg", "images/b.jpg", "e.jpg", "images/sub/f.png", "valid/c.jpg", "images/val/d.JPG"];
    assert_eq!(images, expected.map(|path| format!("ROOT/{path}")));
}

#[test]
fn ids_are_paths_without_ending_unless_two_would_be_one() {
    let ids = |content: &str| items(&table(content).open(), "all");
    assert_eq!(ids("image,cat\nsub/a.jpg,1\n./b.v2,0\n"), ["sub/a +", "b.v2 -"]);
    assert_eq!(ids("image,cat\na.jpg,1\na.png,0\nb.png,0\n"), ["a.jpg +", "a.png -", "b.png -"]);
    // Without another column for paths, ids are file names, as in many competitions.
    let dir = table("image_id,labels\na,cat dog\nb,cat\nc,dog\n");
    dir.file("images/a.png", "");
    let dataset = dir.open();
    assert_eq!(items(&dataset, "all"), ["a ++", "b +-", "c -+"]);
    assert_eq!(dataset.splits[0].items[0].image, dir.join("images/a.png"));
}

#[test]
fn minus_one_without_any_zero_is_warned_of() {
    let warning =
        |content| table(content).open().notes.iter().any(|note| note.contains("-1 is read as unknown"));
    assert!(warning("image,cat\na.jpg,1\nb.jpg,-1\n"));
    assert!(!warning("image,cat,dog\na.jpg,1,0\nb.jpg,-1,1\n"));
    assert!(!warning("image,cat,dog\na.jpg,1,no\nb.jpg,-1,1\n"));
}
