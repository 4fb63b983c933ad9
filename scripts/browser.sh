#!/usr/bin/env bash
# Installs Chromium where it can (Debian, as root), for the test that opens the page in a real browser.
# Without one that test is skipped, so nothing here fails.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
  echo "Installing chromium (apt-get)" >&2
  export DEBIAN_FRONTEND=noninteractive
  if { apt-get update && timeout 600 apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1; then exit 0; fi
fi
echo "No browser: the test that opens the page in Chromium will be skipped (apt install chromium)" >&2
