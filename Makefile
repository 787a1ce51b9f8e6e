# The commands of this project. CI runs only these (through scripts/test).

.PHONY: help build up check lint unit models models-long simulation integration geodns drills drills-full torture \
	torture-long broken workers workers-full deploy terraform rollouts rollouts-full image bench speed speed-smoke availability failover install \
	test

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## build the release binary
	cargo build --release

up: ## run the whole fleet of the manifest on this machine
	cargo run --release -- up

check: ## check the manifest
	cargo run --release -- check

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

unit: ## unit, property and snapshot tests, loom
	cargo test --lib --bins --test architecture --test check --test loom
	cargo test --doc
	cargo test --test proto

models: ## the lease's models: the protocol holds, every broken variant is caught
	cargo test --release -p meridian-models -- --nocapture

models-long: ## the large models as well; prints a table for docs/results
	MERIDIAN_MODEL=long cargo test --release -p meridian-models -- --nocapture

simulation: ## the lease's state machine against a simulated ensemble, 2,400 seeds, each twice
	cargo test --test simulation -- --nocapture

broken: ## leases broken on purpose: simulation and torture must find a duplicate in each
	cargo test --features broken --test simulation -- --nocapture
	cargo test --features broken --test torture -- --flaw all --seed 18

integration: ## the real thing against real ZooKeeper (installed by `make install`)
	cargo test --test file_lease --test zookeeper --test node --test up --test cli --test load --test client
	cargo test --test grpc

geodns: ## generated files in real gdnsd and PowerDNS, every failure against the rule
	cargo test --test geodns

drills: ## game days on this machine, short: regions and ZooKeeper lost, real gdnsd and unbound, every promise
	cargo test --test drill

drills-full: ## ten runs of each, also with the probes and the TTL of the manifest (hours), into docs/results/drills.md
	cargo test --release --test drill -- --full

torture: ## real nodes, real ZooKeeper, 60 s of faults from a seed, every id counted
	cargo test --test torture

torture-long: ## the same for 30 minutes, written into docs/results/torture.md
	cargo test --release --test torture -- --long

workers: ## 128 workers on three ZooKeeper servers: claims, a third killed, the ensemble restarted
	cargo test --test workers

workers-full: ## the same with all 1,024 slots of the format, measured into docs/results
	cargo test --test workers -- --full

deploy: ## the Helm chart: render matrix, schemas, policies, alerts (installed by `make install`)
	@PYTHONDONTWRITEBYTECODE=1 "$$(scripts/install-deploy --where)/python/bin/python" -m pytest -q -rP --no-header tests/deploy || { \
		test -e "$$(scripts/install-deploy --where)/complete" || echo "make deploy: run scripts/install-deploy first" >&2; exit 1; }

terraform: ## the Terraform stacks: validations, policies, all regions applied to an AWS on loopback, the zone walked
	@test -n "$$MERIDIAN_BIN" || cargo build
	@PYTHONDONTWRITEBYTECODE=1 "$$(scripts/install-deploy --where)/python/bin/python" -m pytest -q -rP --no-header tests/terraform || { \
		test -e "$$(scripts/install-deploy --where)/complete" || echo "make terraform: run scripts/install-deploy first" >&2; exit 1; }

rollouts: ## the rendered chart with real processes: 120 upgrades, rollbacks, scales and kills while clients draw
	cargo test --test rollouts

rollouts-full: ## 1,000 of them, written into docs/results/rollouts.md
	cargo test --release --test rollouts -- --full

image: ## the container image from a static binary, and it serves ids (podman, buildah)
	scripts/image
	cargo test --test image

bench: ## start, readiness, memory and large requests, measured into docs/results
	scripts/install-zookeeper
	cargo bench --bench start

speed: ## half an hour: a node beside nginx, bare hyper, ferroid and the format, all sections of docs/results/speed.md
	scripts/install-bench
	cargo bench --bench speed

speed-smoke: ## the same for a moment each, unoptimised: it must run, and judges no time
	cargo test --bench speed -- --smoke
	cargo test --bench generator

availability: ## what outages, kills, rolls, clocks and a full disk cost, measured into docs/results
	scripts/install-zookeeper
	cargo bench --bench availability

failover: ## regions crash, hang and vanish under the regional client; what an id costs; measured into docs/results
	scripts/install-zookeeper
	cargo bench --bench client

install: ## install what the tests need (apt)
	scripts/install

test: ## everything CI checks
	scripts/test
