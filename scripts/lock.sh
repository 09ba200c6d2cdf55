#!/usr/bin/env bash
# Writes the lock files: lock.sh [EXTRA ...], where EXTRA is embedded, nvidia or amd; all three by default.
#
# constraints/EXTRA-pyVERSION.txt pins every package of an extra, of `dev` and of the build for one Python on Linux
# (x86_64), with the SHA-256 of every file that PyPI lists. Pins that a lock already has are kept: delete the line of a
# pin, or the lock, to have it resolved anew. constraints/installers.txt pins uv and pip and is edited by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

pythons=(3.11 3.12 3.13)

# PyTorch's builds for CPUs are not on PyPI. These are the hashes that https://download.pytorch.org/whl/cpu/torch/ lists.
torch=2.13.0
torch_cpu_hashes=(
  6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b # Python 3.11, x86_64
  4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2 # Python 3.12, x86_64
  3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6 # Python 3.13, x86_64
  84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7 # Python 3.11, aarch64
)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/uv"
"$scratch/uv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r constraints/installers.txt

# Only the default index is read, because a lock needs the hash of every file of a release.
settings=$("$scratch/uv/bin/python" scripts/uv_settings.py)
eval "$settings"
unset UV_INDEX UV_FIND_LINKS UV_INDEX_STRATEGY

compile() {
  "$scratch/uv/bin/uv" pip compile --quiet --no-header --python-platform x86_64-manylinux_2_35 --only-binary :all: "$@"
}

# The project is installed without build isolation, so a lock also holds what builds it.
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml >"$scratch/build.in"
[ -s "$scratch/build.in" ]

# vLLM for CPUs asks for PyTorch's build for CPUs. PyPI's build of that release stands in for it: without the CUDA
# packages that it depends on, and with the version of Triton that vLLM asks for.
printf 'torch==%s\ntriton\n' "$torch" >"$scratch/overrides.txt"
echo "torch==$torch" >"$scratch/torch.in"
compile --python-version "${pythons[0]}" --no-annotate "$scratch/torch.in" >"$scratch/torch.txt"
grep -oE '^(nvidia|cuda)-[a-z0-9-]+' "$scratch/torch.txt" >"$scratch/excludes.txt"

# Replaces PyPI's build of PyTorch by the build for CPUs, with its hashes.
torch_for_cpus() {
  awk -v release="$torch" -v hashes="${torch_cpu_hashes[*]}" '
    $1 == "torch==" release {
      printf "torch==%s+cpu", release
      for (i = 1; i <= split(hashes, hash, " "); i++) printf " \\\n    --hash=sha256:%s", hash[i]
      print ""
      replacing = 1
      next
    }
    replacing && /^    --hash=/ { next }
    { replacing = 0; print }
  ' "$1"
}

[ $# -gt 0 ] || set -- embedded nvidia amd
for extra in "$@"; do
  for version in "${pythons[@]}"; do
    lock=constraints/$extra-py${version/./}.txt
    options=()
    [ "$extra" != embedded ] || options=(--overrides "$scratch/overrides.txt" --excludes "$scratch/excludes.txt")
    # uv keeps the pins of the file that it writes to.
    [ ! -f "$lock" ] || sed "s/^torch==$torch+cpu/torch==$torch/" "$lock" >"$scratch/lock.txt"
    compile --python-version "$version" --generate-hashes --extra "$extra" --extra dev "${options[@]}" \
      pyproject.toml "$scratch/build.in" --output-file "$scratch/lock.txt" >/dev/null
    {
      echo "# Made by scripts/lock.sh: the extra '$extra' and 'dev' for Python $version on Linux. Do not edit."
      if [ "$extra" = embedded ]; then torch_for_cpus "$scratch/lock.txt"; else cat "$scratch/lock.txt"; fi |
        sed "s|-r $scratch/build.in|(build-system of pyproject.toml)|; \\,^ *#.* \\(-c\\|--override\\) /,d"
    } >"$lock"
    echo "[lock] $lock: $(grep -c '^[a-z].*==' "$lock") packages"
    rm "$scratch/lock.txt"
  done
done
