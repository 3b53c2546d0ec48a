"""Maven, Gradle and build_apk.sh use the versions in versions.properties."""

import pathlib
import re
import xml.etree.ElementTree

import pytest

DEMO = pathlib.Path(__file__).parents[2] / "android_demo"
MAVEN = "{http://maven.apache.org/POM/4.0.0}"
ANDROID_OF_API = {26: "8.0.0", 34: "14"}
POMS = sorted(path.relative_to(DEMO).as_posix() for path in DEMO.glob("*/pom.xml"))
GRADLE = sorted(path.relative_to(DEMO).as_posix() for path in DEMO.glob("**/*.gradle"))


@pytest.fixture(scope="module")
def versions() -> dict[str, str]:
    lines = (DEMO / "versions.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def parse(name: str | pathlib.Path) -> xml.etree.ElementTree.Element:
    return xml.etree.ElementTree.parse(DEMO / name).getroot()


def read(name: str) -> str:
    return (DEMO / name).read_text()


def used_by_maven(name: str) -> list[str]:
    """The version of each dependency and each downloaded artefact, as written in the file."""
    root = parse(name)
    items = [*root.iter(f"{MAVEN}dependency"), *root.iter(f"{MAVEN}artifactItem")]
    return [item.findtext(f"{MAVEN}version") for item in items]


def test_the_parent_pom_repeats_versions(versions):
    properties = {
        entry.tag.removeprefix(MAVEN): entry.text
        for entry in parse("pom.xml").find(f"{MAVEN}properties")
    }
    assert properties["maven.compiler.release"] == versions["java"]
    repeated = properties.keys() & versions.keys()
    assert {"tensorflowLite", "javacpp", "androidAll", "junit", "robolectric"} <= repeated
    assert {name: properties[name] for name in repeated} == {
        name: versions[name] for name in repeated
    }


@pytest.mark.parametrize("name", ["pom.xml", "apk/jars.xml", *POMS])
def test_maven_names_versions_that_exist(name, versions):
    own = parse(name).find(f"{MAVEN}properties") if name in POMS else None
    derived = {} if own is None else {e.tag.removeprefix(MAVEN): e.text for e in own}
    for version in used_by_maven(name):
        assert version is not None
        named = re.match(r"\$\{([\w.]+)\}", version)
        if named and named[1] in derived:  # such as "${androidAll}-i7"
            named = re.match(r"\$\{([\w.]+)\}", derived[named[1]])
        assert named, f"{version} does not come from versions.properties"
        assert named[1] in versions or named[1] == "project.version"


@pytest.mark.parametrize("name", GRADLE)
def test_gradle_names_versions_that_exist(name, versions):
    text = read(name)
    assert set(re.findall(r"\bversions\.(\w+)", text)) - {"properties", "load"} <= versions.keys()
    assert not re.search(r"[\"'][\w.-]+:[\w.-]+:\d", text), "a version that is written out"
    assert not re.search(r"(minSdk|targetSdk|compileSdk|versionCode)\s*=?\s*\d", text)


def test_build_apk_names_versions_that_exist(versions):
    for script in ("build_apk.sh", "check_apk.sh"):
        named = set(re.findall(r"\$\(version (\w+)\)", read(script)))
        assert {"minSdk", "targetSdk"} <= named <= versions.keys()


def test_the_same_artefacts_everywhere(versions):
    """All builds refer to these artefacts by the property of their version."""
    properties = {
        "dalvik-dx": "dalvikDx",
        "javacpp": "javacpp",
        "junit": "junit",
        "robolectric": "robolectric",
        "tensorflow-lite": "tensorflowLite",
    }
    for name in ("pom.xml", "apk/jars.xml", *POMS):
        root = parse(name)
        for item in [*root.iter(f"{MAVEN}dependency"), *root.iter(f"{MAVEN}artifactItem")]:
            artefact = item.findtext(f"{MAVEN}artifactId")
            if artefact in properties:
                expected = f"${{{properties[artefact]}}}"
                assert item.findtext(f"{MAVEN}version") == expected, f"{name}: {artefact}"
    for name in GRADLE:
        for artefact, version in re.findall(r":([\w-]+):\$\{versions\.(\w+)\}", read(name)):
            assert properties[artefact] == version, f"{name}: {artefact}"


def test_android_artefacts_have_the_api_levels(versions):
    least, target = int(versions["minSdk"]), int(versions["targetSdk"])
    assert versions["androidAll"].startswith(f"{ANDROID_OF_API[target]}-")
    assert versions["androidAllMin"].startswith(f"{ANDROID_OF_API[least]}_")
    assert f"gummy-bears-api-{least}<" in read("apk/jars.xml")


def test_aapt2_gets_the_same_levels_from_maven(versions):
    levels = {
        "--min-sdk-version": "minSdk",
        "--target-sdk-version": "targetSdk",
        "--version-name": "versionName",
    }
    for name in POMS:
        for option, value in re.findall(r"(--[a-z-]+) ([\w.${}]+)", read(name)):
            if option in levels:
                assert value in (versions[levels[option]], f"${{{levels[option]}}}"), name


def test_the_bindings_are_of_javacpp(versions):
    assert versions["tensorflowLite"].endswith(f"-{versions['javacpp']}")


def test_the_substitute_parent_pom_has_this_version(versions):
    (path,) = (DEMO / "maven").rglob("*.pom")
    name = f"javacpp-presets/{versions['javacpp']}/javacpp-presets-{versions['javacpp']}.pom"
    assert path.as_posix().endswith(f"org/bytedeco/{name}")
    assert parse(path).findtext(f"{MAVEN}version") == versions["javacpp"]


def test_every_version_is_used(versions):
    texts = "".join(map(read, ["pom.xml", "apk/jars.xml", "build_apk.sh", *POMS, *GRADLE]))
    for name in versions:
        assert re.search(rf"\b{name}\b", texts), name
