#!/usr/bin/env bash
# Installs, where it can (Debian, as root), programs that only some tests ask for: Chromium, which opens the page in
# a real browser, Icarus, the second Verilog simulator, and OpenSTA, which times gates. Without one those tests are
# skipped: nothing here fails.
set -euo pipefail

missing=()
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then browser=$name; fi
done
[[ -n ${browser:-} ]] || missing+=(chromium)
command -v iverilog >/dev/null || missing+=(iverilog)
command -v sta >/dev/null || missing+=(opensta)
[[ ${#missing[@]} != 0 ]] || exit 0

if command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
  echo "Installing ${missing[*]} (apt-get)" >&2
  export DEBIAN_FRONTEND=noninteractive
  if { apt-get update && timeout 600 apt-get install -y --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "Not there, so the tests that run them will be skipped: ${missing[*]} (apt-get install ${missing[*]})" >&2
