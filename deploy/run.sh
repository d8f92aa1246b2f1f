#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs Zeile into a virtual environment, reads the sample lines, then serves the web page and the API.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Usage: deploy/run.sh [--no-serve] [--port PORT]

Installs Zeile into .venv, reads the sample lines of tests/lines with the models of models/, prints their text,
error rate and speed, then serves on 127.0.0.1 until Ctrl-C. Needs Python 3.10, 3.11 or 3.12 with venv, pip and a
C++ compiler (Debian, Ubuntu: apt install python3-venv g++). May be run again: it then only brings things up to date.

  --no-serve    stop after the sample lines
  --port PORT   port to serve on (default 8000)
  --help        this text

Environment:
  ZEILE_VENV    folder of the virtual environment (default .venv)
  ZEILE_PYTHON  the Python to make it with (default: the first of python3, python3.12, 3.11, 3.10 that fits)
TEXT
}

serve=yes port=8000
while (($#)); do
  case $1 in
    --no-serve) serve=no ;;
    --port)
      (($# > 1)) || { echo "run.sh: --port needs a number" >&2; exit 2; }
      port=$2
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) echo "run.sh: unknown option $1; see deploy/run.sh --help" >&2; exit 2 ;;
  esac
  shift
done
[[ $port =~ ^[0-9]+$ && $port -ge 1 && $port -le 65535 ]] ||
  { echo "run.sh: port $port is not a number from 1 to 65535" >&2; exit 2; }

# shellcheck source=deploy/environment.sh
source deploy/environment.sh
make_venv "${ZEILE_VENV:-.venv}"
echo "Installing Zeile (the first time takes a minute or two: it compiles the native engine)"
install '.[service]'

"$python" deploy/read_samples.py --models models

if [[ $serve == yes ]]; then
  echo "Serving on http://127.0.0.1:$port - stop with Ctrl-C"
  ZEILE_MODELS=$PWD/models exec "$python" -m zeile serve --host 127.0.0.1 --port "$port"
fi
