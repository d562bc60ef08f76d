"""`make check`: writes template.yaml as plain CloudFormation, which is what Checkov can judge.

    python .ci/plain_template.py FOLDER

Checkov evaluates neither SAM nor conditions: of template.yaml as it stands it judges a third of the
resources and lets every `!If` pass. So two deployments are written with everything resolved: one
with the default parameters, one with another value of every parameter, so that all conditions hold.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.contract.deployments import EVERYTHING, deploy


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, parameters in {"defaults": {}, "everything": EVERYTHING}.items():
        made = deploy(**parameters)
        resources = {
            logical_id: {"Type": one["Type"], "Properties": made.resolve(one.get("Properties", {}))}
            for logical_id, one in made.resources.items()
        }
        template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
        (folder / f"{name}.json").write_text(json.dumps(template), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
