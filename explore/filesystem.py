"""Whether a path lies on a file system that is shared over a network, where SQLite's write-ahead log does not work."""

from __future__ import annotations

from pathlib import Path

NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "virtiofs"),
        *("lustre", "gpfs", "beegfs", "ceph", "glusterfs", "orangefs", "panfs"),
        *("fuse.sshfs", "fuse.cephfs", "fuse.glusterfs", "fuse.s3fs"),
    )
)


def is_network(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether ``path`` is on one of :data:`NETWORK`; False where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    target = str(path.resolve())
    best, kind = "", ""
    for line in lines:
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5 or not after.split():
            continue
        mount = fields[4].encode().decode("unicode_escape")
        inside = mount == "/" or target == mount or target.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):  # the last of two on one place covers the other
            best, kind = mount, after.split()[0]
    return kind in NETWORK
