"""Where bytes live: one small door to local disks and object stores.

Every path in Nightreel is a string below `home()`: a local path, or a URI that pyarrow reads (`s3://…`, `gs://…`). Only
this module knows the difference.
"""

import os
import posixpath
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from lake.refusal import Refusal

EXCLUSIVE = {"s3": "s3fs", "gs": "gcsfs"}  # object stores that create a file only where there is none, by which package


def home() -> str:
    """The root of everything made at run time: `NIGHTREEL_HOME`, by default `./var`, made absolute. Refusal: a store that
    can't hold one."""
    root = os.environ.get("NIGHTREEL_HOME") or "var"
    if is_local(root):
        return _absolute(root, os.getcwd())
    _package(root)
    return root.rstrip("/")


@lru_cache(maxsize=4)
def _absolute(root: str, folder: str) -> str:
    """Kept, since a night of an old lake asks thousands of times."""
    return str(Path(folder, root))


def join(*parts: str) -> str:
    """Join path parts below `home()`; an absolute first part or a URI stays as it is."""
    if parts and ("://" in parts[0] or parts[0].startswith("/")):
        return posixpath.join(*parts)
    return posixpath.join(home(), *parts)


def filesystem(path: str) -> tuple[fs.FileSystem, str]:
    """The pyarrow filesystem of a path, and the path as that filesystem spells it."""
    if "://" in path:
        return fs.FileSystem.from_uri(path)
    return fs.LocalFileSystem(), path


def is_local(path: str) -> bool:
    return "://" not in path


def exists(path: str) -> bool:
    store, inner = filesystem(path)
    return store.get_file_info(inner).type != fs.FileType.NotFound


def size(path: str) -> int | None:
    """Size in bytes, or None where there is no regular file (a symlink in our own tree is not one)."""
    if is_local(path) and os.path.islink(path):
        return None
    store, inner = filesystem(path)
    info = store.get_file_info(inner)
    return info.size if info.type == fs.FileType.File else None


def stamp(path: str) -> tuple[int, int] | None:
    """(size, modification time in ns) of a file, by which a process may keep what it parsed; None without one."""
    store, inner = filesystem(path)
    info = store.get_file_info(inner)
    return (info.size, info.mtime_ns or 0) if info.type == fs.FileType.File else None


def names(folder: str) -> list[str]:
    """Sorted names in a folder; empty when the folder does not exist."""
    if is_local(folder):
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    store, inner = filesystem(folder)
    found = store.get_file_info(fs.FileSelector(inner, allow_not_found=True))
    return sorted(info.base_name for info in found)


def read_bytes(path: str) -> bytes:
    store, inner = filesystem(path)
    with store.open_input_stream(inner, compression=None) as stream:
        return stream.read()


def parquet(content: bytes) -> pa.Table:
    """The rows of a Parquet file that is in memory, page checksums verified.

    Read by this thread alone: Arrow's threads hold on to the Python object they read from for a moment longer than the
    call, and one that lets go of it while Python ends aborts the process (apache/arrow#33975).
    """
    with pq.ParquetFile(pa.BufferReader(content), pre_buffer=False, page_checksum_verification=True) as file:
        return file.read(use_threads=False)


def write_bytes(path: str, content: bytes) -> None:
    """Write a file of our own attempt. Not atomic: nothing may read it before a manifest names it."""
    make_folder(posixpath.dirname(path))
    store, inner = filesystem(path)
    with naming(path):
        with store.open_output_stream(inner, compression=None) as stream:
            stream.write(content)
        sync(path)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """An error of the system, `No space left on device` or another, names the file, whatever wrote it."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None and str(error.filename) == path:
            raise
        raise OSError(error.errno, os.strerror(error.errno), path) from error


def make_folder(folder: str) -> None:
    store, inner = filesystem(folder)
    store.create_dir(inner, recursive=True)


def files(folder: str) -> list[tuple[str, int, float]]:
    """(path, bytes, seconds since 1970 of the last change) of every file below a folder; empty without one."""
    store, inner = filesystem(folder)
    prefix = folder.removesuffix(inner)
    return [(prefix + info.path, info.size, (info.mtime_ns or 0) / 1e9)
            for info in store.get_file_info(fs.FileSelector(inner, allow_not_found=True, recursive=True))
            if info.type == fs.FileType.File]


def delete_empty_folders(folder: str, before: float) -> None:
    """Remove folders below one that hold nothing and have not changed since a moment (seconds since 1970). Object
    stores have none."""
    if is_local(folder):
        changed = {path: os.path.getmtime(path) for path, _, _ in os.walk(folder)}
        for path in sorted(changed, reverse=True):
            if path != folder and changed[path] <= before and not os.listdir(path):
                os.rmdir(path)


def delete_file(path: str) -> None:
    """Remove a file; nothing to do where there is none."""
    store, inner = filesystem(path)
    try:
        store.delete_file(inner)
    except FileNotFoundError:
        return


def delete_folder(folder: str) -> None:
    store, inner = filesystem(folder)
    if store.get_file_info(inner).type == fs.FileType.Directory:
        store.delete_dir(inner)


def sync(path: str) -> None:
    """Flush a local file to the disk; object stores are durable once the write returned."""
    if is_local(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def create_if_absent(path: str, content: bytes) -> bool:
    """Make a file come into being whole, once; True if this call made it, False if it was there already.

    Local disks: a temporary file, fsynced, then a hard link, which fails if the name exists; then the folder is
    fsynced. Object stores: the exclusive-create write of fsspec (`If-None-Match: *` on S3, `ifGenerationMatch=0` on
    GCS). pyarrow.fs has no conditional put (apache/arrow#44281).
    """
    make_folder(posixpath.dirname(path))
    if not is_local(path):
        return _create_in_object_store(path, content)
    descriptor, name = _temporary(path)
    try:
        with naming(path), open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
            # A descriptor of ours makes Python follow the link in /proc to the file without a name.
            os.link(name or f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
    except FileExistsError:
        return False
    finally:
        if name:
            Path(name).unlink(missing_ok=True)
    sync(posixpath.dirname(path))
    return True


def replace(path: str, content: bytes) -> None:
    """Put other content in the place of a file in one step: readers see the old bytes or the new ones. Only for
    erasing, one at a time: what a kill leaves beside the file, the next call takes along."""
    if not is_local(path):
        return write_bytes(path, content)
    name = f"{path}.tmp"
    write_bytes(name, content)
    shutil.copymode(path, name)
    os.replace(name, path)
    sync(posixpath.dirname(path))


def _temporary(path: str) -> tuple[int, str]:
    """A new file on the disk of a path, open for writing: without a name where the disk has such files (Linux), so that
    kill -9 leaves nothing; else with one."""
    try:
        return os.open(posixpath.dirname(path), os.O_TMPFILE | os.O_WRONLY, 0o666), ""
    except (AttributeError, OSError):
        name = f"{path}.{uuid.uuid4().hex}.tmp"
        return os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), name


def _create_in_object_store(path: str, content: bytes) -> bool:
    import fsspec  # only object stores need it

    package = _package(path)
    try:
        store, inner = fsspec.core.url_to_fs(path)
    except ImportError as error:
        raise Refusal(f"{path}: needs a package that is not installed; run: pip install {package}") from error
    try:
        store.pipe_file(inner, content, mode="create")
    except FileExistsError:
        return False
    return True


def _package(path: str) -> str:
    """What creates files of a store only where there is none. Refusal: nothing does."""
    scheme = path.partition("://")[0]
    if scheme not in EXCLUSIVE:
        stores = " or ".join(f"{name}://" for name in EXCLUSIVE)
        raise Refusal(f"{path}: {scheme}:// can't create a file only where there is none, by which one of two runs finds "
                      f"out that it came second; keep NIGHTREEL_HOME on a disk, or on {stores}")
    return EXCLUSIVE[scheme]
