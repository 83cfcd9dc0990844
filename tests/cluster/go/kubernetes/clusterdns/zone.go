package main

import (
	"log"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	coreListers "k8s.io/client-go/listers/core/v1"
	discoveryListers "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

const clusterDomain = ".svc.cluster.local"

type zone struct {
	services coreListers.ServiceLister
	slices   discoveryListers.EndpointSliceLister
	ready    []cache.InformerSynced

	namesFile string
	mu        sync.Mutex
	stamp     time.Time
	fixed     map[string]string
}

func newZone(factory informers.SharedInformerFactory, namesFile string) *zone {
	services := factory.Core().V1().Services()
	slices := factory.Discovery().V1().EndpointSlices()
	return &zone{
		services:  services.Lister(),
		slices:    slices.Lister(),
		ready:     []cache.InformerSynced{services.Informer().HasSynced, slices.Informer().HasSynced},
		namesFile: namesFile,
	}
}

func (z *zone) synced() bool {
	for _, ready := range z.ready {
		if !ready() {
			return false
		}
	}
	return true
}

// lookup finds a name without its final dot, in lower case. Known with no address is a name that exists but has
// nothing to offer at the moment, as a headless Service without ready endpoints.
func (z *zone) lookup(name string) (addresses []netip.Addr, known bool) {
	if target, ok := z.fixedName(name); ok {
		if address, err := netip.ParseAddr(target); err == nil && address.Is4() {
			return []netip.Addr{address}, true
		}
		addresses, _ = z.service(target)
		return addresses, true
	}
	return z.service(name)
}

func (z *zone) service(name string) (addresses []netip.Addr, known bool) {
	rest, inCluster := strings.CutSuffix(name, clusterDomain)
	if !inCluster {
		return nil, false
	}
	parts := strings.Split(rest, ".")
	hostname := ""
	if len(parts) == 3 {
		hostname, parts = parts[0], parts[1:]
	}
	if len(parts) != 2 {
		return nil, false
	}
	service, err := z.services.Services(parts[1]).Get(parts[0])
	if err != nil {
		return nil, false
	}
	if hostname == "" && service.Spec.ClusterIP != core.ClusterIPNone {
		address, err := netip.ParseAddr(service.Spec.ClusterIP)
		if err != nil || !address.Is4() {
			return nil, true
		}
		return []netip.Addr{address}, true
	}
	return z.endpoints(service, hostname)
}

func (z *zone) endpoints(service *core.Service, hostname string) (addresses []netip.Addr, known bool) {
	known = hostname == ""
	slices, err := z.slices.EndpointSlices(service.Namespace).List(
		labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service.Name}))
	if err != nil {
		return nil, known
	}
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			if !ready && !service.Spec.PublishNotReadyAddresses {
				continue
			}
			if hostname != "" && (endpoint.Hostname == nil || *endpoint.Hostname != hostname) {
				continue
			}
			for _, text := range endpoint.Addresses {
				if address, err := netip.ParseAddr(text); err == nil && address.Is4() {
					addresses, known = append(addresses, address), true
				}
			}
		}
	}
	return addresses, known
}

// fixedName looks a name up in the names file, reading it again when its modification time has changed.
func (z *zone) fixedName(name string) (target string, ok bool) {
	if z.namesFile == "" {
		return "", false
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	stamp, err := fileStamp(z.namesFile)
	if err != nil {
		return "", false
	}
	if !stamp.Equal(z.stamp) {
		content, err := os.ReadFile(z.namesFile)
		if err != nil {
			log.Printf("reading %s: %v", z.namesFile, err)
			return "", false
		}
		z.fixed, z.stamp = parseNames(string(content)), stamp
	}
	target, ok = z.fixed[name]
	return target, ok
}

func parseNames(content string) map[string]string {
	fixed := make(map[string]string)
	for line := range strings.Lines(content) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) == 2 {
			fixed[strings.ToLower(fields[0])] = strings.ToLower(strings.TrimSuffix(fields[1], "."))
		}
	}
	return fixed
}
