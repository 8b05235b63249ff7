"""Writes a catalogue as NDJSON, which `gatherum import ndjson -` reads: `python3 bench/generate.py M | gatherum import ndjson -`.

Sizes of collections are skewed: the collection of rank r has largest / r ** SKEW members. The same size gives the same
bytes everywhere.
"""
import argparse
import datetime
import json
import random
import sys
from dataclasses import dataclass

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
EPOCH = datetime.datetime(2026, 1, 1)
TYPES = ("skill", "command", "agent")
# A collection has fewer groups than this.
GROUPS_MAX = 4
# Coprime with every number of artifacts below, so that a collection meets no artifact twice.
STRIDES = (1, 3, 7, 9, 11, 13, 17, 19, 21, 23, 27, 29)


@dataclass(frozen=True)
class Size:
    """How large a catalogue is; memberships follow from the skew: about 300,000 in M, about 5,000,000 in L."""

    artifacts: int
    collections: int
    largest: int
    skew: float


SIZES = {
    "S": Size(artifacts=1_000, collections=50, largest=500, skew=0.8),
    "M": Size(artifacts=100_000, collections=5_000, largest=10_000, skew=0.75),
    "L": Size(artifacts=1_000_000, collections=50_000, largest=1_000_000, skew=1.2),
}


def bits(number):
    """A UUID that ends with the number."""
    return 0x0190_0000_0000_7000_8000_0000 << 32 | number


def type_id(prefix, number):
    """The UUID as gatherum writes it."""
    return prefix + "_" + "".join(ALPHABET[bits(number) >> place * 5 & 31] for place in range(25, -1, -1))


def time(seconds):
    return (EPOCH + datetime.timedelta(seconds=seconds)).isoformat() + "Z"


def collection_sizes(size):
    """Members of each collection: skewed by rank, and the ranks shuffled, so that no order of a list is that of sizes."""
    sizes = [max(1, round(size.largest / rank**size.skew)) for rank in range(1, size.collections + 1)]
    random.Random(1).shuffle(sizes)
    return sizes


def members(size, collection, count):
    """Numbers of the artifacts in a collection, all different, spread over the catalogue."""
    start, stride = collection * 7_919, STRIDES[collection % len(STRIDES)]
    return ((start + place * stride) % size.artifacts for place in range(count))


def records(size):
    """Everything in the catalogue, in the order in which an import wants it."""
    yield {"record": "gatherum", "format": 1}
    for n in range(size.artifacts):
        yield {
            "record": "artifact",
            "id": type_id("artifact", n),
            "type": TYPES[n % len(TYPES)],
            "name": f"artifact {n}",
            "description": "What it is for, in some words that say little but take their place.",
            "author": f"author {n % 97}",
            "created_at": time(n),
            "updated_at": time(n),
        }
    for n in range(size.collections):
        yield {
            "record": "collection",
            "id": type_id("collection", n),
            "name": f"collection {n}",
            "created_at": time(n),
            "updated_at": time(n),
        }
        for place in range(n % GROUPS_MAX):
            yield {
                "record": "group",
                "id": type_id("group", n * GROUPS_MAX + place),
                "collection": type_id("collection", n),
                "name": f"group {place}",
                "position": place,
                "created_at": time(n),
                "updated_at": time(n),
            }
    for collection, count in enumerate(collection_sizes(size)):
        for place, artifact in enumerate(members(size, collection, count)):
            yield {
                "record": "membership",
                "collection": type_id("collection", collection),
                "artifact": type_id("artifact", artifact),
                "position": place,
                "added_at": time(place),
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=SIZES)
    encode = json.JSONEncoder(separators=(",", ":")).encode
    for record in records(SIZES[parser.parse_args().size]):
        sys.stdout.write(encode(record) + "\n")


if __name__ == "__main__":
    main()
