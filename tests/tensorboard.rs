//! `mlcls train --tensorboard`: the files, what is said of them, and a run that goes on.

use std::fs;
use std::path::Path;

use crate::util::{mlcls, short_training};

fn files(run: &Path, name: &str) -> Vec<u64> {
    let folder = run.join("tensorboard").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap()).collect();
    files.sort_by_key(|file| file.file_name());
    assert!(files.iter().all(|f| f.file_name().to_string_lossy().starts_with("events.out.tfevents.")));
    files.iter().map(|file| file.metadata().unwrap().len()).collect()
}

#[test]
fn curves_are_written_where_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let text = mlcls(short_training(&run, &["--epochs", "1", "--tensorboard"])).ok().stdout;
    assert!(text.contains(&format!("tensorboard --logdir {}", run.join("tensorboard").display())), "{text}");
    assert!(fs::read_to_string(run.join("config.yaml")).unwrap().contains("tensorboard: true"));
    assert_eq!((files(&run, "train").len(), files(&run, "val").len()), (1, 1));
    // A curve of 6 rows of 101 numbers for each of 6 labels and for all.
    assert!(files(&run, "val")[0] > 7 * 6 * 101 * 4);
    assert!(run.join("metrics.csv").is_file());

    let done = mlcls(["train", "--resume", &run.display().to_string(), "--tensorboard"]);
    assert_eq!(done.code, Some(2), "the run's own settings hold: {done:?}");

    let plain = dir.path().join("plain");
    mlcls(short_training(&plain, &["--epochs", "1"])).ok();
    assert!(!plain.join("tensorboard").exists());
}
