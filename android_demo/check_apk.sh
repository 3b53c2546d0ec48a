#!/usr/bin/env bash
# Checks an APK without a phone: android_demo/check_apk.sh APK MODEL.tflite
#
# MODEL.tflite is the exported file that the APK must contain. A failure prints one line; exit status 1.
set -euo pipefail

if [ $# -ne 2 ] || [ ! -f "$1" ] || [ ! -f "$2" ]; then
  echo "usage: check_apk.sh APK MODEL.tflite, two files" >&2
  exit 2
fi
apk=$1 model=$2
here=$(cd "$(dirname "$0")" && pwd)
largest=12000000
page=16384

# Not "command | grep -q": grep would exit first, and the command would fail on a closed pipe.
says() { local text; text=$("${@:2}" 2> /dev/null) && grep -qE "$1" <<< "$text"; }
fail() { echo "error: $apk: $*" >&2; exit 1; }
version() { sed -n "s/^$1=//p" "$here/versions.properties"; }
for tool in aapt2 apksigner dexdump readelf unzip zipalign; do
  command -v $tool > /dev/null || fail "cannot be checked without $tool"
done

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
unzip -q "$apk" -d "$unpacked" 2> /dev/null || fail "is no zip file"

# --- Signature and alignment ---------------------------------------------------------------------
verified=$(apksigner verify --verbose --min-sdk-version "$(version minSdk)" "$apk" 2>&1) \
  || fail "the signature does not verify: $(grep -m1 ERROR <<< "$verified")"
for scheme in v2 v3; do
  grep -q "Verified using $scheme scheme.*: true" <<< "$verified" || fail "is not signed by scheme $scheme"
done
zipalign -c "$page" "$apk" > /dev/null || fail "what is stored is not aligned to $page bytes"
# Android 11 refuses to install apps whose resources are compressed.
says Stored unzip -v "$apk" resources.arsc || fail "resources.arsc is compressed"

# --- Manifest ------------------------------------------------------------------------------------
badging=$(aapt2 dump badging "$apk" 2> /dev/null) || fail "aapt2 cannot read it"
expect() { grep -qF "$1" <<< "$badging" || fail "expected $1: has $(grep -m1 -F "${1%%[:=]*}" <<< "$badging")"; }
expect "package: name='org.a2vtf.app' versionCode='$(version versionCode)' versionName='$(version versionName)'"
expect "sdkVersion:'$(version minSdk)'"
expect "targetSdkVersion:'$(version targetSdk)'"
permissions=$(sed -n "s/^uses-permission: name='\([^']*\)'.*/\1/p" <<< "$badging" | tr '\n' ' ')
[[ $permissions != *INTERNET* ]] || fail "asks for the permission INTERNET"
[[ $permissions == *RECORD_AUDIO* ]] || fail "does not ask for the permission RECORD_AUDIO"
activity=$(sed -n "s/^launchable-activity: name='\([^']*\)'.*/\1/p" <<< "$badging")
[ -n "$activity" ] || fail "has no activity to launch"

# --- Code ----------------------------------------------------------------------------------------
dexdump -d "$unpacked"/classes*.dex > "$unpacked/dump" 2> /dev/null || fail "dexdump cannot read its code"
grep -q "invoke-virtual" "$unpacked/dump" || fail "dexdump shows no code"
customs=$(grep -cE 'invoke-(custom|polymorphic)' "$unpacked/dump" || true)
[ "$customs" = 0 ] || fail "its code has $customs invoke-custom, which crash: no lambdas or method references"
for class in "$activity" org.a2vtf.runtime.Models org.bytedeco.tensorflowlite.Interpreter; do
  grep -qF "Class descriptor  : 'L${class//./\/};'" "$unpacked/dump" || fail "the class $class is missing"
done

# --- Native libraries ----------------------------------------------------------------------------
libraries=0
for library in "$unpacked"/lib/*/*.so; do
  [ -f "$library" ] || break
  name=${library#"$unpacked/"}
  case $name in
    lib/arm64-v8a/*) machine=AArch64 ;;
    lib/x86_64/*) machine=X86-64 ;;
    *) fail "$name is of an ABI that is not supported" ;;
  esac
  says "Machine:.*$machine" readelf -hW "$library" || fail "$name is not for $machine"
  loads=$(readelf -lW "$library" | awk '$1 == "LOAD" {print $NF}')
  [ -n "$loads" ] || fail "$name has nothing to load"
  for align in $loads; do
    [ $((align)) -ge $page ] || fail "$name is aligned to $align: phones with pages of 16 kB cannot load it"
  done
  for needed in $(readelf -dW "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $needed in
      libc.so | libdl.so | liblog.so | libm.so) ;;
      *) [ -f "$(dirname "$library")/$needed" ] || fail "$name needs $needed, which is not there" ;;
    esac
  done
  libraries=$((libraries + 1))
done
[ $libraries -ge 2 ] || fail "has $libraries native libraries: expected JavaCPP's and TFLite's"
if says 'extractNativeLibs.*=false' aapt2 dump xmltree --file AndroidManifest.xml "$apk"; then
  ! says Defl: unzip -v "$apk" 'lib/*' || fail "its libraries are compressed: the manifest says they are not"
fi

# --- Model and size ------------------------------------------------------------------------------
hash() { sha256sum "$1" | cut -d ' ' -f 1; }
[ -f "$unpacked/assets/model.tflite" ] || fail "holds no assets/model.tflite"
[ "$(hash "$unpacked/assets/model.tflite")" = "$(hash "$model")" ] || fail "holds another model than $model"
size=$(stat -c %s "$apk")
[ "$size" -le $largest ] || fail "has $size bytes: more than $largest"

echo "$apk: $size bytes, signed (v2, v3), aligned to $page, API $(version minSdk) to $(version targetSdk)"
echo "  permissions: $permissions"
echo "  $libraries native libraries for pages of 16 kB: $(cd "$unpacked/lib" && echo */*.so)"
echo "  model $(hash "$model")"
