# SPDX-License-Identifier: Apache-2.0
"""Writes OCI image archives (image-spec v1: one layer, one manifest), the same bytes for the same input.

Every entry is owned by 0:0 unless said otherwise, has the time that the caller gives, and comes in
sorted order; gzip's header carries no name and no time.
"""
import gzip
import hashlib
import io
import json
import os
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Layer:
    """A file system in memory: path (no leading slash) -> entry. A path is added once; its folders are made."""

    def __init__(self, time):
        self.time = time
        self.entries = {}

    def _put(self, path, kind, mode, data=b"", target="", owner=(0, 0)):
        path = os.path.normpath(path.lstrip("/"))
        if path.startswith(".."):
            raise ValueError(f"{path} lies outside of the image")
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.folder(parent)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.mtime, entry.linkname = kind, mode, self.time, target
        entry.uid, entry.gid, entry.size = owner[0], owner[1], len(data)
        have = self.entries.get(path)
        if have and (have[0].type, have[0].linkname, have[1]) != (kind, target, data):
            raise ValueError(f"{path} is in the image already, with another content")
        self.entries[path] = (entry, data)

    def folder(self, path, mode=0o755, owner=(0, 0)):
        self._put(path, tarfile.DIRTYPE, mode, owner=owner)

    def file(self, path, data, mode=0o644):
        self._put(path, tarfile.REGTYPE, mode, data)

    def symlink(self, path, target):
        self._put(path, tarfile.SYMTYPE, 0o777, target=target)

    def tar(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(self.entries):
                entry, data = self.entries[path]
                archive.addfile(entry, io.BytesIO(data))
        return out.getvalue()


def _digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _descriptor(media, data, **more):
    return {"mediaType": "application/vnd.oci.image." + media, "digest": _digest(data), "size": len(data), **more}


def _timestamp(seconds):
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_archive(out, name, layer, config, labels, compress=True):
    """Writes the image `name` ("host/image:tag") to the file `out`, which appears whole or not at all."""
    architecture = ARCHITECTURES.get(os.uname().machine, os.uname().machine)
    plain = layer.tar()
    blob = gzip.compress(plain, 9, mtime=0) if compress else plain
    settings = _json({"architecture": architecture, "os": "linux", "created": _timestamp(layer.time),
                      "config": {**config, "Labels": labels},
                      "rootfs": {"type": "layers", "diff_ids": [_digest(plain)]},
                      "history": [{"created": _timestamp(layer.time), "created_by": "make images"}]})
    manifest = _json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                      "config": _descriptor("config.v1+json", settings),
                      "layers": [_descriptor("layer.v1.tar" + ("+gzip" if compress else ""), blob)]})
    # containerd takes the first annotation for the image's name, podman the second.
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = _json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                   "manifests": [_descriptor("manifest.v1+json", manifest, annotations=names,
                                             platform={"architecture": architecture, "os": "linux"})]})
    archive = Layer(layer.time)
    archive.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    archive.file("index.json", index)
    for data in (blob, settings, manifest):
        archive.file("blobs/sha256/" + hashlib.sha256(data).hexdigest(), data)
    with open(out + ".tmp", "wb") as file:
        file.write(archive.tar())
    os.rename(out + ".tmp", out)
