#!/usr/bin/env bash
# Make scripts/requirements.lock again from pyproject.toml: exact versions with hashes for every platform, no registry named.
# Versions that are locked stay; `bash scripts/lock.sh --upgrade` takes the newest of all.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
python3.11 -m venv .lock-venv
trap 'rm -rf "$root/.lock-venv"' EXIT
.lock-venv/bin/python -m pip install --quiet uv
.lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --extra all --extra dev \
    "$@" --custom-compile-command "bash scripts/lock.sh" pyproject.toml -o scripts/requirements.lock
