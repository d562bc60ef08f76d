"""`python -m tests.slow.fuzz.atheris_run TARGET FOLDER [options of libFuzzer]`: fuzz one, or play
inputs again, if files are named after the folder.

What it finds is left in FOLDER, and so is what it has learned, for the next time.

Coverage-guided: bridge's and the console program's code is instrumented, and what reaches a new
line of it is kept and changed further. Half of the changes are made to the JSON in the text, so
that they get past its parser. `make fuzz` runs all targets.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["bridge", "cli"]):
    from tests.slow.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 200, 201, 10**30, 1e308, float("nan"), float("inf"), "", " ", "{{x}}",
    "\ud83d", "\r\n", "a" * 300, "Lead", "Case", "Bird_Key__c", "00Q8d0000000001AAA", "zażółć 🎈",
    "INVALID_SESSION_ID", "DUPLICATE_VALUE", "NOT_FOUND", [], {}, [[]], [None], {"": None}, [1, ""],
)  # fmt: skip
JSON_BEGINS = re.compile(r"[\[{]")


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for name, part in inner:
        yield from _places(part, (*path, name))


def _changed(value: Any, chance: random.Random) -> Any:
    """The JSON with one place of it changed: something odd put there, taken away, or doubled."""
    places = list(_places(value))
    path = chance.choice(places)
    odd = chance.choice(ODD)
    if not path:
        return odd if chance.random() < 0.1 else {"a": value} if chance.random() < 0.2 else value
    holder = value
    for name in path[:-1]:
        holder = holder[name]
    last = path[-1]
    how = chance.randrange(5)
    if how == 0 and isinstance(holder, dict):
        del holder[last]
    elif how == 1 and isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), holder[last])
    elif how == 2 and isinstance(holder[last], str):
        holder[last] += str(odd)
    elif how == 3:
        other = chance.choice(places)
        found: Any = value
        for name in other:
            found = found[name]
        holder[last] = json.loads(json.dumps(found))
    else:
        holder[last] = odd
    return value


def change(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own change of the bytes, or one of the JSON in them."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        text = data.decode("utf-8", "surrogateescape")
        starts = [match.start() for match in JSON_BEGINS.finditer(text)][:50]
        chance.shuffle(starts)
        for start in starts[:3]:
            try:
                value, end = json.JSONDecoder().raw_decode(text, start)
                changed = json.dumps(_changed(value, chance), ensure_ascii=chance.random() < 0.9)
            except (ValueError, RecursionError):
                continue
            made = text[:start] + changed + text[end:]
            return made.encode("utf-8", "replace")[:max_size]
    return bytes(atheris.Mutate(data, max_size))


def main() -> None:
    """Fuzz; a crash ends it with a status that is not 0, and leaves its input in the folder."""
    name, folder, *options = sys.argv[1:]
    grown = Path(folder) / "grown"
    grown.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-artifact_prefix={folder}/",
        f"-dict={CORPUS / 'words.dict'}",
        "-timeout=20",
        "-max_len=8000",
        "-rss_limit_mb=4000",
        *options,
    ]
    if all(option.startswith("-") for option in options):
        arguments += [str(grown), str(CORPUS / name)]  # else these inputs are played, once
    # Standard output is the functions' log; the fuzzer speaks on standard error.
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "bird-salesforce")
    os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "BirdSalesforce")
    atheris.Setup(arguments, TARGETS[name], custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
