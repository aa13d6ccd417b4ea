# What `synthworth.api` offers, for editors and type checkers; `tests/test_api.py` holds it to the table there.
from collections.abc import Callable
from typing import TypeVar

from benchmarks.check.kinds import check_plugin as check_plugin
from benchmarks.check.kinds import parametrize_with_checks as parametrize_with_checks
from benchmarks.metrics.extractors.base import Extractor as Extractor
from benchmarks.metrics.value import Value as Value
from classifiers.base import Classifier as Classifier
from data.base import BaseDataset as BaseDataset
from data.base import Dataset as Dataset
from data.images import ImageSet as ImageSet
from data.images import Split as Split
from data.images import require_train as require_train
from data.mixing import SyntheticSet as SyntheticSet
from data.mixing import TrainingMix as TrainingMix
from data.splits.by_patient import split_by_patient as split_by_patient
from generators.base import BaseGenerator as BaseGenerator
from generators.base import Generator as Generator
from generators.noise import draw_chunks as draw_chunks
from generators.options import BatchConfig as BatchConfig
from generators.per_class import PerClass as PerClass
from generators.snapshots import Snapshots as Snapshots
from generators.training import Trainer as Trainer
from synthworth.artifacts import read_array as read_array
from synthworth.artifacts import read_json as read_json
from synthworth.artifacts import read_tensors as read_tensors
from synthworth.artifacts import write_array as write_array
from synthworth.artifacts import write_json as write_json
from synthworth.artifacts import write_tensors as write_tensors
from synthworth.cost import Operations as Operations
from synthworth.cost import PlannedPhase as PlannedPhase
from synthworth.devices import isolated_randomness as isolated_randomness
from synthworth.errors import Diverged as Diverged
from synthworth.errors import Unavailable as Unavailable
from synthworth.errors import UserError as UserError
from synthworth.images import from_signed as from_signed
from synthworth.images import to_rgb as to_rgb
from synthworth.images import to_signed as to_signed
from synthworth.images import to_unit as to_unit
from synthworth.keys import NOT_IDENTITY as NOT_IDENTITY
from synthworth.keys import seed_from as seed_from
from synthworth.search_space import Between as Between
from synthworth.search_space import OneOf as OneOf
from synthworth.search_space import searched as searched
from synthworth.search_space import searched_inside as searched_inside
from synthworth.training.loop import run_steps as run_steps
from synthworth.training.near import Resident as Resident
from synthworth.training.networks import count_parameters as count_parameters
from synthworth.training.order import BatchOrder as BatchOrder
from synthworth.training.reports import report_phases as report_phases
from synthworth.work import Budget as Budget
from synthworth.work import FitReport as FitReport
from synthworth.work import Work as Work

Plugin = TypeVar("Plugin")

REGISTRIES: dict[str, str]
WHERE: dict[str, str]

class Register:
    def generator(self, name: str) -> Callable[[Plugin], Plugin]: ...
    def dataset(self, name: str) -> Callable[[Plugin], Plugin]: ...
    def classifier(self, name: str) -> Callable[[Plugin], Plugin]: ...
    def metric(self, name: str) -> Callable[[Plugin], Plugin]: ...
    def extractor(self, name: str) -> Callable[[Plugin], Plugin]: ...
    def filter(self, name: str) -> Callable[[Plugin], Plugin]: ...

register: Register
