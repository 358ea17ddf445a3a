"""Build the container image of deploy/Dockerfile from packages of Debian, without a registry of images.

`python deploy/build_image.py IMAGE.tar`, as root, on a Debian or Ubuntu with mmdebstrap and buildah: the base image is
made of the packages that the machine's own sources have, and the Dockerfile is carried out on it. IMAGE.tar is an OCI
archive: `podman load --input IMAGE.tar`, or `skopeo copy oci-archive:IMAGE.tar docker://...`.

Nothing is left behind but IMAGE.tar. Packages of Python come from where pip gets them; a certificate that pip is to
trust there is taken from PIP_CERT.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TOOLS: Final = ("mmdebstrap", "buildah")
# What runs the server: everything else is of Debian's essential packages.
PACKAGES: Final = ("python3", "ca-certificates")
FOR_BUILDING: Final = "python3-venv"
# What it brings, as a pattern of names: removed again from what runs the server.
BROUGHT: Final = "^python3.*-venv$|^python3-(pip|setuptools)-whl$|^python3-(distutils|lib2to3)$"
SOURCES: Final = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
# What installing leaves, and an image does not need.
LEFT_OUT: Final = ("./dev/*", "./proc/*", "./sys/*", "./tmp/*", "./var/cache/*", "./var/lib/apt/*", "./var/log/*")


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description="Build the container image from packages of Debian.")
    parser.add_argument("image", type=Path, metavar="IMAGE.tar", help="the OCI archive to write")
    parser.add_argument("--suite", default=suite(), help="Debian's suite; the machine's own by default")
    options = parser.parse_args()
    build_image(options.image.resolve(), options.suite)


def suite() -> str:
    """Return the suite of this machine."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")


def build_image(image: Path, debian: str) -> None:
    """Write the image as an OCI archive."""
    with tempfile.TemporaryDirectory(prefix="ndb-models-image-") as folder:
        here = Path(folder)
        base, building = make_bases(here, debian)
        buildah = ("buildah", "--root", f"{here}/storage", "--runroot", f"{here}/run")
        try:
            for name, archive in (("base", base), ("building", building)):
                import_base(buildah, name, archive)
            carry_out(buildah, here)
            run(*buildah, "push", "--quiet", "localhost/ndb-models", f"oci-archive:{image}:ndb-models")
        finally:
            # Layers may be mounted, and belong to others: what made them removes them.
            run(*buildah, "rm", "--all")
            run(*buildah, "rmi", "--all", "--force")


def make_bases(here: Path, debian: str) -> tuple[Path, Path]:
    """Return the archives of two root file systems: one to run in, and one with what building needs besides."""
    base, building = here / "base.tar", here / "building.tar"
    sources = next((path for path in SOURCES if path.exists()), None)
    pack = f'tar --create --sort=name --numeric-owner --directory "$1" --file {building}'
    pack += "".join(f" --exclude='{pattern}'" for pattern in LEFT_OUT)
    # Hooks have the rights to change this machine: this one is read by a shell that has the new root alone.
    script = here / "remove.sh"
    listed = "dpkg-query --show --showformat '${Package}\\n'"
    script.write_text(f"dpkg --purge $({listed} | grep -E '{BROUGHT}')\n", "utf-8")
    run(
        "mmdebstrap",
        "--quiet",
        "--variant=essential",
        f"--include={','.join((*PACKAGES, FOR_BUILDING))}",
        '--aptopt=APT::Install-Recommends "false"',
        f"--customize-hook={pack} .",
        f'--customize-hook=chroot "$1" sh -e < {script}',
        debian,
        str(base),
        *([str(sources)] if sources else []),
    )
    return base, building


def import_base(buildah: tuple[str, ...], name: str, archive: Path) -> None:
    """Make an image of one layer from an archive of a root file system."""
    container = run(*buildah, "from", "scratch").strip()
    run(*buildah, "add", "--quiet", container, str(archive), "/")
    run(*buildah, "commit", "--quiet", "--rm", container, f"localhost/{name}")
    archive.unlink()


def carry_out(buildah: tuple[str, ...], here: Path) -> None:
    """Carry out the Dockerfile on these images. Steps run in a changed root, on the machine's network."""
    settings = here / "pip.conf"
    settings.write_text("[global]\ndisable-pip-version-check = true\nroot-user-action = ignore\n", "utf-8")
    volumes = [f"--volume={settings}:/etc/pip.conf:ro"]
    if certificate := os.environ.get("PIP_CERT"):
        settings.write_text(settings.read_text("utf-8") + "cert = /run/pip-certificates.pem\n", "utf-8")
        volumes.append(f"--volume={certificate}:/run/pip-certificates.pem:ro")
    arguments = ("--build-arg=BASE=localhost/base", "--build-arg=BUILD=localhost/building")
    options = ("--quiet", "--isolation=chroot", "--pull-never", "--format=docker", "--tag=localhost/ndb-models")
    file = str(ROOT / "deploy" / "Dockerfile")
    run(*buildah, "bud", *options, *arguments, *volumes, f"--file={file}", str(ROOT))


def run(*command: str) -> str:
    """Run a command, and return what it wrote to standard output; end with its errors if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
