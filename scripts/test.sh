#!/usr/bin/env bash
# Lint, type check and test: installs what is needed, then runs ruff, mypy and pytest; arguments go to pytest. Two tests run
# at a time, because a study's processes are waited for most of the time. Of the tests that take long a sixteenth runs, the next
# one every day; `scripts/test.sh --whole` runs all.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
"$venv/bin/ruff" check
"$venv/bin/ruff" format --check
"$venv/bin/mypy" &  # beside the tests, which wait for the processes of studies most of the time
types=$!
trap 'kill "$types" 2>/dev/null || true' EXIT
"$venv/bin/python" -m pytest --numprocesses 2 --dist worksteal --durations=10 "$@"
wait "$types"
