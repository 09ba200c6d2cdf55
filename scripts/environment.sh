#!/usr/bin/env bash
# Makes a virtual environment with this project in it: environment.sh FOLDER EXTRA, where EXTRA is embedded, nvidia or amd.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 extra=$2
torch_cpu_index=https://download.pytorch.org/whl/cpu

python=$(for name in python3.11 python3.12 python3.13 python3; do
  "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$name"; break; }
done) || { echo "no Python 3.11 or newer with venv was found: install one" >&2; exit 1; }

step() { echo "[environment] $1"; }
install() { "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "constraints/$extra.txt" "$@"; }

step "1/4 making $folder with $("$python" --version)"
"$python" -m venv "$folder"
step "2/4 pip"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
if [ "$extra" = embedded ]; then
  step "3/4 PyTorch for CPUs (200 MB)"
  torch=$(grep -E '^torch==' constraints/embedded.txt)+cpu
  # From pip's own configuration where it is found there, else from PyTorch's public index.
  install --no-deps "$torch" 2>/dev/null || install --no-deps --index-url "$torch_cpu_index" "$torch"
else
  step "3/4 PyTorch comes with vLLM"
fi
step "4/4 vLLM, Ray and the rest (2 GB; some minutes)"
PYTHONWARNINGS=ignore install --editable ".[$extra,dev]"
step "done"
