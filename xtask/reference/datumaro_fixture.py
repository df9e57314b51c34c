"""Annotation files as Datumaro itself writes them, for crates/mlcls-data/tests/formats/reference.rs.

    python xtask/reference/datumaro_fixture.py crates/mlcls-data/tests/fixtures/datumaro [FOLDER]

Made with Datumaro 1.13.12, Python 3.11. With a FOLDER, it also reads the data set there and prints split, id
and label names of every item: what OTX sees of a data set that mlcls wrote.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from datumaro.components.annotation import Bbox, Label
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image

LABELS = ["bird", "cat", "zebra crossing"]


def item(id, subset, annotations, attributes=None):
    pixels = np.full((6, 8, 3), 90, dtype=np.uint8)
    return DatasetItem(
        id=id,
        subset=subset,
        media=Image.from_numpy(data=pixels, ext=".png"),
        annotations=annotations,
        attributes=attributes or {},
    )


def write(folder):
    dataset = Dataset.from_iterable(
        [
            item("one", "train", [Label(0)]),
            item("two", "train", [Label(2), Label(0), Label(2)]),
            item("none", "train", [], {"has_empty_label": True}),
            item("box", "train", [Bbox(1, 1, 3, 3, label=1), Label(1)]),
            item("sub/deep", "val", [Label(0), Label(1), Label(2)]),
            item("ignored", "val", [Label(0)], {"ignored_labels": ["cat", 2]}),
        ],
        categories=LABELS,
    )
    shutil.rmtree(folder, ignore_errors=True)
    dataset.export(str(folder), "datumaro", save_media=True)


def show(folder):
    dataset = Dataset.import_from(str(folder), "datumaro")
    names = [label.name for label in dataset.categories()[next(iter(dataset.categories()))]]
    for found in dataset:
        labels = [names[a.label] for a in found.annotations]
        print(found.subset, found.id, Path(found.media.path).is_file(), labels, dict(found.attributes))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        show(Path(sys.argv[2]))
