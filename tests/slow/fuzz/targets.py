"""`python -m tests.slow.fuzz.targets TARGET FOLDER [options of libFuzzer]`: a test of Hypothesis
with input that atheris makes, or input that is played again, if files are named after the folder.

Coverage-guided: bridge's and the console program's code is instrumented, and what reaches a new
line of it is kept and changed further. What it finds is left in FOLDER, and so is what it has
learned, for the next time. Hypothesis keeps it as well, and prints it when its test is run again.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

TARGETS = {
    "api_event": "test_handlers.test_no_event_ends_in_a_5xx",
    "body": "test_handlers.test_no_body_that_a_flow_posts_ends_in_a_5xx",
    "salesforce_answer": "test_handlers."
    "test_no_answer_of_salesforce_s_loses_a_record_and_a_look_up_is_404_or_try_again",
    "readers": "test_handlers."
    "test_each_reader_answers_or_raises_a_salesforce_problem_and_invents_no_record",
    "sqs_batch": "test_delivery.test_every_message_is_accounted_for",
    "token_answer": "test_refresh.test_what_salesforce_rotated_is_kept_whatever_aws_refuses",
    "stored_values": "test_refresh.test_nothing_costs_the_connection",
    "envelope": "test_rejected.test_everything_in_rejected_is_listed_and_shown",
}
"""The tests, by names for people."""


def main() -> None:
    """Fuzz; a crash ends it with a status that is not 0, and leaves its input in the folder."""
    import atheris

    name, folder, *options = sys.argv[1:]
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "bird-salesforce")
    os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
    module, _, test = TARGETS[name].partition(".")
    with atheris.instrument_imports(include=["bridge", "cli"]):
        found = getattr(importlib.import_module(f"tests.slow.fuzz.{module}"), test)
    arguments = [sys.argv[0], f"-artifact_prefix={folder}/", "-timeout=20", "-max_len=8000"]
    arguments += ["-rss_limit_mb=4000", *options]
    if all(option.startswith("-") for option in options):
        grown = Path(folder) / "grown"
        grown.mkdir(parents=True, exist_ok=True)
        arguments.append(str(grown))  # else these inputs are played, once
    # Standard output is the functions' log; the fuzzer speaks on standard error.
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    atheris.Setup(arguments, found.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
