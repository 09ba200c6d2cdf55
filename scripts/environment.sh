#!/usr/bin/env bash
# Makes a virtual environment with this project in it: environment.sh FOLDER EXTRA [WHEEL], where EXTRA is embedded,
# nvidia or amd. The project is this checkout, editable; or WHEEL, where one is named.
#
# The packages are those of constraints/EXTRA-pyVERSION.txt, checked against its hashes. uv installs them with pip's
# configuration; pip installs what uv cannot. A complete environment is updated, an incomplete one is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: environment.sh FOLDER EXTRA [WHEEL]" >&2; exit 2; }
folder=$1 extra=$2 wheel=${3:-}
torch_cpu_index=https://download.pytorch.org/whl/cpu
unfinished=$folder/unfinished
log=$folder/uv.log

step() { echo "[environment] $1"; }
fail() { echo "[environment] $1" >&2; exit 1; }

usable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
python=$(for name in python3.11 python3.12 python3.13 python3; do
  "$name" -c "$usable" 2>/dev/null && { command -v "$name"; break; }
done) || fail "no Python 3.11, 3.12 or 3.13 with venv was found: install one (on Debian and Ubuntu: python3 and python3-venv)"
version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
lock=constraints/$extra-py${version/./}.txt
[ -f "$lock" ] || fail "$lock does not exist: EXTRA is one of embedded, nvidia, amd"

complete() { [ ! -e "$unfinished" ] && [ -x "$folder/bin/uv" ] && [ -x "$folder/bin/python$version" ]; }
replaceable() { [ ! -e "$folder" ] || [ -e "$unfinished" ] || [ -e "$folder/pyvenv.cfg" ] || [ -z "$(ls -A "$folder")" ]; }

# A lock is complete, so neither uv nor pip resolves anything.
with_pip() { "$folder/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --no-deps "$@"; }
# uv leaves a lock file in the temporary folder, which is this one.
with_uv() {
  mkdir -p "$folder/tmp"
  TMPDIR="$folder/tmp" "$folder/bin/uv" pip install --python "$folder/bin/python" --no-deps "$@" >>"$log" 2>&1
}

# Installs the pins of file $1. uv refuses constraints beside hashes; so the pins are held to pip's constraints first.
checked_pins_with_uv() {
  [ -z "${UV_CONSTRAINT:-}" ] || with_uv --dry-run --no-verify-hashes --requirement "$@" || return
  (unset UV_CONSTRAINT && with_uv --require-hashes --requirement "$@")
}
# Where several indexes have a release, uv may take a wheel for any platform instead of the one for this platform, which
# alone has native libraries in it. So further indexes are only read for what the first one does not have.
pins_with_uv() {
  (unset UV_INDEX UV_INDEX_STRATEGY && checked_pins_with_uv "$@") || { [ -n "${UV_INDEX:-}" ] && checked_pins_with_uv "$@"; }
}
pins_with_pip() { with_pip --require-hashes --requirement "$@"; }
pip_instead() { step "    uv could not ($log says why); pip does it, which takes minutes"; }

if complete; then
  step "1/4 updating $folder, made with Python $version"
  touch "$unfinished"
else
  replaceable || fail "$folder holds something else than a virtual environment: name another folder"
  step "1/4 making $folder with $("$python" --version)"
  rm -rf "$folder"
  mkdir -p "$folder"
  touch "$unfinished"
  "$python" -m venv "$folder"
fi
: >"$log"

step "2/4 uv and pip (25 MB)"
pins_with_pip constraints/installers.txt
settings=$("$folder/bin/python" scripts/uv_settings.py)
eval "$settings"

if [ "$extra" = embedded ]; then
  step "3/4 PyTorch for CPUs (200 MB)"
  pins=$folder/torch.txt
  awk '/^[^ ]/ { torch = /^torch==/ } torch' "$lock" >"$pins"
  # From where pip's configuration says if it is there, else from PyTorch's public index.
  pins_with_uv "$pins" || pins_with_uv "$pins" --default-index "$torch_cpu_index" || {
    pip_instead
    pins_with_pip "$pins" 2>>"$log" || pins_with_pip "$pins" --index-url "$torch_cpu_index"
  }
else
  step "3/4 PyTorch comes with vLLM"
fi

step "4/4 $(grep -c '^[a-z].*==' "$lock") packages: vLLM, Ray and the rest (1 GB; half a minute where the network is fast)"
pins_with_uv "$lock" || { pip_instead; pins_with_pip "$lock"; }
# The project itself has no hash, so it comes last. The lock holds what builds it.
project=(--no-build-isolation --editable .)
[ -z "$wheel" ] || project=("$wheel")
with_uv "${project[@]}" || { pip_instead; with_pip "${project[@]}"; }
rm "$unfinished"
step "done in $SECONDS s"
