//! Labels that occur together, in truth and as predicted.

use mlcls_metrics::Answer;

use super::EvaluationReport;
use crate::page::Page;
use crate::plot::{Cell, HeatMap};

pub(super) fn cooccurrence(page: &mut Page, report: &EvaluationReport<'_>) {
    let frequency = |label: &usize| std::cmp::Reverse(report.metrics.per_label[*label].positives);
    let mut order: Vec<usize> = (0..report.labels.len()).collect();
    order.retain(|label| report.metrics.per_label[*label].positives > 0);
    order.sort_by_key(frequency);
    let note = match order.len() {
        n if n > HeatMap::FITS => format!(" The {} most frequent of {n} labels.", HeatMap::FITS),
        _ => String::new(),
    };
    order.truncate(HeatMap::FITS);
    if order.len() < 2 {
        return;
    }
    let names: Vec<String> = order.iter().map(|label| report.labels[*label].clone()).collect();
    // Of each image and shown label: whether it is there, where that is known; and whether it is predicted.
    let (mut truth, mut predicted) = (vec![], vec![]);
    for image in 0..report.scores.images() {
        let row: Vec<(f32, Answer)> = report.scores.image(image).collect();
        let known =
            |label: &usize| (row[*label].1 != Answer::Unknown).then(|| row[*label].1 == Answer::Present);
        truth.push(order.iter().map(known).collect::<Vec<_>>());
        let said = |label: &usize| Some(row[*label].0 >= report.threshold.of(*label));
        predicted.push(order.iter().map(said).collect::<Vec<_>>());
    }
    for (title, what, images) in [
        ("Labels that occur together", "have", &truth),
        ("Labels that are predicted together", "are given", &predicted),
    ] {
        let plot = HeatMap { names: &names, cells: &shares(&names, images) }.to_svg();
        let text =
            format!("Of the images that {what} the row's label, those that {what} the column's too.{note}");
        page.card(title, &text, &format!("<div class=\"scroll\">{plot}</div>"));
    }
}

/// For each row's label, the share of its images that have the column's too, where both are known.
fn shares(names: &[String], images: &[Vec<Option<bool>>]) -> Vec<Vec<Cell>> {
    let cell = |row: usize, column: usize| {
        let with_row = images.iter().filter(|image| image[row] == Some(true) && image[column].is_some());
        let (both, all) = with_row
            .fold((0, 0), |(both, all), image| (both + usize::from(image[column] == Some(true)), all + 1));
        let value = (all > 0).then(|| f64::from(both as u32) / f64::from(all));
        Cell { value, title: format!("{} given {}: {both} of {all}", names[column], names[row]) }
    };
    (0..names.len()).map(|row| (0..names.len()).map(|column| cell(row, column)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_images_are_not_counted() {
        let names = ["a", "b"].map(str::to_owned);
        let (yes, no) = (Some(true), Some(false));
        let cells = shares(&names, &[vec![yes, yes], vec![yes, None], vec![yes, no], vec![no, yes]]);
        assert_eq!(cells[0][1].value, Some(0.5));
        assert_eq!(cells[1][0].value, Some(0.5));
        assert_eq!(cells[0][1].title, "b given a: 1 of 2");
        assert_eq!(shares(&names, &[])[0][0].value, None);
    }
}
