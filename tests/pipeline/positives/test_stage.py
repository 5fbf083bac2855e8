"""``work/positives`` beside the negatives it was made for."""

from __future__ import annotations

from pathlib import Path

import pytest
from negmine.base.errors import DamagedError
from negmine.engine.local import LocalEngine
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.stages.positives.settings import PositiveSettings
from negmine.stages.positives.stage import make_positives
from negmine.store.work_folder import Stage, WorkFolder

CAPTIONS = Path(__file__).parents[3] / "data/sample/captions.jsonl"


def test_positives_that_answer_the_denials_of_other_negatives_are_refused(tmp_path: Path) -> None:
    engine = LocalEngine(1)
    ingest(IngestSettings(str(CAPTIONS), limit=60), tmp_path, engine)
    parse_pairs(ParseSettings(rules=("negate",), balanced=False), tmp_path, engine)
    make_positives(PositiveSettings(), tmp_path, engine)
    with WorkFolder.open(tmp_path, optional=[Stage.NEGATIVES, Stage.POSITIVES]) as folder:
        assert Stage.POSITIVES in folder.stages
    parse_pairs(ParseSettings(rules=("swap_object",), balanced=False), tmp_path, engine, overwrite=True)
    with (
        pytest.raises(DamagedError, match="beside other negatives"),
        WorkFolder.open(tmp_path, optional=[Stage.NEGATIVES, Stage.POSITIVES]),
    ):
        pass
