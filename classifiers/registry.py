"""The classifiers by name."""

from __future__ import annotations

from synthworth.registry import BuiltIn, Registry

TIMM = "classifiers.factory:TimmClassifier"
ARCHITECTURES = {
    "resnet10t": "ResNet-10 with a deep stem: half the work of ResNet-18 and half its weights",
    "resnet18": "ResNet-18 (He 2016)",
    "resnet34": "ResNet-34 (He 2016)",
    "resnet50": "ResNet-50 (He 2016)",
    "resnet101": "ResNet-101 (He 2016)",
    "densenet121": "DenseNet-121 (Huang 2017), the chest-film standard",
    "densenet161": "DenseNet-161 (Huang 2017)",
    "densenet169": "DenseNet-169 (Huang 2017)",
    "densenet201": "DenseNet-201 (Huang 2017)",
}

classifiers = Registry(
    "classifier",
    "synthworth.classifiers",
    {
        **{name: BuiltIn(TIMM, f"timm's {what}", {"arch": name}) for name, what in ARCHITECTURES.items()},
        "timm": BuiltIn(TIMM, "any timm ResNet or DenseNet: --clf.arch names it"),
    },
)
register = classifiers.register
NEEDS = ("version", "fit", "predict", "save")
"""What a classifier cannot do without, beside its Config."""
