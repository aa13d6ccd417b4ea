"""A hundred hostile records: no traceback, nothing that steers a terminal or a page, every changed byte named.

`python tests/chaos/records.py` tries thousands, and on more arms.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.records import Trial, run


@pytest.mark.slow
def test_no_record_and_no_predictions_end_in_a_traceback_or_in_silence(tmp_path: Path) -> None:
    trial = Trial(tmp_path, arms=("none", "duplicate add 1", "holdout_real add 1"), every=30)
    run(trial, 100, start=7)
    assert trial.n >= 100
    assert {outcome.partition(":")[0] for outcome in trial.outcomes} == {"record", "text", "flip", "predictions"}
