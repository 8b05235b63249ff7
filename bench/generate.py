"""Writes a catalogue as NDJSON: artifacts, collections, about three memberships for each artifact, one large collection."""
import json
import sys

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
TIME = "2026-01-01T00:00:00Z"


def type_id(prefix, number):
    """A TypeID whose UUID ends with the number."""
    bits = (0x0190_0000_0000_7000_8000_0000 << 32 | number) & (1 << 128) - 1
    return prefix + "_" + "".join(ALPHABET[bits >> place * 5 & 31] for place in range(25, -1, -1))


def write(record):
    json.dump(record, sys.stdout, separators=(",", ":"))
    print()


def main(artifacts, collections):
    write({"record": "gatherum", "format": 1})
    for n in range(artifacts):
        write(
            {
                "record": "artifact",
                "id": type_id("artifact", n),
                "type": ("skill", "command", "agent")[n % 3],
                "name": f"artifact {n}",
                "description": "What it is for, in some words that say little but take their place.",
                "author": f"author {n % 97}",
                "created_at": TIME,
                "updated_at": TIME,
            }
        )
    for n in range(collections):
        write({"record": "collection", "id": type_id("collection", n), "name": f"collection {n}", "created_at": TIME, "updated_at": TIME})
    places = [0] * collections
    for n in range(artifacts):
        for c in {n % collections, (n * 7 + 3) % collections, (n * 13 + 1) % 50}:
            write(
                {
                    "record": "membership",
                    "collection": type_id("collection", c),
                    "artifact": type_id("artifact", n),
                    "position": places[c],
                    "added_at": TIME,
                }
            )
            places[c] += 1


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
