#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The one full check: ruff, mypy and every test, against the package as it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Usage: deploy/test.sh [PYTEST-ARGUMENT...]

Installs Zeile with all that its tests need into .venv, then runs ruff, mypy --strict and pytest. Needs Python 3.10,
3.11 or 3.12 with venv, pip and a C++ compiler. Some tests need more (chromium, tesseract-ocr, qemu-user-static,
g++-aarch64-linux-gnu, cmake, libsimde-dev): where that is missing they say so and are
skipped. With CI=true, root and apt, those packages are installed first.

Arguments are handed to pytest: deploy/test.sh -m "not slow", deploy/test.sh tests/test_ctc.py

Environment:
  ZEILE_VENV    folder of the virtual environment (default .venv)
  ZEILE_PYTHON  the Python to make it with
TEXT
}

[[ ${1:-} == --help || ${1:-} == -h ]] && { usage; exit 0; }

# What only some tests need. Failing to get it is no failure: those tests are skipped, with the reason.
install_system_packages() {
  local package missing=()
  for package in chromium tesseract-ocr qemu-user-static g++-aarch64-linux-gnu cmake libsimde-dev; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  echo "Installing for the tests: ${missing[*]}"
  apt-get update -qq || return 0
  for package in "${missing[@]}"; do # one by one: where one does not exist the others still come
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
      echo "  $package could not be installed; its tests will be skipped"
  done
}

# shellcheck source=deploy/environment.sh
source deploy/environment.sh
if [[ ${CI:-} == true && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  install_system_packages
fi
make_venv "${ZEILE_VENV:-.venv}"
echo "Installing Zeile and its test tools"
# A CPU build of torch is enough: pip install torch --index-url <PyTorch's CPU index> beforehand saves 2 GB of CUDA.
install 'torch==2.13.0'
install '.[service,train,bench,test]'

bin=$(cd "$(dirname "$python")" && pwd)
export PATH=$bin:$PATH # the tests call zeile, ninja
echo "ruff"
"$bin/ruff" check .
"$bin/ruff" format --check --quiet .
echo "mypy"
"$bin/mypy"
echo "pytest"
"$bin/pytest" "$@"
