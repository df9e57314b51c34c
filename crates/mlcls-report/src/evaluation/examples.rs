//! Cards with images: the worst mistakes, and answers that may be wrong.

use std::fmt::Write;

use super::{EvaluationReport, Example, labels::by_precision, percent};
use crate::page::{Page, escape};
use crate::picture::img;

pub(super) fn mistakes(page: &mut Page, report: &EvaluationReport<'_>) {
    if report.mistakes.is_empty() {
        return;
    }
    let mut body = String::new();
    for label in by_precision(report).into_iter().rev() {
        let of_label = || report.mistakes.iter().filter(move |mistake| mistake.label == label);
        if of_label().next().is_none() {
            continue;
        }
        let metrics = &report.metrics.per_label[label];
        let _ = writeln!(
            body,
            "<h3>{}</h3>\n<p class=\"note\">AP {} %, {} images</p>\n<div class=\"gallery\">",
            escape(&report.labels[label]),
            percent(metrics.ap),
            metrics.positives
        );
        for mistake in of_label() {
            let what = if mistake.predicted { "predicted, not there" } else { "there, not predicted" };
            body += &figure(&mistake.example, what, mistake.score);
        }
        body += "</div>\n";
    }
    let note = "For each label the predictions of the highest score that are wrong, and the images of the lowest score that have it. At the right what speaks for the label, from blue to red. Hardest labels first.";
    page.wide_card("Worst mistakes", note, &body);
}

pub(super) fn suspects(page: &mut Page, report: &EvaluationReport<'_>) {
    if report.suspects.is_empty() {
        return;
    }
    let mut body = "<div class=\"gallery\">".to_owned();
    for (suspect, example) in report.suspects {
        let Some(example) = example else { continue };
        let name = &report.labels[suspect.label];
        let what =
            if suspect.given { format!("said to show {name}") } else { format!("said not to show {name}") };
        body += &figure(example, &what, suspect.score);
    }
    body += "</div>\n";
    let note = format!(
        "{} of the answers in the data contradict the model more than it usually errs; the most suspicious first. Either the answer is wrong, or the model has something to learn. All of them are in {}.",
        report.suspects.len(),
        report.suspects_file
    );
    page.wide_card("Answers that may be wrong", &note, &body);
}

fn figure(example: &Example, what: &str, score: f32) -> String {
    format!(
        "<figure><div class=\"pair\">{}{}</div><figcaption><b>{}</b>, score {score:.3}<br>{}</figcaption></figure>\n",
        img(&example.picture, &example.id),
        img(&example.overlay, "what speaks for the label"),
        escape(what),
        escape(&example.id)
    )
}
