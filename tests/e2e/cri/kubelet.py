#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plays what a kubelet does with pods, on real containerd through CRI. Runs on the node (its namespaces).

    kubelet.py NODE apply FILE...            pods (also those of a DaemonSet or Deployment) with their ConfigMaps
                                             and Secrets; returns when all containers are ready. Prints "name uid ip"
    kubelet.py NODE sync                     makes true again what apply said: after a crash, a restart, a reboot
    kubelet.py NODE delete NAME              as a pod is ended: all preStop hooks at once, then apps first, sidecars
                                             last, volumes gone; prints how hooks ended
    kubelet.py NODE exec NAME CONTAINER CMD...
    kubelet.py NODE logs NAME CONTAINER
    kubelet.py NODE probe NAME CONTAINER startup|readiness|liveness     once; exit status 1: it failed
    kubelet.py NODE live NAME CONTAINER      liveness: failureThreshold failures in a row end the container, a new one starts
    kubelet.py NODE annotate NAME KEY=VALUE...                          KEY= removes it
    kubelet.py NODE pid NAME CONTAINER                                  of its first process, as the node sees it
    kubelet.py NODE kill NAME CONTAINER                                 SIGKILL; sync brings it back
    kubelet.py NODE object FILE                                         replaces a ConfigMap or Secret, volumes too

NODE is a folder with containerd's socket c.sock; pods are kept in NODE/pods. Native sidecars (initContainers
with restartPolicy Always), probes, the downward API with its atomic updates, subPathExpr, security contexts.
"""
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
import uuid

import yaml

import cri
import volumes
from volumes import Refused

PERIOD = 0.1  # seconds between probes, whatever the pod says: tests do not wait for periodSeconds
RUNNING, EXITED = 1, 2


class Pod:
    def __init__(self, node, spec, objects):
        self.node, self.spec, self.objects = node, spec, objects
        self.metadata = spec["metadata"]
        self.folder = f"{node.folder}/pods/{self.metadata['uid']}"
        self.ip = ""

    def save(self):
        os.makedirs(f"{self.folder}/volumes", exist_ok=True)
        with open(f"{self.folder}/pod.json.tmp", "w", encoding="utf-8") as file:
            json.dump({"pod": self.spec, "objects": [[*key, value] for key, value in self.objects.items()]}, file)
        os.rename(f"{self.folder}/pod.json.tmp", f"{self.folder}/pod.json")

    def make_volumes(self, only=lambda volume: True):
        return {volume["name"]: volumes.make(self.spec, volume, f"{self.folder}/volumes", self.objects)
                for volume in self.spec["spec"].get("volumes", []) if only(volume)}

    # ---- what CRI is told ----

    def sandbox_config(self, attempt):
        metadata, spec = self.metadata, self.spec["spec"]
        labels = {"io.kubernetes.pod.name": metadata["name"], "io.kubernetes.pod.namespace": metadata["namespace"],
                  "io.kubernetes.pod.uid": metadata["uid"], **metadata.get("labels", {})}
        return {"metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
                             "attempt": attempt},
                "hostname": "" if spec.get("hostNetwork") else metadata["name"][:63], "log_directory": self.folder, "labels": labels,
                "annotations": metadata.get("annotations", {}),
                "dns_config": {"servers": spec.get("dnsConfig", {}).get("nameservers", [])},
                "linux": {"cgroup_parent": f"/dmm-test/{metadata['uid']}",
                          "security_context": {"namespace_options": self.namespaces(),
                                               "seccomp": {"profile_type": 0}}}}

    def namespaces(self):
        spec = self.spec["spec"]
        return {"network": 2 if spec.get("hostNetwork") else 0, "pid": 0 if spec.get("shareProcessNamespace") else 1,
                "ipc": 0}

    def environment(self, container):
        known = {}
        for variable in container.get("env", []):
            source = variable.get("valueFrom")
            if source and "fieldRef" in source:
                value = volumes.field(self.spec, source["fieldRef"]["fieldPath"], self.ip)
            elif source:
                key = source["configMapKeyRef"]
                value = self.objects["ConfigMap", key["name"]]["data"][key["key"]]
            else:
                value = expand(variable.get("value", ""), known)
            known[variable["name"]] = value
        return known

    def mounts(self, container, paths, environment):
        result = []
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in paths:
                raise Refused(f"volumeMounts: no volume {mount['name']}")
            path = paths[mount["name"]]
            below = expand(mount["subPathExpr"], environment) if "subPathExpr" in mount else mount.get("subPath", "")
            if "$(" in below or ".." in below.split("/"):
                raise Refused(f"subPathExpr: {below}")
            if below:
                path = f"{path}/{below}"
                if not os.path.exists(path):
                    os.makedirs(path)
            result.append({"host_path": os.path.realpath(path), "container_path": mount["mountPath"],
                           "readonly": mount.get("readOnly", False)})
        return result

    def security(self, container):
        context = {**self.spec["spec"].get("securityContext", {}), **container.get("securityContext", {})}
        capabilities, seccomp = context.get("capabilities", {}), context.get("seccompProfile", {"type": "Unconfined"})
        if context.get("runAsNonRoot") and context.get("runAsUser", 1) == 0:
            raise Refused("container has runAsNonRoot and runAsUser 0")
        kinds = {"RuntimeDefault": 0, "Unconfined": 1, "Localhost": 2}
        profile = {"profile_type": kinds[seccomp["type"]]}
        if seccomp["type"] == "Localhost":
            profile["localhost_ref"] = f"{self.node.folder}/seccomp/{seccomp['localhostProfile']}"
        result = {"namespace_options": self.namespaces(), "privileged": context.get("privileged", False),
                  "readonly_rootfs": context.get("readOnlyRootFilesystem", False),
                  "no_new_privs": not context.get("allowPrivilegeEscalation", True), "seccomp": profile,
                  "capabilities": {"add_capabilities": capabilities.get("add", []),
                                   "drop_capabilities": capabilities.get("drop", [])},
                  "supplemental_groups": [context["fsGroup"]] if "fsGroup" in context else []}
        for key, ours in (("runAsUser", "run_as_user"), ("runAsGroup", "run_as_group")):
            if key in context:
                result[ours] = {"value": context[key]}
        return result

    def container_config(self, container, paths, attempt):
        environment = self.environment(container)
        limits = container.get("resources", {}).get("limits", {})
        resources = {}
        if "memory" in limits:
            resources["memory_limit_in_bytes"] = quantity(limits["memory"])
        if "cpu" in limits:
            resources.update(cpu_period=100000, cpu_quota=int(quantity(limits["cpu"]) * 100000))
        return {"metadata": {"name": container["name"], "attempt": attempt}, "image": {"image": container["image"]},
                "command": [expand(word, environment) for word in container.get("command", [])],
                "args": [expand(word, environment) for word in container.get("args", [])],
                "working_dir": container.get("workingDir", ""), "log_path": container["name"] + ".log",
                "labels": {"io.kubernetes.container.name": container["name"],
                           "io.kubernetes.pod.uid": self.metadata["uid"]},
                "envs": [{"key": key, "value": value} for key, value in environment.items()],
                "mounts": self.mounts(container, paths, environment),
                "linux": {"security_context": self.security(container), "resources": resources}}


def quantity(text):
    text = str(text)
    for unit, factor in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("G", 10 ** 9), ("M", 10 ** 6)):
        if text.endswith(unit):
            return int(text[:-len(unit)]) * factor
    return int(text[:-1]) / 1000 if text.endswith("m") else int(text)


def expand(text, environment):
    """$(NAME) as the kubelet expands it: unknown ones stay, $$ is $."""
    return re.sub(r"\$\$|\$\(([^)]*)\)",
                  lambda match: "$" if match[0] == "$$" else environment.get(match[1], match[0]), str(text))


class Node:
    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.runtime = cri.Runtime(f"{self.folder}/c.sock")
        self.pods = {}
        root = f"{self.folder}/pods"
        os.makedirs(root, exist_ok=True)
        for uid in sorted(os.listdir(root)):
            if os.path.exists(f"{root}/{uid}/pod.json"):
                with open(f"{root}/{uid}/pod.json", encoding="utf-8") as file:
                    kept = json.load(file)
                pod = Pod(self, kept["pod"], {(kind, name): value for kind, name, value in kept["objects"]})
                self.pods[pod.metadata["name"]] = pod

    def call(self, method, **fields):
        return self.runtime.call(method, **fields)

    # ---- sandboxes and containers ----

    def sandboxes(self, pod):
        found = self.call("ListPodSandbox", filter={"label_selector": {"io.kubernetes.pod.uid": pod.metadata["uid"]}})
        return sorted(found.items, key=lambda sandbox: -sandbox.metadata.attempt)

    def containers(self, sandbox):
        found = self.call("ListContainers", filter={"pod_sandbox_id": sandbox}).containers
        newest = {}
        for container in sorted(found, key=lambda container: container.metadata.attempt):
            newest[container.metadata.name] = container
        return newest

    def ready_sandbox(self, pod):
        """The pod's sandbox, a new one in place of one that is gone; (id, its config, whether it is new)."""
        all_of_them = self.sandboxes(pod)
        if all_of_them and all_of_them[0].state == 0:
            attempt, identifier, new = all_of_them[0].metadata.attempt, all_of_them[0].id, False
        else:
            for old in all_of_them:
                self.call("StopPodSandbox", pod_sandbox_id=old.id)
                self.call("RemovePodSandbox", pod_sandbox_id=old.id)
            attempt, new = all_of_them[0].metadata.attempt + 1 if all_of_them else 0, True
            identifier = self.call("RunPodSandbox", config=pod.sandbox_config(attempt)).pod_sandbox_id
        pod.ip = self.call("PodSandboxStatus", pod_sandbox_id=identifier).status.network.ip
        return identifier, pod.sandbox_config(attempt), new

    def start(self, pod, sandbox, sandbox_config, container, paths, attempt):
        config = pod.container_config(container, paths, attempt)
        identifier = self.call("CreateContainer", pod_sandbox_id=sandbox, config=config,
                               sandbox_config=sandbox_config).container_id
        self.call("StartContainer", container_id=identifier)
        return identifier

    def status(self, identifier):
        return self.call("ContainerStatus", container_id=identifier).status

    def sync_pod(self, pod):
        paths = pod.make_volumes()  # before the sandbox, and so before CNI's ADD
        sandbox, config, _ = self.ready_sandbox(pod)
        have = self.containers(sandbox)
        for container in pod.spec["spec"].get("initContainers", []):
            sidecar = container.get("restartPolicy") == "Always"
            old = have.get(container["name"])
            if old and (old.state == RUNNING or (not sidecar and self.status(old.id).exit_code == 0)):
                continue
            attempt = old.metadata.attempt + 1 if old else 0
            identifier = self.start(pod, sandbox, config, container, paths, attempt)
            if sidecar:
                self.wait_for_startup(pod, container, identifier)
            else:
                self.wait_for_end(pod, container, identifier)
        for container in pod.spec["spec"]["containers"]:
            old = have.get(container["name"])
            if old and old.state == RUNNING:
                continue
            identifier = self.start(pod, sandbox, config, container, paths, old.metadata.attempt + 1 if old else 0)
            self.wait_until_ready(pod, container, identifier)

    def wait_until_ready(self, pod, container, identifier):
        end = time.monotonic() + 20
        while "readinessProbe" in container and not self.probe(pod, container["readinessProbe"], identifier)[0]:
            if time.monotonic() > end:
                return  # it is for the test to say what that means
            time.sleep(PERIOD)

    def wait_for_end(self, pod, container, identifier):
        end = time.monotonic() + 30
        while (status := self.status(identifier)).state != EXITED:
            if time.monotonic() > end:
                raise Refused(f"init container {container['name']} runs for ever")
            time.sleep(0.02)
        if status.exit_code:
            raise Refused(f"init container {container['name']} ended with {status.exit_code}: {self.log(pod, container['name'])}")

    def wait_for_startup(self, pod, container, identifier):
        probe = container.get("startupProbe")
        end = time.monotonic() + 20
        while probe and not self.probe(pod, probe, identifier)[0]:
            if time.monotonic() > end or self.status(identifier).state == EXITED:
                raise Refused(f"{container['name']}: startup probe failed: {self.log(pod, container['name'])}")
            time.sleep(PERIOD)

    def probe(self, pod, probe, identifier):
        """One probe, as from the node; (whether it passed, what it said)."""
        try:
            if "exec" in probe:
                return self.execute(identifier, probe["exec"]["command"], probe.get("timeoutSeconds", 1) + 1)
            if "httpGet" in probe:
                get = probe["httpGet"]
                url = f"{get.get('scheme', 'HTTP').lower()}://{get.get('host', pod.ip)}:{get['port']}{get.get('path', '/')}"
                # The kubelet checks no certificate.
                with urllib.request.urlopen(url, timeout=2, context=ssl._create_unverified_context()) as answer:
                    return answer.status < 400, str(answer.status)
            with socket.create_connection((pod.ip, probe["tcpSocket"]["port"]), timeout=2):
                return True, "connected"
        except OSError as error:
            return False, str(error)

    def execute(self, identifier, command, timeout=20):
        import grpc

        try:
            answer = self.call("ExecSync", container_id=identifier, cmd=command, timeout=timeout)
        except grpc.RpcError as error:
            return False, error.details()
        return answer.exit_code == 0, (answer.stdout + answer.stderr).decode(errors="replace")

    def log(self, pod, name):
        try:
            with open(f"{pod.folder}/{name}.log", encoding="utf-8", errors="replace") as file:
                return "".join(line.split(" ", 3)[3] for line in file)
        except FileNotFoundError:
            return ""

    def container_spec(self, pod, name):
        for spec in pod.spec["spec"].get("initContainers", []) + pod.spec["spec"]["containers"]:
            if spec["name"] == name:
                return spec
        raise Refused(f"pod {pod.metadata['name']} has no container {name}")

    def find(self, name, container):
        for sandbox in self.sandboxes(self.pods[name]):
            found = self.containers(sandbox.id).get(container)
            if found:
                return found.id
        raise Refused(f"pod {name} has no container {container}")

    # ---- the verbs ----

    def apply(self, *files):
        documents = [d for path in files for d in yaml.safe_load_all(open(path, encoding="utf-8")) if d]
        objects = {(d["kind"], d["metadata"]["name"]): d for d in documents if d["kind"] in ("ConfigMap", "Secret")}
        made = []
        for document in documents:
            if document["kind"] in ("DaemonSet", "Deployment"):
                template = document["spec"]["template"]
                template["metadata"] = {**template.get("metadata", {}), "name": document["metadata"]["name"] + "-0"}
                document = {**template, "kind": "Pod"}
            if document["kind"] != "Pod":
                continue
            document["metadata"].setdefault("namespace", "default")
            document["metadata"].setdefault("uid", str(uuid.uuid4()))
            pod = Pod(self, document, objects)
            pod.save()
            self.pods[document["metadata"]["name"]] = pod
            made.append(pod)
        for pod in made:
            self.sync_pod(pod)
            print(pod.metadata["name"], pod.metadata["uid"], pod.ip)

    def sync(self):
        for pod in self.pods.values():
            self.sync_pod(pod)
            print(pod.metadata["name"], pod.metadata["uid"], pod.ip)

    def delete(self, name):
        pod = self.pods[name]
        spec = pod.spec["spec"]
        order = spec["containers"] + [c for c in reversed(spec.get("initContainers", [])) if c.get("restartPolicy")]
        for sandbox in self.sandboxes(pod):
            have = self.containers(sandbox.id)
            hooks = []
            for container in order:
                if container["name"] in have and have[container["name"]].state == RUNNING:
                    identifier = have[container["name"]].id
                    hooks.append((identifier, threading.Thread(target=self.pre_stop, args=(container, identifier))))
                    hooks[-1][1].start()
            for identifier, hook in hooks:
                hook.join()
                self.stop(pod, identifier)
            self.call("StopPodSandbox", pod_sandbox_id=sandbox.id)
            self.call("RemovePodSandbox", pod_sandbox_id=sandbox.id)
        for volume in os.listdir(f"{pod.folder}/volumes"):
            while os.path.ismount(f"{pod.folder}/volumes/{volume}"):
                subprocess.run(["umount", f"{pod.folder}/volumes/{volume}"], check=True)
        shutil.rmtree(pod.folder)

    def running(self, name):
        pod = self.pods[name]
        pod.ip = self.call("PodSandboxStatus", pod_sandbox_id=self.sandboxes(pod)[0].id).status.network.ip
        return pod

    def pre_stop(self, container, identifier):
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec")
        if hook:
            passed, text = self.execute(identifier, hook["command"])
            print(f"preStop of {container['name']}: {'passed' if passed else 'failed'} {text}".strip(), flush=True)

    def stop(self, pod, identifier):
        self.call("StopContainer", container_id=identifier,
                  timeout=pod.spec["spec"].get("terminationGracePeriodSeconds", 1))

    def live(self, name, container):
        pod = self.running(name)
        spec, identifier = self.container_spec(pod, container), self.find(name, container)
        for _ in range(spec["livenessProbe"].get("failureThreshold", 3)):
            passed, text = self.probe(pod, spec["livenessProbe"], identifier)
            print("liveness:", "passed" if passed else text.strip(), flush=True)
            if passed:
                return
            time.sleep(PERIOD)
        self.pre_stop(spec, identifier)
        self.stop(pod, identifier)
        self.sync_pod(pod)

    def exec(self, name, container, *command):
        passed, text = self.execute(self.find(name, container), list(command))
        sys.stdout.write(text)
        return 0 if passed else 1

    def logs(self, name, container):
        sys.stdout.write(self.log(self.pods[name], container))

    def probe_once(self, name, container, kind):
        pod = self.running(name)
        passed, text = self.probe(pod, self.container_spec(pod, container)[kind + "Probe"], self.find(name, container))
        print(text.strip())
        return 0 if passed else 1

    def annotate(self, name, *changes):
        pod = self.pods[name]
        annotations = pod.metadata.setdefault("annotations", {})
        for change in changes:
            key, _, value = change.partition("=")
            if value:
                annotations[key] = value
            else:
                annotations.pop(key, None)
        pod.save()
        pod.make_volumes(lambda volume: "downwardAPI" in volume)

    def pid_of(self, name, container):
        info = self.call("ContainerStatus", container_id=self.find(name, container), verbose=True).info["info"]
        pid = json.loads(info)["pid"]
        if pid <= 0:
            raise Refused(f"container {container} of pod {name} does not run")
        return pid

    def pid(self, name, container):
        print(self.pid_of(name, container))

    def kill(self, name, container):
        identifier = self.find(name, container)
        os.kill(self.pid_of(name, container), 9)
        while self.status(identifier).state == RUNNING:
            time.sleep(0.02)

    def object(self, path):
        with open(path, encoding="utf-8") as file:
            found = yaml.safe_load(file)
        key = (found["kind"], found["metadata"]["name"])
        for pod in self.pods.values():
            if key in pod.objects:
                pod.objects[key] = found
                pod.save()
                pod.make_volumes(lambda volume: "configMap" in volume or "secret" in volume)


def main(arguments):
    import grpc

    verbs = {"probe": "probe_once"}
    try:
        node = Node(arguments[0])
        return getattr(node, verbs.get(arguments[1], arguments[1]))(*arguments[2:]) or 0
    except Refused as error:
        sys.exit(f"kubelet: {error}")
    except grpc.RpcError as error:
        sys.exit(f"kubelet: {error.details()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
