# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by run.sh and test.sh: find a Python and a compiler, make the virtual environment.

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}

# Prints the first Python of a version that Zeile runs on; ZEILE_PYTHON overrides.
find_python() {
  local name
  for name in ${ZEILE_PYTHON:-python3 python3.12 python3.11 python3.10}; do
    if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
      printf '%s\n' "$name"
      return
    fi
  done
  return 1
}

# make_venv FOLDER: makes it where it is missing or of a Python that is gone; sets $python to its interpreter.
make_venv() {
  local venv=$1 base
  command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || [[ -n ${CXX:-} ]] ||
    fail "no C++ compiler found, the native engine needs one: apt install g++"
  python=$venv/bin/python
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    base=$(find_python) ||
      fail "no Python 3.10, 3.11 or 3.12 found ($(python3 --version 2>&1 || true)): apt install python3 python3-venv, or name one in ZEILE_PYTHON"
    "$base" -c 'import ensurepip, venv' 2>/dev/null ||
      fail "$("$base" --version) has no venv module: apt install python3-venv"
    echo "Making $venv with $("$base" --version)"
    "$base" -m venv --clear "$venv" || fail "could not make a virtual environment in $venv"
  fi
}

# install ARGUMENT...: pip, quiet unless it fails.
install() {
  "$python" -m pip install --quiet --disable-pip-version-check "$@" ||
    fail "pip could not install: $*; its message is above"
}
