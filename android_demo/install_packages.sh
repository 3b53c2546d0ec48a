#!/usr/bin/env bash
# Installs the packages for the app's build, checks and tests, as root on Debian or Ubuntu. Otherwise,
# or with --say, prints one line with the missing packages. No output if none is missing.
set -euo pipefail

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need aapt2 aapt
need apksigner apksigner
need zipalign zipalign
need dexdump dexdump
need readelf binutils
need unzip unzip
need javac openjdk-17-jdk-headless
need mvn maven
need python3 python3
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "${1:-}" = --say ] || [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "error: these packages are missing: apt-get install ${missing[*]}" >&2
  exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
