#!/usr/bin/env bash
# Builds the app: android_demo/build_apk.sh ASSETS OUTPUT.apk
#
# ASSETS is a folder with model.tflite and the app's other assets. The APK is signed with a debug key,
# created on first use, or with your own: A2V_KEYSTORE, A2V_KEYSTORE_PASS, A2V_KEY_ALIAS. The build is
# reproducible apart from the signature. A2V_ABI=x86_64 builds for emulators.
set -euo pipefail

if [ $# -ne 2 ] || [ ! -f "$1/model.tflite" ]; then
  echo "usage: build_apk.sh ASSETS OUTPUT.apk, where ASSETS contains model.tflite" >&2
  exit 2
fi
assets=$(cd "$1" && pwd)
mkdir -p "$(dirname "$2")"
output=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$0")"
app=${A2V_APP:-app}/src/main
abi=${A2V_ABI:-arm64-v8a}

./install_packages.sh --say
version() { sed -n "s/^$1=//p" versions.properties; }

# --- Downloads from Maven Central ----------------------------------------------------------------
case $abi in
  arm64-v8a) platform=android-arm64 ;;
  x86_64) platform=android-x86_64 ;;
  *) echo "error: A2V_ABI=$abi: expected arm64-v8a or x86_64" >&2; exit 1 ;;
esac
build=build/$abi
jars=$PWD/build/jars-$abi
mkdir -p "$jars"
wanted=$(cat versions.properties apk/jars.xml)
if [ "$wanted" != "$(cat "$jars/have" 2> /dev/null)" ]; then
  echo "Fetching the tools and the runtime from Maven Central (once; 250 MB)"
  given=()
  while IFS='=' read -r name value; do
    given+=("-D$name=$value")
  done < <(grep -E '^[a-zA-Z]+=' versions.properties)
  mvn -q -B -Dstyle.color=never -f apk/jars.xml dependency:copy "-Djars=$jars" "-DnativePlatform=$platform" \
    -Dmdep.overWriteReleases=true "${given[@]}"
  echo "$wanted" > "$jars/have"
fi
runtime=$jars/javacpp.jar:$jars/tensorflow-lite.jar

rm -rf "$build"
mkdir -p "$build"/{generated,classes,classes-min,content}

# --- Resources -----------------------------------------------------------------------------------
# Debian's aapt2 warns about framework resources of Android 14 that it does not know, and skips them.
quietly() { "$@" 2> >(grep -v "Unknown chunk type" >&2); }
aapt2 compile --dir "$app/res" -o "$build/resources.zip"
quietly aapt2 link -o "$build/linked.apk" -I "$jars/android.jar" --manifest "$app/AndroidManifest.xml" \
  --java "$build/generated" --auto-add-overlay \
  --min-sdk-version "$(version minSdk)" --target-sdk-version "$(version targetSdk)" \
  --version-code "$(version versionCode)" --version-name "$(version versionName)" "$build/resources.zip"

# --- Code ----------------------------------------------------------------------------------------
# Compiled against Android 14, and again against Android 8 to find calls that it lacks.
find core/src/main/java runtime/src/main/java "$app/java" "$build/generated" -name '*.java' \
  | LC_ALL=C sort > "$build/sources"
compile() {
  javac --release "$(version java)" -encoding UTF-8 -g:source,lines -proc:none -Xlint:-options \
    -cp "$1:$runtime" -d "$2" "@$build/sources"
}
compile "$jars/android.jar" "$build/classes"
compile "$jars/android-min.jar" "$build/classes-min"
java -cp "$jars/animal-sniffer.jar:$jars/asm.jar" apk/CheckApi.java "$jars/api.signature" \
  "$build/classes" || { echo "error: the app uses an API that Android 8 lacks" >&2; exit 1; }

python3 - "$build/classes" "$jars"/{javacpp,tensorflow-lite}.jar << 'END'
import sys, zipfile
for jar in sys.argv[2:]:
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(sys.argv[1], [n for n in archive.namelist() if n.startswith("org/")])
END
# At 26, dx would emit invoke-custom for lambdas, which crashes on phones; at 24, it refuses them.
java -Xmx1g -cp "$jars/dx.jar" com.android.dx.command.Main --dex --min-sdk-version=24 \
  --output="$build/content/classes.dex" "$build/classes"

# --- Packing -------------------------------------------------------------------------------------
# Besides classes, JavaCPP's loader reads its platform's properties and two version files.
python3 - "$build/content" "$abi" "$platform" "$jars" << 'END'
import sys, zipfile
content, abi, platform, jars = sys.argv[1:]
wanted = {
    "javacpp": [f"org/bytedeco/javacpp/properties/{platform}.properties",
                "META-INF/maven/org.bytedeco/javacpp/pom.properties"],
    "tensorflow-lite": ["META-INF/maven/org.bytedeco/tensorflow-lite/pom.properties"],
    "javacpp-native": [f"lib/{abi}/libjnijavacpp.so"],
    "tensorflow-lite-native": [f"lib/{abi}/libjnitensorflowlite.so"],
}
for jar, names in wanted.items():
    with zipfile.ZipFile(f"{jars}/{jar}.jar") as archive:
        archive.extractall(content, names)
END
mkdir -p "$build/content/assets"
cp "$assets"/* "$build/content/assets/"
# According to the manifest: compressed and unpacked on installation, or stored.
store=()
grep -q 'extractNativeLibs="false"' "$app/AndroidManifest.xml" && store=(--store_libraries)
python3 apk/pack.py "$build/unsigned.apk" "$build/linked.apk" "$build/content" "${store[@]}"
zipalign -c 16384 "$build/unsigned.apk"

# --- Signature -----------------------------------------------------------------------------------
if [ -n "${A2V_KEYSTORE:-}" ]; then
  keystore=$A2V_KEYSTORE alias=${A2V_KEY_ALIAS:?names the key in A2V_KEYSTORE}
  export A2V_KEYSTORE_PASS=${A2V_KEYSTORE_PASS:?is the password of A2V_KEYSTORE}
else # the one that Android Studio uses too, so that either's build can be installed over the other's
  keystore=$HOME/.android/debug.keystore alias=androiddebugkey
  export A2V_KEYSTORE_PASS=android
  if [ ! -f "$keystore" ]; then
    mkdir -p "$(dirname "$keystore")"
    keytool -genkeypair -keystore "$keystore" -storepass android -keypass android -alias "$alias" \
      -dname "CN=Android Debug,O=Android,C=US" -keyalg RSA -keysize 2048 -validity 10950 2> /dev/null
  fi
fi
apksigner sign --ks "$keystore" --ks-key-alias "$alias" --ks-pass env:A2V_KEYSTORE_PASS \
  --v1-signing-enabled false --v2-signing-enabled true --v3-signing-enabled true \
  --out "$output" "$build/unsigned.apk"
rm -f "$output.idsig"
echo "Wrote $output ($(stat -c %s "$output") bytes, $abi)"
