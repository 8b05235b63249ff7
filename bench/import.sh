#!/usr/bin/env bash
# Imports 100,000 artifacts with about 300,000 memberships from NDJSON into SQLite and PostgreSQL. Beside it the databases
# write the same rows themselves: SQLite from another file, PostgreSQL by COPY; keys and triggers in place on all sides.
#
#   just dist && bench/import.sh [postgres://user@host:port]
set -euo pipefail
cd "$(dirname "$0")/.."
server=${1:-postgres://postgres@127.0.0.1:5432}
gatherum=$(realpath "${CARGO_TARGET_DIR:-target}/dist/gatherum")
work=$(mktemp -d)
trap 'rm -rf "$work"; for name in gatherum_bench_a gatherum_bench_b; do psql -q "$server/postgres" -c "drop database if exists $name"; done' EXIT
export LOG_LEVEL=warn

timed() { # label, command …
  local label=$1 start end
  shift
  start=$(date +%s.%N)
  "$@" >/dev/null 2>&1
  end=$(date +%s.%N)
  printf '%-32s %6.1f s\n' "$label" "$(echo "$end - $start" | bc)"
}

python3 bench/generate.py M >"$work/catalogue.ndjson"
wc -l <"$work/catalogue.ndjson"
for name in gatherum_bench_a gatherum_bench_b; do
  psql -q "$server/postgres" -c "drop database if exists $name" -c "create database $name" 2>/dev/null
done
timed "import, SQLite" env DATABASE_URL="sqlite://$work/bench.db" "$gatherum" import ndjson "$work/catalogue.ndjson"
python3 -m venv "$work/python" && "$work/python/bin/pip" install --quiet apsw==3.54.1.0
DATABASE_URL="sqlite://$work/bulk.db" "$gatherum" migrate up >/dev/null
timed "SQLite, the same rows" "$work/python/bin/python" bench/sqlite_bulk.py "$work/bench.db" "$work/bulk.db"
timed "import, PostgreSQL" env DATABASE_URL="$server/gatherum_bench_a" "$gatherum" import ndjson "$work/catalogue.ndjson"
pg_dump --data-only -t artifacts -t collections -t collection_artifacts "$server/gatherum_bench_a" >"$work/rows.sql"
DATABASE_URL="$server/gatherum_bench_b" "$gatherum" migrate up >/dev/null
timed "PostgreSQL, COPY of the rows" psql -q1 "$server/gatherum_bench_b" -f "$work/rows.sql"
