"""The labelled folder that a model was trained on → which sources these are, in its model.json; export.py writes them. For a model that was made
before: python sources.py ../models/old-1 ../photos

Workers take it for another model then: do it before it is promoted.
"""

import argparse
import hashlib
import json
from pathlib import Path

from data import read_labels

MOST_SOURCES = 5_000  # of a model.json that people read


def source_hashes(labels: list[dict]) -> list[str]:
    """By which `maitred evaluate` and `model promote` tell that photos are of sources that a model knows. Of very many there are none."""
    sources = {label["source"] for label in labels}
    return sorted(hashlib.sha256(source.encode()).hexdigest()[:8] for source in sources) if len(sources) <= MOST_SOURCES else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("photos", type=Path, help="the labelled folder, as it was: the hash of its labels.jsonl is in model.json")
    args = parser.parse_args()
    file = args.model / "model.json"
    about = json.loads(file.read_text())
    known = about["trainedFrom"]
    known["sourceHashes"] = source_hashes(read_labels(args.photos, sha256=known["labelsSha256"]))
    file.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
