#!/usr/bin/env python3
"""Event files by the `tensorboard` package: the bytes that our writer must give, and a run of ours read back.

usage: tensorboard_events.py fixture OUT       (crates/mlcls-train/tests/fixtures/tensorboard)
       tensorboard_events.py read RUN          (a run that was trained with --tensorboard --set log.every=1)
needs: tensorboard, torch, numpy (versions are printed, and written into the fixture)

fixture writes events.bin, the records of a fixed list of events as tensorboard's own RecordWriter frames them (the list stands
below and in `tensorboard/tests.rs`), and pr_curve.json, a curve with unknown entries by torch.utils.tensorboard
(tensorboard's own function for it wants TensorFlow).

read loads the runs `train`, `val` and `val_ema` with EventAccumulator and compares: the validations with every row of metrics.csv
(to float32), the learning rate at the end of each epoch with its row, the mean loss of the steps of each epoch with the row's (equal
batches and no unknown labels, else they differ), steps without gaps or doubles, and each PR curve with itself: counts that add up
to one number of entries, precision and recall by the counts, and the micro curve at 0.5 (the default of eval.threshold) with the OF1
of its validation.
"""
import csv
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.pr_curve import plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_ndarray
from torch.utils.tensorboard.summary import pr_curve

VERSIONS = {p: importlib.metadata.version(p) for p in ["tensorboard", "numpy", "protobuf", "torch"]}
POINTS = 101


def fixed_events():
    """One of each kind that we write."""
    value = summary_pb2.Summary.Value
    yield event_pb2.Event(wall_time=1.5e9, file_version="brain.Event:2")
    session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    yield event_pb2.Event(wall_time=1.5e9, step=7, session_log=session)
    scalars = [value(tag="loss", simple_value=0.25), value(tag="mAP", simple_value=0.0)]
    yield event_pb2.Event(wall_time=1.5e9 + 0.5, step=300, summary=summary_pb2.Summary(value=scalars))
    image = summary_pb2.Summary.Image(height=2, width=3, colorspace=3, encoded_image_string=b"\x89PNG")
    images = [value(tag="images/0", image=image)]
    yield event_pb2.Event(wall_time=1.5e9 + 1, summary=summary_pb2.Summary(value=images))
    plugin = plugin_data_pb2.PrCurvePluginData(version=0, num_thresholds=POINTS)
    dim = [tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in (6, POINTS)]
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_FLOAT,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=dim),
        tensor_content=np.arange(6 * POINTS, dtype="<f4").tobytes(),
    )
    data = summary_pb2.SummaryMetadata.PluginData(plugin_name="pr_curves", content=plugin.SerializeToString())
    metadata = summary_pb2.SummaryMetadata(plugin_data=data, display_name="PR/micro")
    curve = [value(tag="PR/micro", metadata=metadata, tensor=tensor)]
    yield event_pb2.Event(wall_time=1.5e9 + 2, step=300, summary=summary_pb2.Summary(value=curve))


def fixture(out):
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "events.bin", "wb") as file:
        writer = RecordWriter(file)
        for event in fixed_events():
            writer.write(event.SerializeToString())
    rng = np.random.default_rng(5)
    answers = rng.integers(-1, 2, 400)  # -1 is unknown
    scores = np.clip(0.5 + 0.2 * answers + 0.3 * rng.standard_normal(400), 0, 1).astype(np.float32)
    scores[:4] = [0, 1, 0.5, 0.29]
    known = (answers >= 0).astype(float)
    made = pr_curve("curve", answers == 1, scores, num_thresholds=POINTS, weights=known)
    curve = make_ndarray(made.value[0].tensor)
    assert curve.shape == (6, POINTS)
    data = {
        "versions": VERSIONS,
        "scores": [float(v) for v in scores],
        "answers": answers.tolist(),
        "curve": [float(v) for v in curve.ravel()],
    }
    (out / "pr_curve.json").write_text(json.dumps(data) + "\n")
    print(f"wrote {out}/events.bin and pr_curve.json with {VERSIONS}")


def load(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "images": 0})
    return events.Reload()


def scalars(events, tag):
    """Values by step; a step that is there twice is an error."""
    points = [(p.step, p.value) for p in events.Scalars(tag)]
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps)), f"{tag}: steps {steps}"
    return dict(points)


def check_curves(events, steps):
    tags = events.PluginTagToContent("pr_curves")
    micro = {}
    for tag, content in tags.items():
        data = plugin_data_pb2.PrCurvePluginData.FromString(content)
        assert data.num_thresholds == POINTS and data.version == 0, data
        points = events.Tensors(tag)
        assert [p.step for p in points] == steps, (tag, [p.step for p in points])
        for point in points:
            tp, fp, tn, fn, precision, recall = make_ndarray(point.tensor_proto).astype(np.float64)
            assert np.ptp(tp + fp + tn + fn) == 0 and np.ptp(tp + fn) == 0, tag
            assert np.allclose(precision, tp / np.maximum(tp + fp, 1e-7)), tag
            assert np.allclose(recall, tp / np.maximum(tp + fn, 1e-7)), tag
            if tag == "PR/micro":
                p, r = precision[(POINTS - 1) // 2], recall[(POINTS - 1) // 2]
                micro[point.step] = 100 * 2 * p * r / max(p + r, 1e-7)
    return len(tags), micro


def read(run):
    rows = list(csv.DictReader(open(run / "metrics.csv")))
    folder = run / "tensorboard"
    print(f"{run.name}: {len(rows)} rows of metrics.csv; files {sum(1 for _ in folder.rglob('events*'))}; {VERSIONS}")
    train = load(folder / "train")
    losses, rates = scalars(train, "loss"), scalars(train, "lr")
    assert list(losses) == list(range(1, len(losses) + 1)), "train it with --set log.every=1"
    epochs = [row for row in rows if row["epoch"] != "0"]
    per_epoch = len(losses) // len(epochs)
    end = {row["epoch"]: int(row["epoch"]) * per_epoch for row in rows}
    off = {"lr": 0.0, "train_loss": 0.0}
    for row in epochs:
        last = end[row["epoch"]]
        mean = np.mean([losses[step] for step in range(last - per_epoch + 1, last + 1)])
        off["lr"] = max(off["lr"], abs(rates[last] / float(row["lr"]) - 1))
        off["train_loss"] = max(off["train_loss"], abs(mean / float(row["train_loss"]) - 1))
    images = [tag for tag in train.Tags()["images"] if tag.startswith("images/")]
    assert images and all([i.step for i in train.Images(tag)] == [0] for tag in images), images
    columns = {"loss": "val_loss", "mAP": "mAP", "CF1": "CF1", "OF1": "OF1", "accuracy": "accuracy"}
    for name in ("val", "val_ema"):
        if not (folder / name).exists():
            continue
        val = load(folder / name)
        wanted = {"mAP": "ema_mAP"} if name == "val_ema" else columns
        for tag, column in wanted.items():
            expected = {end[row["epoch"]]: float(row[column]) for row in rows if row[column]}
            found = scalars(val, tag)
            assert list(found) == list(expected), (name, tag, list(found), list(expected))
            worst = max(abs(found[step] - value) for step, value in expected.items())
            off[f"{name}/{tag}"] = worst
        curves, micro = check_curves(val, list(scalars(val, "mAP")))
        of1 = scalars(val, "OF1")
        off[f"{name}/OF1 of the micro curve"] = max(abs(micro[step] - value) for step, value in of1.items())
        print(f"  {name}: {len(of1)} validations, {curves} PR curves each")
    print(f"  train: {len(losses)} steps, {len(images)} images")
    print("  greatest differences: " + ", ".join(f"{key} {value:.1e}" for key, value in off.items()))
    loose = {"train_loss": 1e-2}  # the last batch of an epoch may be smaller
    bad = {key: value for key, value in off.items() if value > loose.get(key, 1e-5)}
    print(f"FAILED: {bad}" if bad else "  all within limits")
    sys.exit(bool(bad))


if len(sys.argv) != 3 or sys.argv[1] not in ("fixture", "read"):
    sys.exit(__doc__)
{"fixture": fixture, "read": read}[sys.argv[1]](Path(sys.argv[2]))
