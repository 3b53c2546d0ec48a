#!/usr/bin/env bash
# Installs what the web demo and its tests need: Node.js 20 or later and Chromium as root on Debian or
# Ubuntu, and the packages of package-lock.json. No output if nothing is missing.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need node nodejs
need npm npm
need chromium chromium
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "error: these packages are missing: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
if [ "$(node --print 'parseInt(process.versions.node)')" -lt 20 ]; then
  echo "error: Node.js $(node --version) is too old: expected 20 or later" >&2
  exit 1
fi
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --silent --no-audit --no-fund
  cp package-lock.json node_modules/.installed
fi
