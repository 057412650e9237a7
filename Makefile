# Each target only calls: set-up is bin/setup, the work is in manage.py. Without make: `bin/setup && .venv/bin/python manage.py up`.
.POSIX:
.PHONY: portal setup setup-dev test check fix bench trial stress lock clean

PY = .venv/bin/python

portal: setup        ## the portal with its demo workspace, until Ctrl-C
	@exec $(PY) manage.py up --demo

setup:
	@bin/setup runtime

setup-dev:
	@bin/setup dev

test: setup-dev      ## every test, on SQLite and then on a throw-away PostgreSQL
	@exec bin/test

check: setup-dev     ## style, types, templates, arrows, migrations; changes nothing
	@exec bin/check

fix: setup-dev       ## what check can mend by itself
	@$(PY) -m ruff check --fix --quiet . ; $(PY) -m ruff format --quiet . ; $(PY) manage.py policy --write

bench: setup-dev     ## figures with sizes, as ratios to a floor measured in the same run
	@exec $(PY) -m ftportal.bench

trial: setup         ## the lifecycle on a file of yours: make trial DATA=FILE
	@$(PY) manage.py lifecycle "$(DATA)"

stress: setup-dev    ## the long forms of the fault tests
	@STRESS=1 $(PY) -m pytest -m faults -q

lock: setup-dev      ## new hash-locked requirements from requirements/*.in
	@for set in runtime dev setup; do .tools/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/$$set.in -o requirements/$$set.txt; done

clean:               ## removes what the portal made, its data included
	@rm -rf .venv .tools var
