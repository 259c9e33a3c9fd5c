# What one does with pgbackrest-guard's source. `make help` lists it.
#
# The demo, the tests and the benchmark run the real PostgreSQL and the real pgBackRest in throw-away folders under /tmp;
# `deps` sees to it that they are installed.

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)
HAS_NEXTEST = $(CARGO) nextest --version >/dev/null 2>&1

RELEASE = $(TARGET)/dist

.PHONY: help demo test lint release bench deps

help:
	@echo 'make demo     show what happens when a repository fails (a minute after the build)'
	@echo 'make test     run all tests'
	@echo 'make lint     check formatting and clippy'
	@echo 'make release  build the programs to install, into $(RELEASE)'
	@echo 'make bench    measure speed and size beside bare pgBackRest (about four minutes)'
	@echo 'make deps     install PostgreSQL, pgBackRest and a C compiler if they are missing (as root)'

demo: deps
	$(CARGO) build --quiet --bins --example demo
	@$(TARGET)/debug/examples/demo

test: deps
	@if $(HAS_NEXTEST); then \
		echo '$(CARGO) nextest run --workspace'; $(CARGO) nextest run --workspace; \
	else \
		echo '$(CARGO) test --workspace'; $(CARGO) test --workspace; \
	fi

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# push and get are started once for each segment, and the dynamic linker would take a quarter of their time: they are
# linked statically.
release:
	$(CARGO) build --release --bins
	mkdir -p $(RELEASE)
	cp $(TARGET)/release/pgbackrest-guard $(RELEASE)/
	$(CARGO) rustc --release --bin pgbackrest-guard-push -- -C target-feature=+crt-static -C relocation-model=static
	$(CARGO) rustc --release --bin pgbackrest-guard-get -- -C target-feature=+crt-static -C relocation-model=static
	cp $(TARGET)/release/pgbackrest-guard-push $(TARGET)/release/pgbackrest-guard-get $(RELEASE)/

bench: deps release
	PGBACKREST_GUARD_RELEASE=$(abspath $(RELEASE)) $(CARGO) bench --bench speed --bench status

# PostgreSQL's programs lie outside PATH on Debian; the tests look for them where Debian puts them.
deps:
	@missing=''; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v pgbackrest >/dev/null || missing="$$missing pgbackrest"; \
	command -v cc >/dev/null || missing="$$missing build-essential"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
		echo "missing:$$missing; on Debian: sudo apt-get install$$missing" >&2; exit 1; \
	fi; \
	apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $$missing
