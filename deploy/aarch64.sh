#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves on an x86-64 machine that aarch64 gives the same bits: runs decoding, preprocessing, the NumPy reference, the
# native engine's NEON paths and the whole recogniser in an emulated aarch64 Python, and compares every stage.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Usage: deploy/aarch64.sh [CACHE [DIGESTS-ARGUMENT...]]

Puts an aarch64 Python (this Debian's own packages), the aarch64 wheels of the dependencies and a cross-built native
engine into the folder CACHE (default: a temporary one, removed at the end), runs deploy/digests.py there under
qemu-aarch64-static and here, and compares the two. With a CACHE given, packages and wheels are kept for the next run.
Further arguments go to digests.py: deploy/aarch64.sh cache --lines lines.zip compares its first 1,000 lines.

Needs Debian (12 or later), qemu-user-static, g++-aarch64-linux-gnu, cmake, and Zeile installed in the Python named by
ZEILE_VENV (default .venv). Not root. Ends with 0 if all is equal, 1 if not, 77 if something needed is missing.
TEXT
}

[[ ${1:-} == --help || ${1:-} == -h ]] && { usage; exit 0; }

missing() {
  echo "aarch64.sh: $1" >&2
  exit 77
}

for tool in qemu-aarch64-static:qemu-user-static aarch64-linux-gnu-g++:g++-aarch64-linux-gnu cmake:cmake \
  apt-get:apt dpkg-deb:dpkg; do
  command -v "${tool%%:*}" >/dev/null || missing "${tool%%:*} is missing: apt install ${tool##*:}"
done
python=${ZEILE_VENV:-.venv}/bin/python
"$python" -c 'import zeile.native' 2>/dev/null || missing "$python has no zeile: run deploy/test.sh, or set ZEILE_VENV"

if (($#)); then
  mkdir -p "$1"
  cache=$(cd "$1" && pwd)
  shift
else
  cache=$(mktemp -d)
  trap 'rm -rf "$cache"' EXIT
fi
root=$cache/root site=$cache/site package=$cache/package

# apt with a state of its own: an empty aarch64 system, filled from this machine's sources.
arm_apt() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User="$(id -un)" \
    -o Dir::State="$cache/apt" -o Dir::State::Lists="$cache/apt/lists" -o Dir::State::status="$cache/apt/status" \
    -o Dir::Cache::archives="$cache/debs" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o Acquire::Languages=none -o Debug::NoLocking=1 "$@"
}

make_root() {
  mkdir -p "$cache/apt/lists/partial" "$cache/debs/partial" "$root"
  : >"$cache/apt/status"
  if ! arm_apt update ||
    ! arm_apt install -y --no-install-recommends --download-only python3 libpython3-dev libstdc++6; then
    missing "this system's package sources gave no arm64 packages"
  fi
  local deb
  for deb in "$cache"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
  touch "$root/complete"
}

# The wheels that an aarch64 user gets, newest ones, whatever is installed here.
make_site() {
  rm -rf "$site"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$site" \
    --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 --implementation cp \
    --python-version "${arm_python#python}" numpy pillow opencv-python-headless editdistance regex tqdm orjson ||
    missing "the aarch64 wheels of the dependencies could not be installed"
  "$python" -m pip install --quiet --disable-pip-version-check --target "$cache/host" nanobind
  touch "$site/complete"
}

# The package, with the engine built as CMakeLists.txt says, and its Python module linked by hand: CMake's FindPython
# would look for the Python that it runs.
make_package() {
  local source=app/zeile/native bind=$cache/host/nanobind
  rm -rf "$package"
  mkdir -p "$package"
  cp -r app/zeile "$package/"
  rm -f "$package"/zeile/native/*.so
  cmake -S "$source" -B "$cache/native" -DZEILE_PYTHON=OFF -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ >"$cache/cmake.log"
  cmake --build "$cache/native" --target zeile_core --parallel 2 >>"$cache/cmake.log"
  aarch64-linux-gnu-g++ -shared -fPIC -O2 -std=c++17 -fvisibility=hidden -fno-strict-aliasing -DNDEBUG \
    -I"$root/usr/include/$arm_python" -idirafter "$root/usr/include" \
    -I"$bind/include" -I"$bind/ext/robin_map/include" \
    "$bind/src/nb_combined.cpp" "$source/module.cpp" "$source"/*_binding.cpp "$cache/native/libzeile_core.a" \
    -pthread -o "$package/zeile/native/_native.so"
}

echo "An aarch64 Python"
[[ -e $root/complete ]] || make_root
arm_python=$(basename "$(readlink "$root/usr/bin/python3")")
echo "aarch64 wheels for $arm_python"
[[ -e $site/complete ]] || make_site
echo "The native engine for aarch64"
make_package

echo "Every stage, here"
PYTHONPATH=. "$python" deploy/digests.py "$@" >"$cache/here.txt"
echo "Every stage, on emulated aarch64"
qemu-aarch64-static -L "$root" -E PYTHONHOME="$root/usr" -E PYTHONPATH="$package:$site:$PWD" \
  -E PYTHONDONTWRITEBYTECODE=1 "$root/usr/bin/$arm_python" deploy/digests.py "$@" >"$cache/there.txt"

if ! diff "$cache/here.txt" "$cache/there.txt"; then
  echo "x86-64 (<) and aarch64 (>) differ"
  exit 1
fi
echo "equal: $(wc -l <"$cache/here.txt") digests"
