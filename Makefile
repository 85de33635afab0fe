# `make run` and `make test` are all that a newcomer needs.

.PHONY: run test lint contract bench sqlx openapi generated

ARGS ?=

# Installs the PostgreSQL server package if its binaries are missing, builds, and serves.
run:
	@scripts/need-postgres
	cargo build --release
	@exec ./target/release/clinicd serve $(ARGS)

# Everything, in parallel, on a private PostgreSQL that the run starts and stops.
test:
	@env -u DATABASE_URL scripts/need-postgres
	scripts/with-postgres scripts/cargo-test

# Formatting and clippy. It also checks that .sqlx is what the statements say.
lint:
	@env -u DATABASE_URL scripts/need-postgres
	cargo fmt --check
	scripts/with-postgres scripts/sqlx-prepare --check

# The contract under the tools of those who use it: linters, client generators, a browser, a fuzzer, seeded faults.
contract:
	@scripts/contract $(ARGS)

# The server under load beside bare SQL: a table and a picture of ratios.
bench:
	@scripts/bench $(ARGS)

# Writes what is generated: .sqlx from the statements, the contract, the policy's matrix.
generated: sqlx openapi

sqlx:
	scripts/with-postgres scripts/sqlx-prepare

openapi:
	cargo run --quiet -- openapi > openapi/openapi.json.new && mv openapi/openapi.json.new openapi/openapi.json
	cargo run --quiet -- policy matrix > policies/matrix.txt
