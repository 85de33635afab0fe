# To start, you need only `make run` and `make test`.

.PHONY: run test lint contract bench sqlx openapi generated

ARGS ?=

# Installs the PostgreSQL server package if its binaries are missing, builds, and serves.
run:
	@scripts/need-postgres
	cargo build --release
	@exec ./target/release/clinicd serve $(ARGS)

# Runs all tests in parallel on a private PostgreSQL, which it starts and stops.
test:
	@env -u DATABASE_URL scripts/need-postgres
	scripts/with-postgres scripts/cargo-test

# Checks formatting and clippy, and that .sqlx matches the statements.
lint:
	@env -u DATABASE_URL scripts/need-postgres
	cargo fmt --check
	scripts/with-postgres scripts/sqlx-prepare --check

# Checks the contract with linters, client generators, a browser, a fuzzer, and seeded faults.
contract:
	@scripts/contract $(ARGS)

# Compares the server under load with bare SQL. Writes a table and a chart of ratios.
bench:
	@scripts/bench $(ARGS)

# Writes the generated files: .sqlx from the statements, the contract, and the policy's matrix.
generated: sqlx openapi

sqlx:
	scripts/with-postgres scripts/sqlx-prepare

openapi:
	cargo run --quiet -- openapi > openapi/openapi.json.new && mv openapi/openapi.json.new openapi/openapi.json
	cargo run --quiet -- policy matrix > policies/matrix.txt
