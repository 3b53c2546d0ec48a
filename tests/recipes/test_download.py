"""`recipes/debian_audio/download.py`, by apt-get from an archive in a folder."""

import shutil

import pytest

from a2v_tf.errors import A2vError
from tests.recipes.conftest import build_deb

pytestmark = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="no Debian or Ubuntu"
)


@pytest.fixture
def download(script):
    return script("download")


@pytest.fixture
def archive(tmp_path):
    """An archive of two packages, and their digests."""
    folder = tmp_path / "archive"
    folder.mkdir()
    digests = {
        "bells": build_deb(folder, "bells", "1:2.0-1", 0),
        "horns": build_deb(folder, "horns", "0.1~b", 1),
    }
    return f"file:{folder}", digests


@pytest.fixture
def wanted(download, archive):
    _, digests = archive
    return [
        download.Package("bells", "1:2.0-1", digests["bells"], "GPL"),
        download.Package("horns", "0.1~b", digests["horns"], "CC0"),
    ]


def fetch(download, wanted, work, mirror):
    (work / "debs").mkdir(parents=True, exist_ok=True)
    return download.download(wanted, work, mirror, "./")


def test_recordings_and_licences_are_unpacked_and_nothing_else(
    download, wanted, archive, tmp_path, caplog
):
    work = tmp_path / "work"
    used = fetch(download, wanted, work, archive[0])
    assert used == wanted
    assert not caplog.records
    download.unpack_all(used, work)
    found = {str(p.relative_to(work)) for p in work.glob("unpacked/*/usr/**/*") if p.is_file()}
    assert found == {
        *(f"unpacked/{name}/usr/share/{name}/sound.wav" for name in ("bells", "horns")),
        *(f"unpacked/{name}/usr/share/doc/{name}/copyright" for name in ("bells", "horns")),
    }
    assert (work / "licences/horns.txt").read_text() == "horns is free\n"
    download.write_packages(used, work / "packages.csv")
    assert download.read_packages(work / "packages.csv") == wanted


def test_goes_on_where_it_was_stopped(download, wanted, archive, tmp_path, monkeypatch):
    work, fetched, original = tmp_path / "work", [], download._fetch

    def stopped_at_the_second(apt, name, *rest):
        if fetched:
            raise KeyboardInterrupt
        fetched.append(name)
        original(apt, name, *rest)

    monkeypatch.setattr(download, "_fetch", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        fetch(download, wanted, work, archive[0])
    monkeypatch.setattr(
        download, "_fetch", lambda a, n, *r: (fetched.append(n), original(a, n, *r))
    )
    fetch(download, wanted, work, archive[0])
    assert fetched == ["bells", "horns"]
    fetch(download, wanted, work, "file:/nowhere")  # all are there: the archive is not asked
    assert fetched == ["bells", "horns"]


def test_unpacking_goes_on_where_it_was_stopped(download, wanted, archive, tmp_path, monkeypatch):
    work = tmp_path / "work"
    used = fetch(download, wanted, work, archive[0])
    unpacked, original = [], download.unpack

    def stopped_in_the_second(deb, target):
        original(deb, target)
        if unpacked:
            raise KeyboardInterrupt
        unpacked.append(deb.name)

    monkeypatch.setattr(download, "unpack", stopped_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        download.unpack_all(used, work)
    assert not (work / "unpacked/horns").exists()
    monkeypatch.setattr(download, "unpack", lambda d, t: (unpacked.append(d.name), original(d, t)))
    download.unpack_all(used, work)
    assert [name.split("_")[0] for name in unpacked] == ["bells", "horns"]
    assert (work / "unpacked/horns/usr/share/horns/sound.wav").is_file()


def test_warns_when_debian_has_moved_on(download, wanted, archive, tmp_path, caplog):
    old = download.Package("bells", "1:1.0-1", "0" * 64, "GPL")
    used = fetch(download, [old, wanted[1]], tmp_path / "work", archive[0])
    assert used == wanted
    assert "bells: Debian has replaced version 1:1.0-1 by 1:2.0-1" in caplog.text


def test_a_package_that_is_not_there(download, archive, tmp_path):
    missing = download.Package("gongs", "1", "0" * 64, "GPL")
    with pytest.raises(A2vError, match=r"gongs"):
        fetch(download, [missing], tmp_path / "work", archive[0])


def test_the_list_of_the_recipe(download):
    packages = download.read_packages(download.LOCK)
    assert len({package.name for package in packages}) == len(packages) > 20
    assert all(len(package.sha256) == 64 and package.licence for package in packages)
