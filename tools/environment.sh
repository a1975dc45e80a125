#!/bin/sh
# Makes a Python environment exactly what its hashed locks say; does nothing where it already is.
# Usage: environment.sh DIRECTORY LOCK...      (PYTHON names the interpreter, default python3)
set -eu

environment=$1
shift
python=${PYTHON:-python3}
uv_lock=requirements-uv.txt

fail() {
    printf 'environment: %s\n' "$1" >&2
    exit 1
}

case $PWD in
*[[:space:]\'\"\\%,\;\#\$\`]*)
    fail "got the folder $PWD; expected a path without spaces, quotes, %, commas, ; # \$ and backslashes, which Ansible and supervisord cut at; move the clone" ;;
esac
command -v "$python" >/dev/null 2>&1 || fail "no $python here; install Python 3.11 or newer, or set PYTHON=/path/to/python3"
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is Python $found, needed is 3.11 or newer; set PYTHON=/path/to/a/newer/python3"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python has no venv module; install it (Debian, Ubuntu: apt install python3-venv)"

# The path is part of the stamp: an environment does not survive being moved with its clone.
stamp=$({ printf '%s\n' "$PWD/$environment" "$found"; cat "$0" "$uv_lock" "$@"; } | "$python" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ "$(cat "$environment/.stamp" 2>/dev/null)" = "$stamp" ] && "$environment/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

printf 'environment: making %s with %s (Python %s)\n' "$environment" "$python" "$found"
rm -f "$environment/.stamp"
"$python" -m venv --clear "$environment"
pip="$environment/bin/python -m pip --disable-pip-version-check"
if $pip install --quiet --only-binary :all: --require-hashes -r "$uv_lock"; then
    echo "environment: installing $* through uv"
    set -- "$uv_lock" "$@"
    "$environment/bin/uv" pip sync --python "$environment/bin/python" --require-hashes --compile-bytecode "$@"
else
    echo "environment: uv is not to be had here; installing $* through pip, which takes longer"
    for lock; do set -- "$@" -r "$lock"; shift; done
    $pip install --require-hashes "$@"
fi
printf '%s\n' "$stamp" >"$environment/.stamp"
