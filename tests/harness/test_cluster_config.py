"""What the daemons are told: consistent with one another, and bound to this machine."""

import json
import tarfile
import tomllib
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from e2e.cluster import addons, config, lifecycle, pki, scratch
from e2e.cluster.layout import API_PORT, DNS_SERVICE, KUBERNETES_SERVICE, PODS, SERVICES, Layout

LAYOUT = Layout(state=Path("/var/cache/x/cluster"), run=Path("/run/x"), count=3)
NODE = LAYOUT.nodes[0]


def decoded(text: str) -> Any:
    return json.loads(text)


def test_nodes_share_the_bridge_and_no_address() -> None:
    taken: set[IPv4Address] = set()
    for node in LAYOUT.nodes:
        first, last = node.pod_range
        addresses = {IPv4Address(number) for number in range(int(first), int(last) + 1)} | {node.address}
        assert all(address in PODS for address in addresses)
        assert not addresses & taken
        taken |= addresses


def test_nodes_share_no_name_and_no_folder() -> None:
    assert len({node.name for node in LAYOUT.nodes}) == LAYOUT.count
    assert len({node.folder for node in LAYOUT.nodes}) == LAYOUT.count
    assert len({node.socket for node in LAYOUT.nodes}) == LAYOUT.count


def test_sockets_fit_the_kernel_however_long_the_cache_path_is() -> None:
    node = Layout(state=Path("/" + "long/" * 40)).nodes[0]
    assert len(str(node.socket)) < 108


def test_pods_and_services_have_addresses_of_their_own() -> None:
    assert not PODS.overlaps(SERVICES)
    assert KUBERNETES_SERVICE in SERVICES
    assert DNS_SERVICE in SERVICES


def test_kubelet_reports_pods_to_the_name_service() -> None:
    settings = decoded(config.kubelet_config(LAYOUT, NODE))
    service = next(item for item in decoded(addons.manifests(LAYOUT))["items"] if item["kind"] == "Service")
    assert settings["clusterDNS"] == [service["spec"]["clusterIP"]]


def test_kubelet_answers_nobody_unknown() -> None:
    settings = decoded(config.kubelet_config(LAYOUT, NODE))
    assert settings["authentication"]["anonymous"] == {"enabled": False}
    assert settings["authorization"] == {"mode": "Webhook"}
    assert settings["address"] == str(NODE.address)


def test_containerd_is_valid_and_serves_the_kubelet() -> None:
    settings = tomllib.loads(config.containerd_config(NODE, Path("/bin/c"), Path("/bin/r/runc")))
    runtime = settings["plugins"]["io.containerd.cri.v1.runtime"]
    endpoint = decoded(config.kubelet_config(LAYOUT, NODE))["containerRuntimeEndpoint"]
    assert endpoint == f"unix://{settings['grpc']['address']}"
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/bin/r/runc"
    images = settings["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"]["sandbox"] == config.PAUSE_IMAGE


def test_everything_that_is_written_stays_below_our_folders() -> None:
    settings = tomllib.loads(config.containerd_config(NODE, Path("/bin/c"), Path("/bin/r/runc")))
    for folder in (settings["root"], settings["plugins"]["io.containerd.internal.v1.opt"]["path"]):
        assert Path(folder).is_relative_to(LAYOUT.state)
    assert Path(settings["state"]).is_relative_to(LAYOUT.run)
    written = [flag for flag in config.kubelet(NODE) if flag.startswith(("--root-dir=", "--cert-dir="))]
    assert all(flag.split("=")[1].startswith(f"{LAYOUT.state}/") for flag in written)


def test_cni_gives_the_node_its_own_range() -> None:
    for node in LAYOUT.nodes:
        ipam = decoded(config.cni(node))["plugins"][0]["ipam"]
        (addresses,) = ipam["ranges"][0]
        assert IPv4Network(addresses["subnet"]) == PODS
        assert addresses["gateway"] == str(node.address)
        assert addresses["rangeStart"] == str(node.pod_range[0])


def test_service_accounts_have_the_issuer_that_fulcio_reads_on_loopback() -> None:
    flags = dict(flag.split("=", 1) for flag in config.apiserver(LAYOUT) if "=" in flag)
    issuer = flags["--service-account-issuer"]
    assert issuer == f"https://127.0.0.1:{API_PORT}"
    assert flags["--service-account-jwks-uri"].startswith(issuer)
    names = next(item for item in pki.certificates(LAYOUT) if item.name == "apiserver").addresses
    assert {"IP:127.0.0.1", f"IP:{KUBERNETES_SERVICE}", f"IP:{LAYOUT.api_address}"} <= set(names)


def test_only_servers_get_a_server_certificate() -> None:
    for certificate in pki.certificates(LAYOUT):
        serves = any("serverAuth" in extension for extension in certificate.extensions)
        assert serves == (certificate.name in {"apiserver", "etcd", *(node.name for node in LAYOUT.nodes)})
        assert any("CA:false" in extension for extension in certificate.extensions)


def test_etcd_is_on_loopback_and_asks_for_a_certificate() -> None:
    flags = config.etcd(LAYOUT)
    assert "--client-cert-auth" in flags
    assert all("://127.0.0.1:" in flag for flag in flags if "://" in flag)


def test_a_complete_cluster_has_every_daemon_of_every_node() -> None:
    parts = lifecycle.parts(LAYOUT)
    assert len(parts) == 4 + 3 * LAYOUT.count


def test_anonymous_may_read_the_issuer_and_nothing_else() -> None:
    items = decoded(addons.manifests(LAYOUT))["items"]
    bindings = [item for item in items if item["kind"] == "ClusterRoleBinding"]
    anonymous = [item for item in bindings if item["subjects"][0]["name"] == "system:unauthenticated"]
    assert [item["roleRef"]["name"] for item in anonymous] == ["system:service-account-issuer-discovery"]


def test_an_image_of_one_binary_is_the_same_every_time(tmp_path: Path) -> None:
    binary = tmp_path / "pause"
    binary.write_bytes(b"\x7fELF")
    scratch.write(binary, "lineward.local/pause:1", tmp_path / "a.tar")
    scratch.write(binary, "lineward.local/pause:1", tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        member = archive.extractfile("manifest.json")
        assert member is not None
        (manifest,) = json.loads(member.read())
        assert manifest["RepoTags"] == ["lineward.local/pause:1"]
        assert {manifest["Config"], *manifest["Layers"]} <= set(archive.getnames())


@pytest.mark.parametrize("user", ["admin", "scheduler"])
def test_a_kubeconfig_names_its_user_and_the_ca(user: str) -> None:
    written = decoded(config.kubeconfig(LAYOUT, user))
    assert written["clusters"][0]["cluster"]["certificate-authority"] == str(LAYOUT.pki / "ca.crt")
    assert written["users"][0]["user"]["client-key"] == str(LAYOUT.pki / f"{user}.key")
    assert "insecure" not in json.dumps(written)
