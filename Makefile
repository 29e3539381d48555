# What can be done here. `make run` is the way from a clone to a first call; `make test` is what CI does.

CARGO ?= cargo
PREFIX ?= /usr/local
PROFILE ?= release
IMAGE ?= hearth/server

.DEFAULT_GOAL := help
# Steps share processors and cargo's lock: one after the other is as fast, and easier to read.
.NOTPARALLEL:

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: run
run: ## start the server with the sample functions, call them, and serve until Ctrl-C
	@scripts/run.sh

.PHONY: test
test: lint functions unit api doctest deny torture-short ## everything that has to hold before a change is merged

.PHONY: lint
lint: prerequisites ## formatting, clippy and documentation, without a warning
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; \
	else echo 'shellcheck is not installed: the shell scripts were not checked'; fi

.PHONY: unit
unit: functions examples databases ## all tests but those in documentation; most need Docker and the fixture images
	@scripts/tools.sh nextest
	@scripts/need.sh redis-server:redis-server docker-compose:docker-compose systemd-analyze:systemd
	$(CARGO) nextest run --locked --workspace

.PHONY: api
api: functions ## a live server held to the documents of api-spec by requests that schemathesis makes up
	@# The server as the tests build it, so that after them nothing is left to build.
	$(CARGO) test --locked --workspace --no-run --quiet
	@scripts/schemathesis.sh

.PHONY: doctest
doctest: ## the examples in documentation
	$(CARGO) test --locked --workspace --doc

.PHONY: deny
deny: ## licences, banned crates and sources of all dependencies
	@scripts/tools.sh deny
	$(CARGO) deny --locked check bans licenses sources

.PHONY: torture
torture: prerequisites ## asynchronous calls under kill -9, an hour or so; STORE=… SEED=… CALLS=… KILLS=… do a run again
	@scripts/torture.sh $(foreach store,$(STORE),--store $(store)) $(if $(SEED),--seed $(SEED)) \
		$(if $(CALLS),--calls $(CALLS)) $(if $(KILLS),--kills $(KILLS))

.PHONY: torture-short
torture-short: prerequisites ## the same with few calls and few kills, in minutes
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory torture CALLS=300 KILLS=6; \
	else echo 'torture takes root: it was left out'; fi

.PHONY: bench
bench: prerequisites ## the server under load, beside containers without it; FLAGS=--quick is short
	@scripts/bench.sh $(FLAGS)

.PHONY: bench-store
bench-store: ## lists, reads and trimming of a million stored calls; URL=… for a database that is not a SQLite file
	$(CARGO) test --locked --quiet -p hearth-datastore --lib every_list_of_calls_has_its_index -- --nocapture
	$(CARGO) run --locked --profile release-ci -p hearth-datastore --example history $(if $(URL),url=$(URL))

.PHONY: functions
functions: docker ## the images of the fixture and of the sample functions
	@scripts/functions.sh

.PHONY: examples
examples: docker ## the images of the example functions in shell, Python, Node and Go
	@scripts/examples.sh

.PHONY: databases
databases: docker ## the images of the databases that tests start
	@scripts/databases.sh

.PHONY: docker
docker: ## a running Docker engine
	@scripts/docker.sh

.PHONY: prerequisites
prerequisites:
	@scripts/need.sh cc:gcc,libc6-dev curl:curl
	@scripts/tools.sh rustfmt clippy

.PHONY: release
release: ## the server as a static binary, for any Linux of this architecture; PROFILE=dev builds faster
	@scripts/image.sh binary $(PROFILE)

.PHONY: image
image: docker ## an image of the server: IMAGE (hearth/server)
	@scripts/image.sh image $(IMAGE) $(PROFILE)

.PHONY: install
install: ## the static binary into PREFIX/bin (/usr/local/bin), and a unit for systemd
	binary=$$(scripts/image.sh binary $(PROFILE)) && install -D -m 755 "$$binary" $(DESTDIR)$(PREFIX)/bin/hearth
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/bin|$(PREFIX)/bin|' deploy/systemd/hearth.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/hearth.service
	install -D -m 644 deploy/systemd/hearth.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/hearth.conf

.PHONY: uninstall
uninstall: ## what install put there; the data stays
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/hearth lib/systemd/system/hearth.service lib/sysusers.d/hearth.conf)
