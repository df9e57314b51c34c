//! The page about a data set: sound SVG, finite coordinates and escaped names, whatever the data.

#![allow(clippy::unwrap_used)]

use mlcls_data::{Dataset, Format, Item, LabelState, Split};
use mlcls_report::stats_page;

use LabelState::{Absent, Present, Unknown};

/// `splits` splits of `images` images; label `k` is in every `(k + 2)`th image.
fn dataset(splits: usize, images: usize, labels: usize, name: impl Fn(usize) -> String) -> Dataset {
    let state = |image: usize, label: usize| match image % (label + 2) {
        0 => Present,
        1 if label % 5 == 4 => Unknown,
        _ => Absent,
    };
    let item = |i: usize| Item {
        id: i.to_string(),
        image: "no/such/file.jpg".into(),
        states: (0..labels).map(|label| state(i, label)).collect(),
    };
    Dataset {
        root: "pets & <more>".into(),
        format: Format::Datumaro,
        labels: (0..labels).map(&name).collect(),
        splits: (0..splits)
            .map(|s| Split { name: format!("split <{s}>"), items: (s..s + images).map(item).collect() })
            .collect(),
        notes: vec!["a note with <u>markup</u>".into()],
    }
}

/// The plots of a page, each parsed.
fn plots(html: &str) -> usize {
    let mut count = 0;
    for rest in html.split("<svg").skip(1) {
        let svg = format!("<svg{}</svg>", rest.split("</svg>").next().unwrap());
        let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{e}: {svg}"));
        for node in document.descendants() {
            for attribute in node.attributes().filter(|a| {
                ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"].contains(&a.name())
            }) {
                let value: f64 = attribute.value().parse().unwrap();
                assert!((-1.0..40_000.0).contains(&value), "{attribute:?} in {svg}");
            }
        }
        count += 1;
    }
    count
}

#[test]
fn every_plot_is_sound_svg() {
    let page = |dataset: Dataset| stats_page(&dataset.stats());
    let plain = |k: usize| format!("label {k}");
    assert_eq!(plots(&page(dataset(3, 40, 12, plain))), 7);
    assert_eq!(plots(&page(dataset(1, 40, 12, plain))), 6, "one split does not drift");
    assert_eq!(plots(&page(dataset(2, 1, 1, plain))), 7);
    assert!(plots(&page(dataset(2, 0, 3, plain))) >= 5, "no image");
    assert!(plots(&page(dataset(0, 0, 0, plain))) >= 5, "nothing at all");
}

#[test]
fn names_cannot_become_markup() {
    let html = stats_page(&dataset(2, 30, 4, |k| format!("<script>{k}</script>\"'&\u{0}\u{1b}")).stats());
    plots(&html);
    for bad in ["<script", "<u>", "<more>", "split <", "\u{0}", "\u{1b}"] {
        assert!(!html.contains(bad), "{bad:?}");
    }
    assert!(html.contains("&lt;script&gt;0&lt;/script&gt;"));
}

#[test]
fn hundreds_of_labels_are_cut_in_plots_and_complete_in_the_table() {
    let html = stats_page(&dataset(2, 400, 300, |k| format!("label {k} of many")).stats());
    plots(&html);
    assert!(html.contains("The 30 most frequent and the 30 rarest of 300 labels."));
    assert!(html.contains("The 80 most frequent of 300 labels."));
    assert!((0..300).all(|k| html.contains(&format!("<td>label {k} of many</td>"))));
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
}
