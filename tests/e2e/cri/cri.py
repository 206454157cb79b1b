#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small client of the kubelet's way into containerd (CRI v1), for pod sandboxes only.

    cri.py SOCKET run NAME UID LOGDIR [ANNOTATION=VALUE ...]   prints the sandbox's id
    cri.py SOCKET stop ID | remove ID
    cri.py image OUT.tar NAME PROGRAM                          an image with one static program

The API's description is read out of the containerd program, which carries it gzip'ed.
"""
import hashlib
import io
import json
import sys
import tarfile
import zlib


def find_api(path="/usr/bin/containerd", package="runtime.v1"):
    from google.protobuf import descriptor_pb2

    with open(path, "rb") as program:
        data = program.read()
    at = -1
    while (at := data.find(b"\x1f\x8b\x08", at + 1)) >= 0:
        try:
            text = zlib.decompressobj(31).decompress(data[at:at + 500_000])
            api = descriptor_pb2.FileDescriptorProto.FromString(text)
        except Exception:  # not what we look for
            continue
        if api.package == package:
            return api
    raise SystemExit(f"{path} holds no description of {package}")


def without_options(message):
    """Options name extensions of other files, which are not at hand."""
    message.ClearField("options")
    for field in message.field:
        field.ClearField("options")
    for nested in message.nested_type:
        is_map = nested.options.map_entry
        without_options(nested)
        nested.options.map_entry = is_map
    return message


class Runtime:
    def __init__(self, socket):
        import grpc
        from google.protobuf import descriptor_pool, message_factory

        api = find_api()
        del api.dependency[:]
        api.ClearField("options")
        for message in api.message_type:
            without_options(message)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(api)
        factory = message_factory.MessageFactory(pool)
        self.type = lambda name: factory.GetPrototype(pool.FindMessageTypeByName("runtime.v1." + name))
        self.channel = grpc.insecure_channel("unix://" + socket)

    def call(self, method, **fields):
        request = self.type(method + "Request")(**fields)
        call = self.channel.unary_unary("/runtime.v1.RuntimeService/" + method,
                                        request_serializer=lambda message: message.SerializeToString(),
                                        response_deserializer=self.type(method + "Response").FromString)
        return call(request, timeout=60)


def add(archive, name, data, mode=0o644, kind=tarfile.REGTYPE):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.type = len(data), mode, kind
    archive.addfile(entry, io.BytesIO(data))


def make_image(out, name, program):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive, open(program, "rb") as file:
        for folder in ("proc", "sys", "dev", "etc", "run", "tmp"):
            add(archive, folder, b"", 0o755, tarfile.DIRTYPE)
        add(archive, "pause", file.read(), 0o755)
    layer = layer.getvalue()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/pause"]},
                         "rootfs": {"type": "layers",
                                    "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(out, "w") as archive:
        add(archive, config_name, config)
        add(archive, "layer.tar", layer)
        add(archive, "manifest.json", json.dumps(manifest).encode())


def run_sandbox(runtime, name, uid, logs, *annotations):
    config = {"metadata": {"name": name, "uid": uid, "namespace": "default", "attempt": 0}, "hostname": name,
              "log_directory": logs, "annotations": dict(text.split("=", 1) for text in annotations), "linux": {}}
    print(runtime.call("RunPodSandbox", config=config).pod_sandbox_id)


def main(arguments):
    if arguments[0] == "image":
        make_image(*arguments[1:])
        return
    import grpc

    runtime = Runtime(arguments[0])
    try:
        if arguments[1] == "run":
            run_sandbox(runtime, *arguments[2:])
        elif arguments[1] == "stop":
            runtime.call("StopPodSandbox", pod_sandbox_id=arguments[2])
        elif arguments[1] == "remove":
            runtime.call("RemovePodSandbox", pod_sandbox_id=arguments[2])
    except grpc.RpcError as error:
        sys.exit(error.details())


if __name__ == "__main__":
    main(sys.argv[1:])
