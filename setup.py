"""What pyproject.toml cannot say.

The page of a package index is README.md without links that only work beside it. And with SOURCE_DATE_EPOCH, a source
distribution is the same byte for byte, whoever makes it and when; setuptools makes only the wheel so.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

NOTE = "The files that this page names, such as `docs/server.md`, are in the source distribution."
PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?://)[^)]*\)\n\n", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)#]*)[^)]*\)")


def index_page(readme: str) -> str:
    """Return a README in which the path of a file stands in the place of a link to it, without its pictures."""
    title, _, rest = LINK.sub(r"\1 (`\2`)", PICTURE.sub("", readme)).partition("\n\n")
    return f"{title}\n\n{NOTE}\n\n{rest}"


class BuildWithErrors(build_py):
    """Puts the page of errors into the package of a wheel, for `ndb-models explain`."""

    def run(self) -> None:
        """Build, and copy the page; an editable install reads it where it is."""
        super().run()
        if not self.editable_mode:
            page = Path(__file__).with_name("docs") / "errors.md"
            self.copy_file(str(page), str(Path(self.build_lib) / "ndb_models" / page.name))


class ReproducibleSdist(sdist):
    """Makes the archive from names and contents alone, if SOURCE_DATE_EPOCH gives its time."""

    def make_archive(
        self,
        base_name: str,
        format: str,  # noqa: A002  # named so in distutils
        root_dir: str | os.PathLike[str] | None = None,
        base_dir: str | None = None,
        owner: str | None = None,
        group: str | None = None,
    ) -> str:
        """Return the path of the archive of a folder."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar" or base_dir is None:
            return str(super().make_archive(base_name, format, root_dir, base_dir, owner, group))
        return archived(Path(f"{base_name}.tar.gz"), Path(root_dir or "."), base_dir, int(epoch))


def archived(archive: Path, root: Path, folder: str, epoch: int) -> str:
    """Write an archive of a folder below `root`, whose files are all of one time, and return its path."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = epoch, 0, 0, "", ""
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as entries,
    ):
        for path in sorted((root / folder).rglob("*"), key=lambda path: path.as_posix()):
            if path.is_file():
                entry = plain(entries.gettarinfo(path, path.relative_to(root).as_posix()))
                entry.type, entry.linkname = tarfile.REGTYPE, ""  # setuptools links what it packs
                entry.size = path.stat().st_size
                entries.addfile(entry, path.open("rb"))
    return str(archive)


os.umask(0o022)  # a wheel notes the modes of the files that are made for it
setup(
    long_description=index_page(Path(__file__).with_name("README.md").read_text("utf-8")),
    long_description_content_type="text/markdown",
    cmdclass={"build_py": BuildWithErrors, "sdist": ReproducibleSdist},
)
