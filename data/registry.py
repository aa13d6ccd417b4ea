"""The datasets by name."""

from __future__ import annotations

from synthworth.registry import BuiltIn, Registry

datasets = Registry(
    "dataset",
    "synthworth.datasets",
    {
        "phantom": BuiltIn(
            "data.datasets.phantom.dataset:Phantom", "chest films rendered from an anatomical model; needs no download"
        ),
        "digits": BuiltIn(
            "data.datasets.digits:Digits", "scikit-learn's 1,797 handwritten digits, 8 px enlarged; real, tiny"
        ),
        "medmnist": BuiltIn(
            "data.datasets.medmnist.dataset:MedMNIST", "every 2D set of MedMNIST v2 at 28 to 224 px, or a local npz"
        ),
        "nih": BuiltIn(
            "data.datasets.nih.dataset:NIH",
            "NIH ChestX-ray14, whole or in part: five tasks, patient or official splits",
        ),
        "dicom": BuiltIn(
            "data.datasets.dicom.dataset:Dicom",
            "a folder of DICOM films: class folders or a table, patients from the headers",
        ),
        "folder": BuiltIn(
            "data.datasets.folder.dataset:Folder", "your own images: class folders, or a CSV or parquet table"
        ),
    },
)
register = datasets.register
NEEDS = ("version", "source", "prepare", "load")
"""What a dataset cannot do without, beside its Config."""
