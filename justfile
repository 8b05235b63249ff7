# Format, lints, tests.
check:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings
    cargo test

# Serve the demo catalogue.
run:
    cargo run -- --demo

# Build target/dist/gatherum with all optimisations, for benchmarks, packages and images.
dist:
    cargo build --profile dist --features jemalloc --locked

# Write schema.graphql and gatherum.example.toml after a change of the schema or the settings.
schema:
    cargo run --quiet -- schema > schema.graphql.new && mv schema.graphql.new schema.graphql
    cargo run --quiet -- config example > gatherum.example.toml.new && mv gatherum.example.toml.new gatherum.example.toml

# Run the cases and accept their snapshots.
cases:
    INSTA_UPDATE=always cargo test --test it cases

# Change the code in many small ways and list the changes that no test notices; docs/mutation-testing.md has the result.
mutants:
    cargo mutants -p gatherum-engine --timeout 20 -- --lib --test it
    cargo mutants -p gatherum --test-package gatherum --timeout 300 \
        -f src/catalog/policy.rs -f src/catalog/order.rs -f src/graphql/load_cache.rs \
        -- --lib --test it -- policy order cases visibility permissions load_cache

# Compare the engine with async-graphql's executor; crates/engine/README.md has the result.
bench-engine:
    cargo bench -p gatherum-engine
