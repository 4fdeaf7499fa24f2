# Every target sets itself up: a Python >= 3.11 is all it needs (see .ci/venv). ARGS goes to the program it runs.

# The links at the root (mailbox -> sentient_core/mailbox) must not hide the standard library's modules from
# programs started here, so the current folder stays out of sys.path: the editable install is found behind them.
export PYTHONSAFEPATH = 1
# where it is set, every process that the tests start would compile all modules anew
unexport PYTHONDONTWRITEBYTECODE
# pyright's launcher would ask the network whether there is a newer one
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

BIN := .venv/bin
CODE := sentient_core sentient_core_pytest tests benchmarks examples
# all of them run, whatever the one before said
CHECKS := "ruff check $(CODE)" "ruff format --check $(CODE)" "mypy" "pyright --project pyproject.toml --pythonpath $(BIN)/python" \
    "pytest --quiet tests/test_import_direction.py"

.PHONY: help demo test check bench format clean

help:  ## show this list (default)
	@echo 'make [ARGS="…"] [PYTHON=python3.12] <target>'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

demo:  ## turn Markdown into a site by supervised agents that crash (ARGS="--help" for options)
	@.ci/venv demo
	@$(BIN)/python -m examples.site $(ARGS)

# a file of tests is one worker's: what it sets up (a database server, say) is set up once; files in their order,
# since those with the fewest tests take the longest, and would be left to one worker at the end
# SENTIENT_LONG=1 make test: all of what is random, repeated or tried on every kind of store (see tests/long.py)
test:  ## run the tests, on all processors up to four (ARGS="-m 'not slow' tests/store")
	@.ci/venv dev
	@$(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

check:  ## lint, formatting, types under mypy and pyright, import direction
	@.ci/venv dev
	@failed=; for command in $(CHECKS); do \
	    echo "$$command"; $(BIN)/$$command || failed="$$failed\n  $$command"; \
	done; [ -z "$$failed" ] || { printf "make check: failed$$failed\n" >&2; exit 1; }

format:  ## put the code into its form, fix what ruff can fix
	@.ci/venv dev
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench:  ## measure, each figure beside a plain baseline (ARGS="actors --quick")
	@.ci/venv bench
	@$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove .venv, caches and what builds and the demo left
	rm -rf .venv build dist site demo.db .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
