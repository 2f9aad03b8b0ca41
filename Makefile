# Set-up and checks on a fresh Linux machine with Python >= 3.10: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
OUT ?= out/demo

.PHONY: demo test test-all test-oldest test-kaggle bench-quick lint clean

demo: $(VENV)/.runtime
	$(RUN) run_complete_pipeline.py --demo --output_dir $(OUT)

test: $(VENV)/.development lint
	$(RUN) -m pytest -q

test-all: $(VENV)/.development lint
	$(RUN) -m pytest -q -m "slow or not slow"

# Three GB of download. The lowest versions that requirements.txt allows, as far as this Python can install them.
test-oldest:
	$(PYTHON) -m venv $(VENV)-oldest
	sed -n '/>=/s/>=/==/p' requirements.txt requirements-dev.txt | grep -v 'ruff\|mypy' > $(VENV)-oldest/oldest.txt
	$(VENV)-oldest/bin/python -m pip install -q -r $(VENV)-oldest/oldest.txt
	$(VENV)-oldest/bin/python -m pytest -q

# As much again. What Kaggle's image holds; its Python is another one.
test-kaggle:
	$(PYTHON) -m venv $(VENV)-kaggle
	$(VENV)-kaggle/bin/python -m pip install -q -r requirements-dev.txt -c constraints-kaggle.txt
	$(VENV)-kaggle/bin/python -m pytest -q

# Two minutes. Fails where a result is wrong, never because it is slow.
bench-quick: $(VENV)/.runtime
	$(RUN) -m benchmarks --quick

lint: $(VENV)/.development
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is " + sys.version) if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements.txt constraints.txt
	$(RUN) -m pip install -q -r requirements.txt -c constraints.txt
	touch $@

$(VENV)/.development: $(VENV)/.runtime requirements-dev.txt
	$(RUN) -m pip install -q -r requirements-dev.txt -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-kaggle out
