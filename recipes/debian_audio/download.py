"""Download the recipe's Debian packages and unpack their recordings.

  python recipes/debian_audio/download.py --work=work

Uses apt-get as a normal user, with lists and settings of its own under WORK/apt, and always the
same release of Debian, independent of this machine's. `packages.csv` has the versions and SHA-256
digests of the files that the shipped weights were trained with; if Debian has a newer version, it
is used with a warning. What exists already is neither downloaded nor unpacked again. About 8.4 GB.

WORK/debs has the packages, WORK/unpacked their recordings, WORK/licences their copyright files, and
WORK/packages.csv the versions used.
"""

import csv
import dataclasses
import hashlib
import io
import logging
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.parse
import zipfile
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import tqdm
from absl import flags
from archives import ARCHIVE, members

from a2v_tf.errors import A2vError, run_app
from a2v_tf.files import whole_file

FLAGS = flags.FLAGS

LOCK = pathlib.Path(__file__).with_name("packages.csv")
WANTED = re.compile(r"\.(ogg|opus|wav|flac|mp3|g722|gsm|au|ALS|sf2)$")
_COPYRIGHT = re.compile(r"/usr/share/doc/[^/]+/copyright$")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclasses.dataclass(frozen=True)
class Package:
    """A Debian package.

    Attributes:
      name: of the package.
      version: Debian's.
      sha256: of the .deb.
      licence: short name of its recordings' licence.
    """

    name: str
    version: str
    sha256: str
    licence: str


@dataclasses.dataclass(frozen=True)
class Offer:
    """The file of a package in the archive: its name, size in bytes and SHA-256."""

    file: str
    size: int
    sha256: str

    @property
    def version(self) -> str:
        """The package's version, from the file name."""
        return urllib.parse.unquote(self.file.split("_")[1])


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("work", None, "Directory for all files of the recipe.", required=True)
    flags.DEFINE_string("mirror", "http://deb.debian.org/debian", "Debian's archive.")
    flags.DEFINE_string("release", "bookworm", "Release of Debian.")
    flags.DEFINE_string("packages", str(LOCK), "CSV file with the packages and their versions.")


def main(_: list[str]) -> None:
    work = pathlib.Path(FLAGS.work).absolute()
    wanted = read_packages(pathlib.Path(FLAGS.packages))
    (work / "debs").mkdir(parents=True, exist_ok=True)
    used = download(wanted, work, FLAGS.mirror, FLAGS.release)
    unpack_all(used, work)
    write_packages(used, work / "packages.csv")
    print(f"{work}/unpacked: the recordings of {len(used)} packages")


def read_packages(path: pathlib.Path) -> list[Package]:
    """Read a list of packages.

    Raises:
      A2vError: there is no such file.
    """
    if not path.is_file():
        raise A2vError(f"no {str(path)!r}: run download.py first")
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return [Package(r["package"], r["version"], r["sha256"], r["licence"]) for r in rows]


def write_packages(packages: list[Package], path: pathlib.Path) -> None:
    """Write a list of packages."""
    rows = [dataclasses.astuple(package) for package in packages]
    write_csv(path, ("package", "version", "sha256", "licence"), rows)


def write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV file atomically."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


# Download ----------------------------------------------------------------------------------------


def download(wanted: list[Package], work: pathlib.Path, mirror: str, release: str) -> list[Package]:
    """Download the packages that are missing; returns all with their versions.

    Raises:
      A2vError: a tool is missing, the archive cannot be reached, or has no such package.
    """
    _need("apt-get", "dpkg-deb")
    debs = work / "debs"
    missing = [package for package in wanted if not _is_there(debs / file_of(package), package)]
    used = {package.name: package for package in wanted}
    if not missing:
        return wanted
    apt = _apt(work / "apt", mirror, release)
    offers = _offers(apt, [package.name for package in missing])
    for package in tqdm.tqdm(missing, desc="download", unit="package", disable=None):
        offer = offers.get(package.name)
        if offer is None:
            raise A2vError(f"{mirror} {release} has no package {package.name!r}")
        now = dataclasses.replace(package, version=offer.version, sha256=offer.sha256)
        if now != package:
            logging.warning(
                "%s: Debian has replaced version %s by %s; the weights will differ slightly",
                *(package.name, package.version, now.version),
            )
        if not _is_there(debs / offer.file, now):
            _fetch(apt, package.name, debs, offer)
        used[package.name] = now
    return list(used.values())


def file_of(package: Package) -> str:
    """The pattern of the file name that apt-get gives a package."""
    return f"{package.name}_{package.version.replace(':', '%3a')}_*.deb"


def find_deb(debs: pathlib.Path, package: Package) -> pathlib.Path | None:
    """A package's file, if it exists."""
    return next(iter(sorted(debs.glob(file_of(package)))), None)


def _is_there(pattern: pathlib.Path, package: Package) -> bool:
    found = find_deb(pattern.parent, package)
    return found is not None and sha256_of(found) == package.sha256


def sha256_of(path: pathlib.Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _need(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            raise A2vError(f"{tool} not found: expected Debian or Ubuntu, or a container of it")


def _apt(folder: pathlib.Path, mirror: str, release: str) -> list[str]:
    """apt-get with its own package lists, which are fetched once."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    remote = not mirror.startswith("file:")
    if remote and not pathlib.Path(_KEYRING).is_file():
        raise A2vError(f"no {_KEYRING}: apt-get install debian-archive-keyring")
    options = f"signed-by={_KEYRING}" if remote else "trusted=yes"
    source = f"deb [{options}] {mirror} {release} {'main' if remote else ''}\n"
    (folder / "sources.list").write_text(source)
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": "/dev/null",  # nothing is installed
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ["apt-get", "-q", *(x for k, v in settings.items() for x in ("-o", f"{k}={v}"))]
    done = folder / "updated"
    if not done.is_file() or done.read_text() != source:
        _run([*apt, "update"], "apt-get update")
        done.write_text(source)
    return apt


def _offers(apt: list[str], names: list[str]) -> dict[str, Offer]:
    """The archive's files of the packages."""
    lines = _run([*apt, "--print-uris", "download", *names], "apt-get download").splitlines()
    found = re.findall(r"^'.*' (\S+) (\d+) SHA256:([0-9a-f]{64})", "\n".join(lines), re.MULTILINE)
    offers = [Offer(file, int(size), sha256) for file, size, sha256 in found]
    return {offer.file.split("_")[0]: offer for offer in offers}


def _fetch(apt: list[str], name: str, debs: pathlib.Path, offer: Offer) -> None:
    """Download one package, atomically."""
    with tempfile.TemporaryDirectory(dir=debs, prefix=".partial") as partial:
        _run([*apt, "download", name], f"apt-get download {name}", cwd=partial)
        got = pathlib.Path(partial) / offer.file
        if not got.is_file() or sha256_of(got) != offer.sha256:
            raise A2vError(f"apt-get download {name} left no {offer.file} of the right content")
        os.replace(got, debs / offer.file)


def _run(command: list[str], what: str, cwd: str | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise A2vError(f"{what} failed: {(errors or [done.stderr.strip() or 'no message'])[0]}")
    return done.stdout


# Unpack ------------------------------------------------------------------------------------------


def unpack_all(packages: list[Package], work: pathlib.Path) -> None:
    """Unpack each package's recordings to WORK/unpacked/PACKAGE, and collect the licences."""
    licences = work / "licences"
    licences.mkdir(exist_ok=True)
    for package in tqdm.tqdm(packages, desc="unpack", unit="package", disable=None):
        target = work / "unpacked" / package.name
        stamp, made_of = target / ".sha256", f"{package.sha256} {WANTED.pattern}"
        if not (stamp.is_file() and stamp.read_text() == made_of):
            partial = target.with_name(f".{package.name}.partial")
            for old in (partial, target):
                shutil.rmtree(old, ignore_errors=True)
            partial.mkdir(parents=True)
            unpack(find_deb(work / "debs", package), partial)
            (partial / ".sha256").write_text(made_of)
            os.replace(partial, target)
        for copyright_ in target.glob("usr/share/doc/*/copyright"):
            shutil.copyfile(copyright_, licences / f"{package.name}.txt")


def unpack(deb: pathlib.Path, target: pathlib.Path) -> None:
    """Unpack only a package's recordings and copyright file.

    Raises:
      A2vError: it is not a Debian package.
    """
    pipe = subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        with pipe, tarfile.open(fileobj=pipe.stdout, mode="r|") as archive:
            for member in archive:
                path = "/" + member.name.removeprefix("./")
                if not member.isfile():
                    continue
                if ARCHIVE.search(path):
                    _unpack_archive(archive.extractfile(member), target)
                elif WANTED.search(path) or _COPYRIGHT.search(path):
                    _write(archive.extractfile(member), target, path)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise A2vError(f"cannot unpack {deb}: {error}") from error
    if pipe.returncode:
        raise A2vError(f"cannot unpack {deb}: dpkg-deb failed")


def _unpack_archive(stream: BinaryIO, target: pathlib.Path) -> None:
    with tempfile.TemporaryFile(dir=target) as file:
        shutil.copyfileobj(stream, file)
        file.seek(0)
        for name, content in members(file, WANTED):
            _write(io.BytesIO(content), target, f"/{name}")


def _write(stream: BinaryIO, target: pathlib.Path, path: str) -> None:
    output = (target / path.lstrip("/")).resolve()
    if not output.is_relative_to(target.resolve()):
        raise A2vError(f"a package has the path {path!r}, which leaves its folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        shutil.copyfileobj(stream, file)


if __name__ == "__main__":
    run_app(main, define_flags)
