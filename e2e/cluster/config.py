"""What the daemons are told, rendered from the layout; pure, so that it can be tested without a cluster.

Every setting that is not a name, a path or an address says why it is there.
"""

import json
from pathlib import Path
from typing import Any

from e2e.cluster.layout import (
    API_PORT,
    BRIDGE,
    CGROUP,
    CONTEXT,
    DNS_SERVICE,
    ETCD_PEER_PORT,
    ETCD_PORT,
    ISSUER,
    NETWORK_NAME,
    PODS,
    SERVICES,
    Layout,
    Node,
)

PAUSE_IMAGE = "lineward.local/pause:1"
CNI_BINARIES = Path("/usr/lib/cni")
_ETCD = f"https://127.0.0.1:{ETCD_PORT}"
_PEER = f"http://127.0.0.1:{ETCD_PEER_PORT}"


def etcd(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        f"--data-dir={layout.etcd}",
        "--name=lineward",
        "--unsafe-no-fsync",  # a test cluster that is made anew has nothing to lose in a power cut
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_PEER}",
        f"--initial-advertise-peer-urls={_PEER}",
        f"--initial-cluster=lineward={_PEER}",
        f"--cert-file={pki / 'etcd.crt'}",
        f"--key-file={pki / 'etcd.key'}",
        f"--trusted-ca-file={pki / 'ca.crt'}",
        "--client-cert-auth",
        "--log-level=warn",
    ]


def apiserver(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        f"--advertise-address={layout.api_address}",
        f"--secure-port={API_PORT}",
        f"--etcd-servers={_ETCD}",
        f"--etcd-cafile={pki / 'ca.crt'}",
        f"--etcd-certfile={pki / 'etcd.crt'}",
        f"--etcd-keyfile={pki / 'etcd.key'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--cert-dir={layout.config}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",  # tests of what a policy refuses must get as far as the policy
        f"--service-cluster-ip-range={SERVICES}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-jwks-uri={ISSUER}/openid/v1/jwks",  # Fulcio on the host reads it on loopback
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver.crt'}",
        f"--kubelet-client-key={pki / 'apiserver.key'}",
        "--kubelet-preferred-address-types=InternalIP",  # node names resolve nowhere
    ]


def controller_manager(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        f"--kubeconfig={layout.config / 'controller-manager.kubeconfig'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--cert-dir={layout.config}",
        "--use-service-account-credentials",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",  # one replica; an election costs seconds at each start
        "--pvclaimbinder-sync-period=1s",  # claims of volumes that are written by hand would wait up to 15 s
        f"--flex-volume-plugin-dir={layout.config / 'volume-plugins'}",
    ]


def scheduler(layout: Layout) -> list[str]:
    return [
        f"--kubeconfig={layout.config / 'scheduler.kubeconfig'}",
        f"--cert-dir={layout.config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def kubelet(node: Node) -> list[str]:
    return [
        f"--config={node.folder / 'kubelet.json'}",
        f"--kubeconfig={node.folder / 'kubelet.kubeconfig'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--root-dir={node.folder / 'kubelet'}",
        f"--cert-dir={node.folder / 'pki'}",
    ]


def kubelet_config(layout: Layout, node: Node) -> str:
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": str(node.address),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(layout.pki / f"{node.name}.crt"),
            "tlsPrivateKeyFile": str(layout.pki / f"{node.name}.key"),
            "containerRuntimeEndpoint": f"unix://{node.socket}",
            "clusterDomain": "cluster.local",
            "clusterDNS": [str(DNS_SERVICE)],
            "cgroupDriver": "cgroupfs",  # no systemd needed
            "cgroupRoot": f"/{CGROUP}",  # all that runs below it is ours to stop
            "enforceNodeAllocatable": [],  # no limit over all pods: the machine is shared with its owner
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,  # lowering it needs CAP_SYS_RESOURCE
            "featureGates": {"ImageVolume": True},
            "maxPods": 240,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,  # images can't be pulled again
            "podLogsDir": str(node.folder / "pod-logs"),
            "volumePluginDir": str(layout.config / "volume-plugins"),
            "makeIPTablesUtilChains": False,
            "serializeImagePulls": False,
        }
    )


def kube_proxy_config(layout: Layout, node: Node) -> str:
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": node.name,
            "clusterCIDR": str(PODS),
            "clientConnection": {"kubeconfig": str(layout.config / "kube-proxy.kubeconfig")},
            "nodePortAddresses": ["primary"],  # not on the machine's outer interfaces
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
    )


def containerd_config(node: Node, binaries: Path, runc: Path) -> str:
    runtime = "io.containerd.cri.v1.runtime"
    return f"""\
version = 3
root = "{node.folder / "containerd"}"
state = "{node.socket.parent / "containerd"}"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs"]

[grpc]
address = "{node.socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{node.folder / "opt"}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."{runtime}"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."{runtime}".cni]
bin_dirs = ["{CNI_BINARIES}"]
conf_dir = "{node.folder / "cni"}"

[plugins."{runtime}".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{binaries / "containerd-shim-runc-v2"}"

[plugins."{runtime}".containerd.runtimes.runc.options]
BinaryName = "{runc}"
Root = "{node.socket.parent / "runc"}"
"""


def cni(node: Node) -> str:
    first, last = node.pod_range
    addresses = {"subnet": str(PODS), "rangeStart": str(first), "rangeEnd": str(last), "gateway": str(node.address)}
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isDefaultGateway": True,
        "hairpinMode": True,  # a pod may reach itself through its Service
        "ipam": {"type": "host-local", "ranges": [[addresses]], "dataDir": str(node.folder / "ipam")},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return _json({"cniVersion": "1.0.0", "name": NETWORK_NAME, "plugins": [bridge, portmap]})


def kubeconfig(layout: Layout, user: str) -> str:
    """A kubeconfig for the certificate named ``user``; it names files, so it works on this machine only."""
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CONTEXT,
            "clusters": [
                {
                    "name": CONTEXT,
                    "cluster": {"server": ISSUER, "certificate-authority": str(layout.pki / "ca.crt")},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate": str(layout.pki / f"{user}.crt"),
                        "client-key": str(layout.pki / f"{user}.key"),
                    },
                }
            ],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
