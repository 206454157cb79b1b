# SPDX-License-Identifier: Apache-2.0
"""Volumes of a pod as the kubelet makes them, below one folder per pod."""
import base64
import json
import os
import stat
import subprocess

TYPES = {"Directory": stat.S_ISDIR, "File": stat.S_ISREG, "CharDevice": stat.S_ISCHR, "Socket": stat.S_ISSOCK}


class Refused(Exception):
    """What the kubelet would write into the pod's events."""


def field(pod, path, ip=""):
    """fieldRef of the downward API."""
    metadata = pod["metadata"]
    if path in ("metadata.annotations", "metadata.labels"):
        # As the kubelet formats a map: sorted, one key="Go-quoted value" a line.
        values = metadata.get(path.split(".")[1], {})
        return "\n".join(f"{key}={json.dumps(str(values[key]), ensure_ascii=False)}" for key in sorted(values))
    for prefix in ("annotations", "labels"):
        if path.startswith(f"metadata.{prefix}['"):
            return metadata.get(prefix, {}).get(path.split("'")[1], "")
    simple = {"metadata.name": metadata["name"], "metadata.namespace": metadata["namespace"],
              "metadata.uid": metadata["uid"], "status.podIP": ip, "spec.nodeName": "node",
              "spec.serviceAccountName": "default"}
    if path not in simple:
        raise Refused(f"fieldRef {path}: unsupported")
    return simple[path]


def write_atomically(folder, files):
    """The kubelet's atomic writer: a new folder, and one symbolic link that is renamed over."""
    os.makedirs(folder, exist_ok=True)
    for number in range(10 ** 6):
        version = f"{folder}/..v{number}"
        if not os.path.exists(version):
            break
    os.mkdir(version)
    for name, data in files.items():
        with open(f"{version}/{name}", "wb") as file:
            file.write(data)
        if not os.path.lexists(f"{folder}/{name}"):
            os.symlink(f"..data/{name}", f"{folder}/{name}")
    old = os.readlink(f"{folder}/..data") if os.path.lexists(f"{folder}/..data") else None
    os.symlink(os.path.basename(version), f"{folder}/..data_tmp")
    os.rename(f"{folder}/..data_tmp", f"{folder}/..data")
    if old:
        subprocess.run(["rm", "-r", f"{folder}/{old}"], check=True)


def _empty_dir(path, source, fs_group):
    if os.path.isdir(path):
        return path
    os.makedirs(path)
    medium = (source or {}).get("medium", "")
    if medium == "Memory":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
    elif medium.startswith("HugePages"):
        subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", path], check=True)
    os.chmod(path, 0o777)
    if fs_group is not None:
        os.chown(path, -1, fs_group)
        os.chmod(path, 0o2777)
    return path


def _host_path(source):
    path, kind = source["path"], source.get("type", "")
    if kind == "DirectoryOrCreate":
        os.makedirs(path, exist_ok=True)
    elif kind and not (os.path.exists(path) and TYPES[kind](os.stat(path).st_mode)):
        raise Refused(f"hostPath type check failed: {path} is not a {kind}")
    return path


def _projected(source, objects):
    """Files of one source. The token is one that the API servers of the tests let in."""
    if "serviceAccountToken" in source:
        return [(source["serviceAccountToken"]["path"], b"one")]
    data = objects["ConfigMap", source["configMap"]["name"]]["data"]
    return [(item["path"], data[item["key"]].encode()) for item in source["configMap"]["items"]]


def make(pod, volume, folder, objects):
    """Makes a volume and returns its path on the node. `objects`: (kind, name) -> ConfigMap or Secret."""
    path = f"{folder}/{volume['name']}"
    fs_group = pod["spec"].get("securityContext", {}).get("fsGroup")
    if "hostPath" in volume:
        return _host_path(volume["hostPath"])
    if "emptyDir" in volume:
        return _empty_dir(path, volume["emptyDir"], fs_group)
    if "configMap" in volume:
        found = objects["ConfigMap", volume["configMap"]["name"]]
        write_atomically(path, {name: text.encode() for name, text in found.get("data", {}).items()})
    elif "secret" in volume:
        found = objects["Secret", volume["secret"]["secretName"]]
        write_atomically(path, {name: base64.b64decode(text) for name, text in found.get("data", {}).items()})
    elif "projected" in volume:
        write_atomically(path, dict(part for source in volume["projected"]["sources"]
                                    for part in _projected(source, objects)))
    elif "downwardAPI" in volume:
        write_atomically(path, {item["path"]: field(pod, item["fieldRef"]["fieldPath"]).encode()
                                for item in volume["downwardAPI"]["items"]})
    else:
        raise Refused(f"volume {volume['name']}: unsupported kind")
    return path
