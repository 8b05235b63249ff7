"""Copies the rows of one catalogue file into another, migrated one, by SQLite itself: one statement for each table, in one
transaction, keys, indexes and triggers in place. Needs apsw, which brings a SQLite new enough for the search tables."""
import sys

import apsw

TABLES = ("artifacts", "collections", "collection_artifacts")


def main(source, target):
    connection = apsw.Connection(target)
    connection.execute("pragma foreign_keys = on; pragma synchronous = full; pragma cache_size = -65536")
    connection.execute("attach ? as source", (source,))
    with connection:
        for table in TABLES:
            columns = [name for (_, name, *_) in connection.execute(f"pragma source.table_info({table})")]
            names = ", ".join(columns)
            connection.execute(f"insert into main.{table} ({names}) select {names} from source.{table}")
    connection.execute("pragma wal_checkpoint(truncate)")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
