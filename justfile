# The tasks of this repository. `just` lists them.

# Lists the tasks.
default:
    @just --list

# Everything that must pass before a change lands.
ci:
    .ci/run

# All tests, as the README says.
test:
    ./test

# The main job on the embedded default.
quickstart:
    cargo run --example quickstart

# The figures.
bench:
    cargo bench --features testing

# rustfmt and clippy over everything.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
