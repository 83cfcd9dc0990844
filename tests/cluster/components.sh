# How each component of the cluster is started; sourced by init.sh, inside the namespaces.
# shellcheck shell=bash disable=SC2154

pki=$run/pki

write_configs() {
  cat >"$run/etc/audit.yaml" <<T
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
T
  cat >"$run/etc/containerd.toml" <<T
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause_image"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$cni_bin"
    conf_dir = "$run/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
T
  # ptp routes every packet of a pod through the node, so that Services work between pods of one node without the
  # br_netfilter kernel module, which a bridge would need.
  cat >"$run/cni/10-hookswitch.conflist" <<T
{"cniVersion": "0.4.0", "name": "hookswitch", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam",
            "ranges": [[{"subnet": "$pod_range"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
T
  cat >"$run/etc/kubelet.yaml" <<T
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet-server.crt
tlsPrivateKeyFile: $pki/kubelet-server.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
protectKernelDefaults: true
oomScoreAdj: 0
clusterDNS: [$dns_ip]
clusterDomain: cluster.local
resolvConf: $run/etc/resolv.conf
syncFrequency: $sync_frequency
volumePluginDir: /var/lib/kubelet/volumeplugins
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "200Mi", nodefs.inodesFree: "1%", imagefs.available: "200Mi", imagefs.inodesFree: "1%"}
T
  cat >"$run/etc/kube-proxy.yaml" <<T
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.244.0.0/16
clientConnection: {kubeconfig: $pki/kube-proxy.kubeconfig}
bindAddress: $node_ip
nftables: {minSyncPeriod: 50ms, syncPeriod: 30s}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
T
  : >"$run/etc/resolv.conf"
  [ -f "$run/etc/names" ] || : >"$run/etc/names"
}

# Becomes the component: only `exec` on every path.
become() {
  local kubeconfig=$pki/$1.kubeconfig
  case $1 in
    etcd)
      exec "$bin/etcd" --data-dir /var/lib/etcd --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster default=http://127.0.0.1:2380 ;;
    kube-apiserver)
      exec "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address="$node_ip" --bind-address=0.0.0.0 --secure-port=6443 \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
        --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
        --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" --kubelet-client-key="$pki/apiserver-kubelet-client.key" \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
        --service-cluster-ip-range="$service_range" \
        --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key" \
        --audit-policy-file="$run/etc/audit.yaml" --audit-log-path="$run/audit.log" --audit-log-mode=blocking \
        --audit-log-maxsize=4000 ;;
    containerd)
      LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec containerd --config "$run/etc/containerd.toml" ;;
    kube-controller-manager)
      exec "$bin/kube-controller-manager" --kubeconfig="$kubeconfig" \
        --authentication-kubeconfig="$kubeconfig" --authorization-kubeconfig="$kubeconfig" \
        --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=500 --kube-api-burst=1000 \
        --flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins --use-service-account-credentials=true \
        --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
        --requestheader-client-ca-file="$pki/front-proxy-ca.crt" ;;
    kube-scheduler)
      exec "$bin/kube-scheduler" --kubeconfig="$kubeconfig" \
        --authentication-kubeconfig="$kubeconfig" --authorization-kubeconfig="$kubeconfig" \
        --leader-elect=false --bind-address=127.0.0.1 ;;
    kubelet)
      exec "$bin/kubelet" --config="$run/etc/kubelet.yaml" --kubeconfig="$kubeconfig" --root-dir=/var/lib/kubelet \
        --hostname-override="$node_name" --node-ip="$node_ip" ;;
    kube-proxy)
      LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$bin/kube-proxy" \
        --config="$run/etc/kube-proxy.yaml" --hostname-override="$node_name" ;;
    clusterdns)
      exec "$bin/clusterdns" -listen "$dns_ip:53" -kubeconfig "$kubeconfig" -names "$run/etc/names" ;;
    *) echo "no such component: $1" && exit 127 ;;
  esac
}
