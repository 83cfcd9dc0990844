# The commands of the project; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Where cargo builds; another folder may be given to share builds among checkouts.
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
HOST_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)
# What images are built for: amd64 or arm64. The other one than this machine's is built across, into a folder of its own.
ARCH ?= $(HOST_ARCH)
CPU_amd64 := x86_64
CPU_arm64 := aarch64
TRIPLE := $(CPU_$(ARCH))-unknown-linux-gnu
# How programs are built: release is small and slow to build; stage, for the demo and the cluster suite, is the other way round.
PROFILE ?= release
STATIC := $(CARGO_TARGET_DIR)/$(TRIPLE)/$(PROFILE)
IMAGES := $(CURDIR)/.images$(if $(filter $(HOST_ARCH),$(ARCH)),,/$(ARCH))
# The C compiler and linker for building across, from Debian's gcc-aarch64-linux-gnu or gcc-x86-64-linux-gnu.
CROSS_CC ?= $(CPU_$(ARCH))-linux-gnu-gcc
CROSS := $(if $(filter $(HOST_ARCH),$(ARCH)),,CARGO_TARGET_$(shell echo $(TRIPLE) | tr a-z- A-Z_)_LINKER=$(CROSS_CC) CC_$(subst -,_,$(TRIPLE))=$(CROSS_CC))
ifeq ($(ARCH),arm64)
# The allocator is made for the largest pages of memory that a kernel may have: on some machines they are of 64 KiB.
export JEMALLOC_SYS_WITH_LG_PAGE := 16
endif
STATIC_FLAGS := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
CA_BUNDLE ?= /etc/ssl/certs/ca-certificates.crt
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
IMAGE ?= hookswitch/hookswitch:$(VERSION)
SANDBOX_IMAGE ?= hookswitch/sandbox:$(VERSION)
export IMAGE SANDBOX_IMAGE IMAGES

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show Hookswitch at work on a real cluster (CLUSTER=current: your kubeconfig context; KEEP=1: leave it running)
	@demo/demo.sh

.PHONY: test
test: ## Run everything that must pass: formatting, lints, unit to cluster tests
	@tests/run.sh

.PHONY: test-full
test-full: ## The same with every matrix and fuzz run whole (some hours)
	@HOOKSWITCH_TESTS=full tests/run.sh

.PHONY: explore
explore: ## Property tests and matrix samples with random seeds (ROUNDS=10; SEED=… repeats one)
	@tests/explore.sh

.PHONY: mutants
mutants: ## List small wrong edits that no unit test notices (FILES=crates/okta/src/run.rs, SHARD=0/10; hours for all)
	@tests/mutants.sh

.PHONY: failover-table
failover-table: ## Measure switches on the test cluster and print the table of docs/reference/defaults-and-timing.md
	@PROFILE=release tests/cluster/table.sh

.PHONY: upgrade-test
upgrade-test: ## Upgrade by helm from the release before and roll back, under traffic, on the test cluster (test-full has it)
	@tests/cluster/suite.sh upgrade

.PHONY: check
check: ## Formatting, lints and the tests that need no cluster
	@tests/run.sh format lint unit chart

.PHONY: test-providers
test-providers: ## Judge every request of every adapter (HOOKSWITCH_SPECS=folder: by the vendors' descriptions; HOOKSWITCH_GOLDEN=update: keep them)
	cargo test --locked --package hookswitch-providers --test requests -- --show-output

.PHONY: generate
generate: ## Write everything that is made from code: CRDs, reference pages
	cargo run --quiet --locked -- crds --dir crds
	rm -rf charts/hookswitch/files/crds && mkdir -p charts/hookswitch/files && cp -r crds charts/hookswitch/files/crds
	cargo run --quiet --locked -- reference --dir docs/reference --providers-dir docs/providers

.PHONY: foreign-clients
foreign-clients: ## Let Okta's own clients, in pinned versions, manage a hook of the sandbox (needs their registries and port 443)
	@tests/clients/run.sh

.PHONY: static
static: ## Build the static binaries for the images
	@test -n "$(CPU_$(ARCH))" || { echo "make: ARCH must be amd64 or arm64, not $(ARCH)" >&2; exit 2; }
	$(CROSS) RUSTFLAGS="$(STATIC_FLAGS)" cargo build --profile $(PROFILE) --locked --target $(TRIPLE) --bin hookswitch --bin hookswitch-sandbox

.PHONY: images
images: static ## Build the images as archives, without a container engine (ARCH=arm64 or amd64: across)
	@mkdir -p $(IMAGES)
	@ARCH=$(ARCH) CA_BUNDLE=$(CA_BUNDLE) tests/cluster/image.sh $(IMAGES)/hookswitch.tar $(IMAGE) '["/hookswitch"]' $(STATIC)/hookswitch=/hookswitch
	@ARCH=$(ARCH) tests/cluster/image.sh $(IMAGES)/sandbox.tar $(SANDBOX_IMAGE) '["/hookswitch-sandbox"]' $(STATIC)/hookswitch-sandbox=/hookswitch-sandbox

.PHONY: previous
previous: ## Build the release before this one into the cache, from the commit that tests/cluster/previous names
	@$(CROSS) RUSTFLAGS="$(STATIC_FLAGS)" TRIPLE=$(TRIPLE) ARCH=$(ARCH) CA_BUNDLE=$(CA_BUNDLE) tests/cluster/previous.sh

.PHONY: cluster-tools
cluster-tools: ## Build the programs of the test cluster into the cache
	@tests/cluster/tools.sh

.PHONY: bench
bench: ## Measure the gateway beside nginx and Express into docs/performance.md (QUICK=1: a look, writes nothing), then a failover and the search for a rule
	cargo build --release --locked --bin hookswitch --bin hookswitch-bench
	$(CARGO_TARGET_DIR)/release/hookswitch-bench $(if $(QUICK),--quick,--page docs/performance.md)
	cargo bench --locked --bench failover
	cargo bench --locked -p hookswitch-routing --bench rules

.PHONY: clean
clean: ## Remove what was built in this checkout
	rm -rf $(IMAGES)
	cargo clean
