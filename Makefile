# Two commands: `make demo` and `make test`. Both set up what they need in .venv and node_modules.
# The first Python that runs and fits; a name on PATH alone may be a shim that does not run.
PYTHON ?= $(shell for v in python3.11 python3.12 python3.10 python3; do $$v -c '' 2>/dev/null && { echo $$v; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
export SOLCX_BINARY_PATH := $(CURDIR)/tools/solcx

.DEFAULT_GOAL := help
.PHONY: help setup demo test check clean

demo: setup  ## show it all: MNIST digits through five workers on a local chain
	@$(BIN)/deepring demo

# One process more than two cores: tests of live rings also wait for the actors' pauses. The order is tests/conftest.py's.
WORKERS ?= 3
PYTEST_ALL = $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

test: setup check  ## run all checks and tests
	@$(PYTEST_ALL)

.PHONY: test-repeat test-busy

test-repeat: setup  ## run all tests TIMES (3) times in a row; each run's count is printed
	@$(BIN)/python tools/repeat_tests.py --times $(or $(TIMES),3)

test-busy: setup  ## run all tests while eight busy loops run beside them
	@$(BIN)/python tools/repeat_tests.py --times $(or $(TIMES),1) --busy 8

check: setup  ## run the linters, type checks and import rules, two at a time
	@$(MAKE) --no-print-directory --jobs 2 types contracts-check lint solhint

.PHONY: types lint

types: setup
	@$(BIN)/mypy

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

clean:  ## remove what was built and installed here
	rm -rf .venv node_modules build out .home

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

setup: $(VENV)/.installed node_modules/.installed  ## install the locked Python and npm packages here

$(VENV)/.installed: requirements/lock.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.10, 3.11 or 3.12 on PATH; install one or say PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "setup: $(PYTHON) is not Python 3.10 to 3.12; say PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	BROWNIE_NOCOMPILE=1 $(BIN)/pip install --quiet --no-binary eth-brownie -r requirements/lock.txt
	$(BIN)/pip install --quiet --no-deps -e .
	@touch $@

node_modules/.installed: package-lock.json
	@command -v npm >/dev/null || { echo "setup: npm not found; install Node 18 or later (it brings npm)"; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: contracts contracts-check solhint lock

contracts: setup  ## compile the contracts into the artifacts that are checked in
	@$(BIN)/python tools/compile_contracts.py

contracts-check: setup  ## fail when a checked-in artifact is not what the contracts compile to
	@$(BIN)/python tools/compile_contracts.py --check

# --disc and --noPoster leave out the look for updates and the advertisements; a warning counts as a failure.
# .solhint.json has all rules on but these, and JSON has no room for the reasons:
#   foundry-test-*           the contracts' tests are Python
#   gas-small-strings        an EIP-712 type is a string of more than 32 bytes
#   gas-named-return-values  a named result that is never assigned is silently zero
#   gas-strict-inequalities  saves 3 gas and needs a + 1 or a - 1 that can be wrong
#   gas-length-in-loops      the loops are over calldata, whose length costs nothing to read again
#   gas-indexed-events       what a reader searches by is indexed, and nothing else
#   not-rely-on-time         deadlines are what the chain's clock is for; minutes of drift do no harm
#   immutablesAsConstants    an immutable's getter is part of the interface, and is named like a function
#   comprehensive-interface  off in contracts/mocks alone: a harness has no users but the tests
solhint: setup  ## lint the contracts
	@node_modules/.bin/solhint --disc --noPoster --max-warnings 0 'contracts/**/*.sol'

# Keeps the versions that are locked and still fit; `make lock UPGRADE=--upgrade` takes the newest.
lock:  ## write requirements/lock.txt anew from pyproject.toml
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet uv==0.13.9
	BROWNIE_NOCOMPILE=1 build/uv/bin/uv pip compile --quiet --universal --python-version 3.10 --all-extras --no-annotate \
	  --no-header $(UPGRADE) --output-file requirements/lock.txt pyproject.toml
	@{ printf '%s\n' '# Exact versions of everything that `make setup` installs, on CPython 3.10 to 3.12. `make lock` writes it anew.' \
	  '# Not listed: what only the CUDA builds of torch need; torch pins that itself, and its CPU build goes without.'; \
	  grep -Ev '^(#|cuda-|nvidia-|triton=)' requirements/lock.txt; } > build/lock.txt && mv build/lock.txt requirements/lock.txt

.PHONY: gas vectors formats

gas: setup  ## measure the ledger's gas and write tests/chain/gas_snapshot.json anew
	@$(BIN)/python -m tests.chain.gas_report

vectors: setup  ## write the golden digests, tests/vectors/digests.json, anew
	@$(BIN)/python -m tests.differential.make_vectors

formats: setup  ## write the operators' part of docs/formats.md anew, from deepring_chain/model/operators
	@$(BIN)/python -m tests.unit.model.operator_formulas

.PHONY: pictures

pictures: setup  ## take the docs' pictures of the explorer anew, from a live lab ring in Chromium
	@$(BIN)/python -m tests.explorer.pictures

.PHONY: tamper-sweep false-alarms

tamper-sweep: setup  ## flip 200 random bits in a live ring; each must be found, named and restored
	@$(BIN)/python -m deepring_chain.attacks.tamper_sweep

false-alarms: setup  ## hold 10,000 honest layer checks against each other; none may differ
	@$(BIN)/python -m deepring_chain.attacks.false_alarms

.PHONY: audit-mutations audit-scale hostile-calls

audit-mutations: setup  ## change each field of each event and each region of each blob of a trail; the audit must find all
	@$(BIN)/python -m tests.chain.audit_mutations

audit-scale: setup  ## audit a trail of 10,000 updates with flat memory; prints rate and memory
	@$(BIN)/python -m tests.chain.audit_scale

hostile-calls: setup  ## play CALLS=500 hostile acts of all members, SEED=1, then audit to the end; names what does not hold
	@$(BIN)/python -m tests.chain.hostile_calls --seed $(SEED) $(if $(filter command environment,$(firstword $(origin CALLS))),--calls $(CALLS))

.PHONY: fuzz fuzz-corpus

# atheris is a large wheel that only this needs, and that not every Python has: it stays out of .venv, and `fuzz` goes on
# without it. A run takes RUNS inputs over all targets (1,000,000), SEED (1), TARGET for some of them.
FUZZ = OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python -m assurance.fuzz

fuzz: setup build/fuzz/.atheris  ## search all parsers for undeclared errors, hangs and memory: RUNS=..., SEED=..., TARGET="idx npz"
	@$(FUZZ) run $(if $(filter command environment,$(firstword $(origin RUNS))),--runs $(RUNS)) --seed $(SEED) $(foreach name,$(TARGET),--target $(name))

fuzz-corpus: setup  ## write assurance/fuzz/corpus anew, minimized, with what the last `make fuzz` found
	@$(FUZZ) corpus $(foreach name,$(TARGET),--target $(name))

build/fuzz/.atheris: requirements/fuzz.txt $(VENV)/.installed
	@rm -rf build/fuzz/atheris && mkdir -p build/fuzz
	@$(BIN)/pip install --quiet --no-deps --only-binary :all: --target build/fuzz/atheris -r $< 2>build/fuzz/atheris.log || true
	@touch $@

.PHONY: adversary

adversary: setup  ## try every attack of the catalogue (tests/adversary/README.md); prints counts, ends at the first violation
	@$(BIN)/python -m assurance.adversary

.PHONY: faults soak

SEED ?= 1
RUNS ?= 24
QUERIES ?= 1000
SETTLE ?= update

faults: setup  ## let things go wrong in RUNS rings, settled in both ways in turn: SEED=1 RUNS=24; ends at the first violation
	@$(BIN)/python -m assurance.faults.run --seed $(SEED) --runs $(RUNS)

soak: setup  ## QUERIES=1000 through one ring with random faults, SEED=1 SETTLE=update|batch; nothing may be lost or grow
	@$(BIN)/python -m assurance.faults.soak --seed $(SEED) --queries $(QUERIES) --settle $(SETTLE)

.PHONY: invariants coverage mutants slither

CALLS ?= 100000
JOBS ?= 2
invariants: setup  ## play CALLS=100000 random calls, SEED=1, against the ledger and a model of it; ends at the first violation
	@$(BIN)/python -m assurance.invariants --seed $(SEED) --calls $(CALLS)

coverage: setup  ## print which branches of the ledger's byte code 3,000 random calls took, both ways, one way or never
	@$(BIN)/python -m assurance.invariants.coverage --seed $(SEED)

mutants: setup  ## take each check out in turn, and judge the specification's rules by their tests; ONLY=TEXT for some, ONLY=rule; a test must fail for each
	@$(BIN)/python -m assurance.mutants --jobs $(JOBS) --only "$(ONLY)"

slither: setup build/slither/.installed  ## hold what slither finds in the ledger against docs/assurance-slither.md
	@$(BIN)/python tools/slither_findings.py

build/slither/.installed: requirements/slither.txt
	$(PYTHON) -m venv build/slither
	build/slither/bin/pip install --quiet -r $<
	@touch $@

.PHONY: experiments experiments-smoke

DATA ?=
MODELS ?= out/models
EXPERIMENT = $(BIN)/deepring experiment
WHERE = --data $(DATA) --models $(MODELS)

experiments: setup  ## run the paper's experiments: DATA=FOLDER [MODELS=FOLDER]; goes on where it was interrupted
	@test -n "$(DATA)" || { echo "experiments: say DATA=FOLDER, with the data sets' files as they are published"; exit 1; }
	$(EXPERIMENT) table1
	$(EXPERIMENT) table3 $(WHERE)
	$(EXPERIMENT) table2 $(WHERE)
	$(EXPERIMENT) attacks $(WHERE)

experiments-smoke: setup  ## run every experiment small, without data
	@$(EXPERIMENT) smoke

.PHONY: bench bench-against

# ezkl and EAS's contracts are fetched into build/bench when they are first needed.
ONLY ?=
bench: setup  ## measure: ONLY="query hop" for some, QUICK=1 small; writes benchmarks/results
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks $(ONLY)

bench-against: setup  ## measure queries and hops of this checkout and of COMMIT=REF in turns; writes benchmarks/results/against.md
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.bench_against $(COMMIT)
