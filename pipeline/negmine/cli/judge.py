"""``negmine judge``."""

from __future__ import annotations

import time

from negmine.cli.engine_options import EngineOptions
from negmine.cli.run import Run
from negmine.cli.run_options import RunOptions
from negmine.stages.judging.settings import JudgeSettings


def judge(*, settings: JudgeSettings, how: RunOptions) -> None:
    """Have a language model say of texts whether they are still true, and plausible; keep those that are as offered.

    Examples:

        negmine judge qwen --name qwen-judged --llm-url http://127.0.0.1:8000/v1 --llm-model Qwen/Qwen3-8B

        negmine judge qwen --name qwen-seen --pictures --llm-url http://127.0.0.1:8000/v1 --llm-model Qwen/Qwen3-VL-8B
    """
    from negmine.stages.judging.stage import judge as ask_about
    from negmine.stages.judging.summary import summary
    from negmine.store.work_folder import load_pairs

    started, engine = time.monotonic(), EngineOptions().start()
    made = ask_about(settings, how.work, engine, overwrite=how.overwrite)
    Run(how.work, engine, load_pairs(how.work), started, how).show(summary(made, settings, how.work))
