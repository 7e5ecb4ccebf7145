# `make demo` and `make test` are all a newcomer needs; both build .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNEL_SOURCES := $(wildcard pocketrec/kernels/cpu/*) pocketrec/runtime/native.cpp

.PHONY: demo test lint web runtime bench sanitize torchrec clean

demo: $(VENV)/installed
	$(BIN)/pocketrec demo

# Two halves side by side: most tests keep one core busy.
SECOND_HALF := $(wildcard tests/test_[k-z]*.py)
FIRST_HALF := tests $(addprefix --ignore=,$(SECOND_HALF))
test: $(VENV)/installed
	$(BIN)/pytest -q $(FIRST_HALF) & first=$$!; \
	$(BIN)/pytest -q $(SECOND_HALF); second=$$?; \
	wait $$first && exit $$second

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The page that `pocketrec serve` shows runs the model in the browser, with two files of onnxruntime-web: from npm, not in git.
ORT_WEB := onnxruntime-web
ORT_WEB_VERSION := 1.30.0
ORT_WEB_INTEGRITY := sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==
ORT_WEB_FILES := ort.wasm.bundle.min.mjs ort-wasm-simd-threaded.wasm
WEB_VENDOR := pocketrec/serving/web/vendor
web: $(WEB_VENDOR)/.$(ORT_WEB)-$(ORT_WEB_VERSION)

$(WEB_VENDOR)/.$(ORT_WEB)-$(ORT_WEB_VERSION):
	@command -v npm > /dev/null || { echo "make web needs npm, which comes with Node.js: install it, then run make web again." >&2; exit 1; }
	mkdir -p build/web $(WEB_VENDOR)
	npm pack --silent --json --pack-destination build/web $(ORT_WEB)@$(ORT_WEB_VERSION) > build/web/packed.json
	@grep -qF '"$(ORT_WEB_INTEGRITY)"' build/web/packed.json || { echo "$(ORT_WEB) $(ORT_WEB_VERSION) is not the one that was pinned: its hash is another." >&2; exit 1; }
	tar -xmzf build/web/$(ORT_WEB)-$(ORT_WEB_VERSION).tgz -C $(WEB_VENDOR) --strip-components=2 $(addprefix package/dist/,$(ORT_WEB_FILES))
	rm -r build/web
	touch $@

# The distribution without torch, as a wheel in dist/.
runtime: $(VENV)/installed
	$(BIN)/pip wheel -q --no-deps --no-build-isolation --wheel-dir dist packaging/runtime

# The short forms, under 5 minutes in all; appends its rows to benchmarks/results.csv.
bench: $(VENV)/bench
	$(BIN)/python benchmarks/lookup.py --short
	$(BIN)/python benchmarks/step.py --short

# The kernel's tests under AddressSanitizer and UndefinedBehaviorSanitizer, on 1, 2 and 8 threads: a build of its own.
SANITIZED := build/sanitized
sanitize: $(VENV)/installed
	POCKETREC_SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1" \
	  $(BIN)/python setup.py -q build --build-base build/sanitize --build-lib $(SANITIZED)
	for threads in 1 2 8; do \
	  OMP_NUM_THREADS=$$threads PYTHONPATH=$(SANITIZED) ASAN_OPTIONS=detect_leaks=0 \
	  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so) $$(gcc -print-file-name=libstdc++.so)" \
	  $(BIN)/pytest -q tests/test_sanitized.py tests/test_ops.py tests/test_ops_refusals.py tests/test_optim.py tests/test_update.py tests/test_precision.py || exit 1; \
	done

# The tests that need TorchRec, in an environment of its own: it wants older metrics than ours, and what it would install
# by itself is gigabytes of CUDA. FBGEMM 1.8 goes with torch 2.13 only.
TORCHREC := .venv-torchrec
torchrec: $(TORCHREC)/installed
	PYTHONPATH=. $(TORCHREC)/bin/python -m pytest -q tests/test_third_party.py tests/test_rankers_peers.py -k torchrec

$(TORCHREC)/installed: Makefile
	$(PYTHON) -m venv $(TORCHREC)
	$(TORCHREC)/bin/pip install -q torch==2.13.0 numpy==2.4.6 fbgemm-gpu-cpu==1.8.0
	$(TORCHREC)/bin/pip install -q --no-deps torchrec==1.8.0
	$(TORCHREC)/bin/pip install -q torch==2.13.0 tensordict==0.15.3 torchmetrics==1.0.3 iopath==0.1.10 \
	  pyre-extensions==0.0.32 tqdm==4.70.1 pytest==9.2.0
	touch $@

clean:
	rm -rf $(VENV) $(TORCHREC) $(WEB_VENDOR) build dist demo *.egg-info pocketrec/_C*.so pocketrec/runtime/_native*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The peers that benchmarks measure against.
$(VENV)/bench: $(VENV)/installed
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e ".[bench]"
	touch $@

# torch first, so that the extension builds against the version it will run with.
$(VENV)/installed: pyproject.toml setup.py constraints.txt $(KERNEL_SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch numpy setuptools
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e ".[plot,tensorboard,export,serve,test]"
	@ls pocketrec/_C*.so > /dev/null 2>&1 || echo "No C++ compiler found: lookups use the slower PyTorch reference; nothing else changes."
	touch $@
