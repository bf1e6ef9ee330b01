# Sourced by search.sh and test.sh: makes the virtual environment .venv from scripts/requirements.lock where it is missing
# or was made from another lock, and installs this checkout into it, so that there is .venv/bin/tune-seg. Needs CPython 3.11
# to 3.13, pip and nothing else.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$root/.venv"
lock="$root/scripts/requirements.lock"

if ! cmp -s "$lock" "$venv/installed.lock"; then
    python=
    for name in python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            python=$name
            break
        fi
    done
    [ -n "$python" ] || { echo "Python 3.11 to 3.13 was not found; install it first." >&2; exit 1; }
    echo "Installing into $venv (once; several GB)" >&2
    "$python" -m venv --clear "$venv"
    # uv installs in parallel and compiles as it goes; it comes from the lock like all the rest. It does not read pip's
    # configuration, so where only pip knows the way to a mirror, pip installs the same lock.
    sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p}' "$lock" >"$venv/uv.lock"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$venv/uv.lock"
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes --compile-bytecode -r "$lock" \
        || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    # built by what is installed now; the checkout itself is used, not a copy of it
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
        --editable "$root"
    cp "$lock" "$venv/installed.lock"
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
