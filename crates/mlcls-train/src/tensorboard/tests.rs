//! Event files: the bytes of the `tensorboard` package (`xtask/reference/tensorboard_events.py`), and what an interrupted run leaves.

use mlcls_metrics::Answer;
use prost::Message;
use serde::Deserialize;

use super::events::EventFile;
use super::pr_curve::{POINTS, pr_curve};
use super::proto::{Event, Image, SessionLog, Summary, What};
use super::record::{records, write_record};
use super::*;

const EVENTS: &[u8] = include_bytes!("../../tests/fixtures/tensorboard/events.bin");
const PR_CURVE: &str = include_str!("../../tests/fixtures/tensorboard/pr_curve.json");

/// The list of the script.
fn fixed_events() -> [Event; 5] {
    let event =
        |after: f64, step: i64, what: What| Event { wall_time: 1.5e9 + after, step, what: Some(what) };
    let image = Image { height: 2, width: 3, colorspace: 3, encoded_image_string: b"\x89PNG".to_vec() };
    let image = Value { tag: "images/0".to_owned(), metadata: None, content: Some(Content::Image(image)) };
    let curve: Vec<f32> = (0..6 * POINTS).map(|i| i as f32).collect();
    let curve = pr_curve::value("PR/micro".to_owned(), &curve);
    let summary = |value| What::Summary(Summary { value });
    [
        event(0.0, 0, What::FileVersion("brain.Event:2".to_owned())),
        event(0.0, 7, What::SessionLog(SessionLog { status: 1 })),
        event(0.5, 300, summary(vec![scalar("loss", 0.25), scalar("mAP", 0.0)])),
        event(1.0, 0, summary(vec![image])),
        event(2.0, 300, summary(vec![curve])),
    ]
}

/// What a reader shows of a run's folder, as text: series by series, after it dropped what each new file does again. The speed, which
/// is another each time, is left out.
pub(crate) fn shown(folder: &Path) -> String {
    let sorted = |folder: &Path| {
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let mut text = String::new();
    for run in sorted(folder) {
        let mut points: Vec<(i64, Value)> = vec![];
        for file in sorted(&run) {
            let bytes = std::fs::read(file).unwrap();
            for event in records(&bytes).into_iter().map(|record| Event::decode(record).unwrap()) {
                match event.what.unwrap() {
                    What::FileVersion(_) => {}
                    What::SessionLog(_) => points.retain(|(step, _)| *step < event.step),
                    What::Summary(summary) => {
                        points.extend(summary.value.into_iter().map(|v| (event.step, v)))
                    }
                }
            }
        }
        points.retain(|(_, value)| value.tag != "images_per_second");
        points.sort_by(|a, b| (&a.1.tag, a.0).cmp(&(&b.1.tag, b.0)));
        let doubled = points.windows(2).find(|two| two[0].0 == two[1].0 && two[0].1.tag == two[1].1.tag);
        assert!(doubled.is_none(), "{}: twice {:?}", run.display(), doubled.map(|d| (d[0].0, &d[0].1.tag)));
        let name = run.file_name().unwrap().to_string_lossy().into_owned();
        text += &points.iter().map(|(step, value)| format!("{name} {step} {value:?}\n")).collect::<String>();
    }
    text
}

#[test]
fn records_are_those_of_the_tensorboard_package() {
    let mut bytes = vec![];
    for event in fixed_events() {
        write_record(&mut bytes, &event.encode_to_vec()).unwrap();
    }
    assert!(bytes == EVENTS, "{} bytes, expected {}", bytes.len(), EVENTS.len());
    let read: Vec<Event> = records(EVENTS).into_iter().map(|r| Event::decode(r).unwrap()).collect();
    assert_eq!(read, fixed_events());
}

#[test]
fn a_curve_is_that_of_pytorchs_writer() {
    #[derive(Deserialize)]
    struct Fixture {
        scores: Vec<f32>,
        answers: Vec<i8>,
        curve: Vec<f32>,
    }
    let fixture: Fixture = serde_json::from_str(PR_CURVE).unwrap();
    let answers = fixture.answers.iter().map(|answer| match answer {
        1 => Answer::Present,
        0 => Answer::Absent,
        _ => Answer::Unknown,
    });
    assert_eq!(pr_curve(fixture.scores.into_iter().zip(answers)), fixture.curve);
}

#[test]
fn a_curve_of_nothing_is_zero() {
    assert_eq!(pr_curve(std::iter::empty()), [0.0; 6 * POINTS]);
    let curve = pr_curve([(f32::NAN, Answer::Present), (1.0, Answer::Unknown)].into_iter());
    assert_eq!((curve[0], curve[1]), (1.0, 0.0), "it is predicted at threshold 0 alone");
}

#[test]
fn files_of_a_folder_are_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    for step in [0, 5, 9] {
        EventFile::create(dir.path(), step).unwrap().flush().unwrap();
    }
    let mut files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let starts = files.iter().map(|path| {
        let bytes = std::fs::read(path).unwrap();
        let events: Vec<Event> = records(&bytes).into_iter().map(|r| Event::decode(r).unwrap()).collect();
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".to_owned())));
        events.get(1).map(|event| event.step)
    });
    assert_eq!(starts.collect::<Vec<_>>(), [None, Some(5), Some(9)], "the first has nothing to drop");
}

#[test]
fn the_commonest_labels_have_curves() {
    let labels = LABELS + 3;
    let targets: Vec<f32> =
        (0..2 * labels).map(|i| if i < 4 || i >= labels && i % labels > 1 { 1.0 } else { 0.0 }).collect();
    let (scores, mask) = (vec![0.5; 2 * labels], vec![1.0; 2 * labels]);
    let scores = Scores::new(&scores, &targets, &mask, labels).unwrap();
    // 2 and 3 twice, all others once: of these the first.
    let expected: Vec<usize> = (0..LABELS).collect();
    assert_eq!(commonest(&scores), expected);
    let only_last = targets.iter().enumerate().map(|(i, _)| if i % labels > 2 { 1.0 } else { 0.0 });
    let targets: Vec<f32> = only_last.collect();
    let half = vec![0.5; 2 * labels];
    let scores = Scores::new(&half, &targets, &mask, labels).unwrap();
    assert_eq!(commonest(&scores), (3..labels).collect::<Vec<_>>());
}
