#!/usr/bin/env bash
# Search for the loss that serves your data: installs what is needed, then runs `tune-seg search "$@"`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$venv/bin/python" -m tune_seg search "$@"
