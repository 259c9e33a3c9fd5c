# Everything to do with pgbackrest-guard's source. `make help` lists it.
#
# The demo, the tests and the benchmark run the real PostgreSQL and the real pgBackRest in throw-away folders under /tmp;
# `deps` sees to it that they are installed.

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)
HAS_NEXTEST = $(CARGO) nextest --version >/dev/null 2>&1

RELEASE = $(TARGET)/dist
PACKAGES = $(TARGET)/packages

# Of this version, in a folder of its own: nothing is installed for the whole machine.
CARGO_DEB_VERSION = 3.8.0
CARGO_DEB = $(TARGET)/tools/bin/cargo-deb
CARGO_GENERATE_RPM_VERSION = 0.21.1
CARGO_GENERATE_RPM = $(TARGET)/tools/bin/cargo-generate-rpm
MDBOOK_VERSION = 0.5.4
MDBOOK = $(TARGET)/tools/bin/mdbook
CARGO_SBOM_VERSION = 0.10.0
CARGO_SBOM = $(TARGET)/tools/bin/cargo-sbom
CARGO_DENY_VERSION = 0.20.2
CARGO_DENY = $(TARGET)/tools/bin/cargo-deny
# What of the policy is checked; the advisories are fetched from GitHub.
DENY = advisories bans licenses sources
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
MACHINE = $(shell uname -m)-linux
ARCHIVE = pgbackrest-guard-$(VERSION)-$(MACHINE)

.PHONY: help demo test long test-deps quick lint deny pages release dist package rpm sbom book pictures package-test monitoring-test monitoring-deps ha-test ha-deps campaign fuzz image-test manifests-test matrix matrix-deps stores stores-deps bench bench-restore deps

help:
	@echo 'make demo     show what happens when a repository fails (a minute after the build)'
	@echo 'make test     run all tests'
	@echo 'make long     run the tests that take minutes: full volumes, outages of a prefetching recovery, what a drill must find'
	@echo 'make quick    run those that start no server and wait for no time limit (half a minute after the build)'
	@echo 'make lint     check formatting and clippy'
	@echo 'make deny     check the dependencies against the policy in deny.toml (make deny DENY="bans licenses sources" without a network)'
	@echo 'make pages    write the settings file and the tables of docs/configuration.md, from src/settings/table'
	@echo 'make release  build the programs to install, into $(RELEASE)'
	@echo 'make package  build the Debian package, into $(PACKAGES)'
	@echo 'make rpm      build the package for RHEL and Fedora, into $(PACKAGES)'
	@echo 'make sbom     list what the programs are built from (CycloneDX), into $(PACKAGES)'
	@echo 'make book     make a book of docs/, into $(TARGET)/book'
	@echo 'make pictures make the pictures in docs/images from the demo (needs Chromium)'
	@echo 'make package-test  install the package here, archive a Debian cluster through a revoked key and back, purge it (as root)'
	@echo 'make monitoring-test  scrape watchers with the real Prometheus, and try the alert rules and the dashboard with promtool'
	@echo 'make ha-test  three nodes under Patroni, failovers while the repository fails (about ten minutes)'
	@echo 'make campaign  many faults at once, chosen by seeds, on a cluster that keeps committing (two minutes a seed; CAMPAIGN=1-20); "moments 200": --at against restores'
	@echo 'make fuzz     every parser of foreign input under libFuzzer (a minute each; FUZZ="ini ledger" chooses, FUZZ_SECONDS and FUZZ_RUNS end each)'
	@echo 'make image-test  build the container image and run it through its scenes, with docker or podman (as a user who may)'
	@echo 'make manifests-test  check the compose file and the StatefulSet against their schemas'
	@echo 'make matrix   run the live tests on PostgreSQL 13 to 18 and pgBackRest 2.45, 2.55 and 2.60 (hours; MATRIX="18x2.60" chooses, "live::" adds those of make long)'
	@echo 'make stores   Azure, GCS, S3 and SFTP with other people'"'"'s servers, and every fault there (half an hour; STORES="azure sftp" chooses)'
	@echo 'make dist     build the programs for any Linux, packed, with checksums, into $(PACKAGES)'
	@echo 'make bench    measure speed and size against bare pgBackRest (about twelve minutes)'
	@echo 'make bench-restore  compare a restore with one by hand, and commits during a drill with commits before (about ten minutes)'
	@echo 'make deps     install PostgreSQL, pgBackRest and a C compiler if they are missing (as root)'

demo: deps
	$(CARGO) build --quiet --bins --example demo
	@$(TARGET)/debug/examples/demo

# What takes minutes is named so, in tests/it/live/, and has a target of its own.
LONG = ::long_

test: deps test-deps
	@if $(HAS_NEXTEST); then \
		echo '$(CARGO) nextest run --workspace -- --skip $(LONG)'; $(CARGO) nextest run --workspace -- --skip $(LONG); \
	else \
		echo '$(CARGO) test --workspace -- --skip $(LONG)'; $(CARGO) test --workspace -- --skip $(LONG); \
	fi

long: deps test-deps
	@if $(HAS_NEXTEST); then \
		echo '$(CARGO) nextest run --workspace --test it -- $(LONG)'; $(CARGO) nextest run --workspace --test it -- $(LONG); \
	else \
		echo '$(CARGO) test --workspace --test it -- $(LONG)'; $(CARGO) test --workspace --test it -- $(LONG); \
	fi

# For the repository on another host. The tests start it on a port of their own, with keys and a configuration of their own.
test-deps:
	@if [ -x /usr/sbin/sshd ]; then exit 0; fi; \
	if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
		echo 'missing: on Debian: sudo apt-get install openssh-server' >&2; exit 1; \
	fi; \
	apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends openssh-server

# What is left out: tests that start a server, and those that wait for a time limit or try very many values. Parts of names,
# which both runners skip in the same way.
SLOW = live:: live_ get::handover:: push::watch:: run::watch:: get::table::every_ending get::table::a_hang_is_ended \
	get::table::files_that_are_no_segments classes::samples_of_a_real_pgbackrest giving_up::a_ledger_that_another_program \
	push::settings::a_bad_value_costs setup::table::pgbackrest_takes_the_extremes
QUICK = --workspace --exclude pgbackrest-guard-lab --lib --bins --test it
SKIP = $(SLOW:%=--skip %)

quick: deps
	@if $(HAS_NEXTEST); then \
		echo '$(CARGO) nextest run $(QUICK) -- $(SKIP)'; $(CARGO) nextest run $(QUICK) -- $(SKIP); \
	else \
		echo '$(CARGO) test $(QUICK) -- $(SKIP)'; $(CARGO) test $(QUICK) -- $(SKIP); \
	fi

lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --test package -- -D warnings
	$(CARGO) clippy --test ha -- -D warnings
	$(CARGO) clippy --test campaign -- -D warnings
	$(CARGO) clippy --test monitoring -- -D warnings
	$(CARGO) clippy --test matrix -- -D warnings
	$(CARGO) clippy --test stores -- -D warnings
	$(CARGO) clippy --test image -- -D warnings

deny: $(CARGO_DENY)
	$(CARGO_DENY) --all-features check $(DENY)

pages:
	$(CARGO) run --quiet --package pgbackrest-guard-pages -- --settings .

# push and get are started once for each segment, and the dynamic linker would take a quarter of their time: they are
# linked statically.
release:
	$(CARGO) build --release --bins
	mkdir -p $(RELEASE)
	cp $(TARGET)/release/pgbackrest-guard $(RELEASE)/
	$(CARGO) rustc --release --bin pgbackrest-guard-push -- -C target-feature=+crt-static -C relocation-model=static
	$(CARGO) rustc --release --bin pgbackrest-guard-get -- -C target-feature=+crt-static -C relocation-model=static
	cp $(TARGET)/release/pgbackrest-guard-push $(TARGET)/release/pgbackrest-guard-get $(RELEASE)/
	@for program in pgbackrest-guard pgbackrest-guard-push pgbackrest-guard-get; do \
		$(RELEASE)/$$program --version >/dev/null || { \
			echo "$(RELEASE)/$$program does not start here: try another linker (mold 1.10.1 links it wrongly)" >&2; exit 1; \
		}; \
	done

# Everything linked statically: it runs on any Linux of this machine's kind, whatever its libraries.
dist: release
	$(CARGO) rustc --release --bin pgbackrest-guard -- -C target-feature=+crt-static
	rm -rf $(PACKAGES)/$(ARCHIVE) && mkdir -p $(PACKAGES)/$(ARCHIVE)
	strip -o $(PACKAGES)/$(ARCHIVE)/pgbackrest-guard $(TARGET)/release/pgbackrest-guard
	strip -o $(PACKAGES)/$(ARCHIVE)/pgbackrest-guard-push $(RELEASE)/pgbackrest-guard-push
	strip -o $(PACKAGES)/$(ARCHIVE)/pgbackrest-guard-get $(RELEASE)/pgbackrest-guard-get
	cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT packaging/pgbackrest-guard.toml $(PACKAGES)/$(ARCHIVE)/
	cd $(PACKAGES)/$(ARCHIVE) && sha256sum * >SHA256SUMS
	cd $(PACKAGES) && tar --create --gzip --owner=root --group=root --file=$(ARCHIVE).tar.gz $(ARCHIVE)
	cd $(PACKAGES) && sha256sum $(ARCHIVE).tar.gz >$(ARCHIVE).tar.gz.sha256

# The manual and the completions are written by a program of its own, out of the command lines.
package: deps release $(CARGO_DEB)
	rm -rf $(TARGET)/release/pages
	$(CARGO) run --quiet --package pgbackrest-guard-pages -- $(TARGET)/release/pages
	gzip --best --no-name $(TARGET)/release/pages/*.[15]
	mkdir -p $(PACKAGES)
	PATH="$(dir $(abspath $(CARGO_DEB))):$$PATH" $(CARGO) deb --no-build --output $(PACKAGES)/

# Static programs, because the machine that builds has other libraries than the one that installs.
rpm: dist $(CARGO_GENERATE_RPM)
	rm -rf $(TARGET)/rpm && mkdir -p $(TARGET)/rpm/bin
	cp $(PACKAGES)/$(ARCHIVE)/pgbackrest-guard $(PACKAGES)/$(ARCHIVE)/pgbackrest-guard-push $(PACKAGES)/$(ARCHIVE)/pgbackrest-guard-get $(TARGET)/rpm/bin/
	$(CARGO) run --quiet --package pgbackrest-guard-pages -- $(TARGET)/rpm/pages
	gzip --best --no-name $(TARGET)/rpm/pages/*.[15]
	PATH="$(dir $(abspath $(CARGO_GENERATE_RPM))):$$PATH" $(CARGO) generate-rpm --output $(PACKAGES)/

# The crates that are linked in on this machine's platform, as CycloneDX 1.6: cargo-sbom leaves out some that only build.
SBOM = $(PACKAGES)/pgbackrest-guard-$(VERSION).cdx.json

sbom: $(CARGO_SBOM) $(TARGET)/tools/sbom/tried
	mkdir -p $(PACKAGES)
	$(CARGO) tree --locked --package pgbackrest-guard --edges normal --prefix none --no-dedupe >$(TARGET)/tools/sbom/tree.txt
	$(CARGO_SBOM) sbom --cargo-package pgbackrest-guard --output-format cyclone_dx_json_1_6 >$(TARGET)/tools/sbom/list.json
	$(TARGET)/tools/sbom/bin/python packaging/sbom/complete.py $(TARGET)/tools/sbom/tree.txt <$(TARGET)/tools/sbom/list.json >$(SBOM)

$(TARGET)/tools/sbom/tried: packaging/sbom/requirements.txt
	rm -rf $(TARGET)/tools/sbom && /usr/bin/python3 -m venv $(TARGET)/tools/sbom
	$(TARGET)/tools/sbom/bin/pip install --quiet --requirement packaging/sbom/requirements.txt
	touch $@

book: $(MDBOOK)
	$(MDBOOK) build --dest-dir $(abspath $(TARGET)/book)

# The terminal by Rich, the page by Chromium without a screen: once for each colour scheme (Blink's numbers: 1 is light, 0 is dark).
CHROMIUM = chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking \
	--disable-component-update --disable-sync --user-data-dir=$(abspath $(TARGET)/pictures/profile)

pictures: deps $(TARGET)/tools/pictures/tried
	rm -rf $(TARGET)/pictures && mkdir -p $(TARGET)/pictures docs/images
	$(CARGO) build --quiet --bins --example demo
	PGBACKREST_GUARD_PICTURES=$(abspath $(TARGET)/pictures) $(TARGET)/debug/examples/demo >$(TARGET)/pictures/demo.txt
	$(TARGET)/tools/pictures/bin/python tests/demo/picture.py docs/images <$(TARGET)/pictures/demo.txt
	for scheme in light:1 dark:0; do \
		$(CHROMIUM) --blink-settings=preferredColorScheme=$${scheme#*:} --window-size=1100,538 \
			--screenshot=$(abspath docs/images)/status-$${scheme%:*}.png file://$(abspath $(TARGET)/pictures/status.html) || exit 1; \
	done

$(TARGET)/tools/pictures/tried: tests/demo/requirements.txt
	rm -rf $(TARGET)/tools/pictures && /usr/bin/python3 -m venv $(TARGET)/tools/pictures
	$(TARGET)/tools/pictures/bin/pip install --quiet --requirement tests/demo/requirements.txt
	touch $@

# Installs and purges on this very machine, so it is no part of `make test`.
package-test: package
	$(CARGO) test --quiet --test package -- $(abspath $(PACKAGES))/pgbackrest-guard_$(VERSION)-1_*.deb

monitoring-test: deps monitoring-deps
	PGBACKREST_GUARD_TOOLS=$(abspath $(TARGET)/tools) $(CARGO) test --quiet --test monitoring

# Debian's package, unpacked instead of installed: no service of it is started.
monitoring-deps: $(TARGET)/tools/prometheus/usr/bin/prometheus

$(TARGET)/tools/prometheus/usr/bin/prometheus:
	mkdir -p $(TARGET)/tools/prometheus
	cd $(TARGET)/tools/prometheus && apt-get download prometheus && dpkg-deb --extract prometheus_*.deb .
	touch $@

# Words in HA choose scenarios: make ha-test HA=revoked. Takes ports of its own on loopback, and root's rights never.
ha-test: deps ha-deps
	PGBACKREST_GUARD_TOOLS=$(abspath $(TARGET)/tools) $(CARGO) test --quiet --test ha -- $(HA)

# Patroni of the version that was tried, and Debian's etcd unpacked instead of installed: no service of it is started.
ha-deps: $(TARGET)/tools/patroni/tried $(TARGET)/tools/etcd/usr/bin/etcd

$(TARGET)/tools/patroni/tried: tests/ha/requirements.txt
	@/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || { \
		if [ "$$(id -u)" -ne 0 ]; then echo 'missing: sudo apt-get install python3-venv' >&2; exit 1; fi; \
		apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes python3-venv; }
	rm -rf $(TARGET)/tools/patroni && /usr/bin/python3 -m venv $(TARGET)/tools/patroni
	$(TARGET)/tools/patroni/bin/pip install --quiet --requirement tests/ha/requirements.txt
	touch $@

$(TARGET)/tools/etcd/usr/bin/etcd:
	mkdir -p $(TARGET)/tools/etcd
	cd $(TARGET)/tools/etcd && apt-get download etcd-server && dpkg-deb --extract etcd-server_*.deb .
	touch $@

# Words in CAMPAIGN choose: make campaign CAMPAIGN=7, CAMPAIGN='7 without 3,5' to leave faults out, CAMPAIGN=ledger, CAMPAIGN='moments 200'; CAMPAIGN_SECONDS=3600 in
# the environment ends it before the next seed.
campaign: deps
	$(CARGO) test --quiet --test campaign -- $(CAMPAIGN)

# Words in FUZZ choose readers (tests/fuzz/src/readers/mod.rs): make fuzz FUZZ=ini; FUZZ_SECONDS=600 or FUZZ_RUNS=1000000 in the environment
# end each. The flags are what cargo-fuzz gives the compiler without a sanitizer, and the stable one takes them. With --target, because build
# scripts must not be instrumented.
FUZZ = bucket commits failure heartbeats history info ini ledger listing page redaction settings settings-file state target
FUZZ_FLAGS = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

fuzz:
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --quiet --release --locked --manifest-path tests/fuzz/Cargo.toml --target $(HOST) \
		--target-dir $(TARGET)/fuzz
	tests/fuzz/run.sh $(TARGET)/fuzz/$(HOST)/release $(TARGET)/fuzz $(FUZZ)

# Words in IMAGE choose scenes: make image-test IMAGE=restore. tests/image/main.rs says which variables it reads, and how it runs
# without a registry.
image-test: deps
	$(CARGO) test --quiet --test image -- $(IMAGE)

# Both files in packaging/, by readers that know their schemas, out of PyPI.
manifests-test: $(TARGET)/tools/manifests/tried
	$(TARGET)/tools/manifests/bin/kubernetes-validate --strict packaging/kubernetes/statefulset.yaml
	$(TARGET)/tools/manifests/bin/python tests/image/compose.py packaging/compose/compose.yaml

$(TARGET)/tools/manifests/tried: tests/image/requirements.txt
	rm -rf $(TARGET)/tools/manifests && /usr/bin/python3 -m venv $(TARGET)/tools/manifests
	$(TARGET)/tools/manifests/bin/pip install --quiet --requirement tests/image/requirements.txt
	touch $@

# Words in MATRIX choose pairs and tests: make matrix MATRIX="18x2.60 live::gone". apt-get lays the versions down, in a folder of their own.
matrix: deps test-deps matrix-deps
	$(CARGO) test --quiet --workspace --test matrix -- $(MATRIX)

matrix-deps:
	@$(HAS_NEXTEST) || { echo 'missing: cargo install cargo-nextest' >&2; exit 1; }; \
	if command -v patchelf >/dev/null && command -v apt-get >/dev/null && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then exit 0; fi; \
	if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
		echo 'missing: on Debian or Ubuntu: sudo apt-get install patchelf debian-archive-keyring' >&2; exit 1; \
	fi; \
	apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes patchelf debian-archive-keyring

# Words in STORES choose stores and a version of pgBackRest: make stores STORES="sftp 2.55". pgBackRest is the matrix's.
stores: deps test-deps matrix-deps stores-deps
	PGBACKREST_GUARD_TOOLS=$(abspath $(TARGET)/tools) $(CARGO) test --quiet --workspace --test stores -- $(STORES)

STORES_LAID = $(TARGET)/tools/stores/laid

stores-deps: $(STORES_LAID)

# Of the versions that were tried, in a folder of their own.
$(STORES_LAID): tests/stores/package.json tests/stores/requirements.txt
	rm -rf $(TARGET)/tools/stores && mkdir -p $(TARGET)/tools/stores
	cp tests/stores/package.json $(TARGET)/tools/stores/
	@command -v npm >/dev/null || { \
		if [ "$$(id -u)" -ne 0 ]; then echo 'missing: sudo apt-get install npm' >&2; exit 1; fi; \
		apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes npm; }
	npm install --prefix $(TARGET)/tools/stores --silent --no-audit --no-fund
	@/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || { \
		if [ "$$(id -u)" -ne 0 ]; then echo 'missing: sudo apt-get install python3-venv' >&2; exit 1; fi; \
		apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes python3-venv; }
	/usr/bin/python3 -m venv $(TARGET)/tools/stores/venv
	$(TARGET)/tools/stores/venv/bin/pip install --quiet --target $(TARGET)/tools/stores/gcs --requirement tests/stores/requirements.txt
	touch $@

$(CARGO_DEB):
	$(CARGO) install --quiet --locked --version $(CARGO_DEB_VERSION) --root $(TARGET)/tools cargo-deb

$(CARGO_GENERATE_RPM):
	$(CARGO) install --quiet --locked --version $(CARGO_GENERATE_RPM_VERSION) --root $(TARGET)/tools cargo-generate-rpm

$(MDBOOK):
	$(CARGO) install --quiet --locked --version $(MDBOOK_VERSION) --root $(TARGET)/tools mdbook

$(CARGO_SBOM):
	$(CARGO) install --quiet --locked --version $(CARGO_SBOM_VERSION) --root $(TARGET)/tools cargo-sbom

$(CARGO_DENY):
	$(CARGO) install --quiet --locked --version $(CARGO_DENY_VERSION) --root $(TARGET)/tools cargo-deny

bench: deps release
	PGBACKREST_GUARD_RELEASE=$(abspath $(RELEASE)) $(CARGO) bench --bench speed --bench classes --bench status --bench handover --bench walk

# A restore by hand beside ours, a plan out of a long archive, and what a drill costs its origin.
bench-restore: deps release
	PGBACKREST_GUARD_RELEASE=$(abspath $(RELEASE)) $(CARGO) bench --bench restore

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
