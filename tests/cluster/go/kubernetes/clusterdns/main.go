// Clusterdns answers the names of Services in a test cluster, from the API server's own objects, and a few names that
// are given to it. It runs on the node, not in a pod, so names resolve before the first pod starts.
//
// It is authoritative for everything: what it does not know does not exist (NXDOMAIN), since nothing outside the
// cluster can be reached anyway. Answers have TTL 0, and no answer outlives the object it came from.
//
//	<service>.<namespace>.svc.cluster.local             A   ClusterIP, or the ready endpoints of a headless Service
//	<hostname>.<service>.<namespace>.svc.cluster.local  A   that endpoint
//	a name in -names                                    A   what its target resolves to
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	listen := flag.String("listen", "10.96.0.10:53", "IP:PORT, UDP and TCP")
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	names := flag.String("names", "", "file of fixed names, read again when it changes: NAME and an IPv4 address or cluster name a line")
	flag.Parse()
	if err := run(*listen, *kubeconfig, *names); err != nil {
		log.Fatal(err)
	}
}

func run(listen, kubeconfig, names string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	zone := newZone(factory, names)
	factory.Start(ctx.Done())

	// Listening comes first: a pod that asks too early is made to ask again, not told that nobody is there.
	packets, err := net.ListenPacket("udp4", listen)
	if err != nil {
		return err
	}
	streams, err := net.Listen("tcp4", listen)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		packets.Close()
		streams.Close()
	}()
	factory.WaitForCacheSync(ctx.Done())
	log.Printf("serving on %s", listen)
	go serveStreams(streams, zone)
	return servePackets(packets, zone)
}

func servePackets(packets net.PacketConn, zone *zone) error {
	buffer := make([]byte, 4096)
	for {
		n, from, err := packets.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if answer := zone.answer(buffer[:n], 512); answer != nil {
			_, _ = packets.WriteTo(answer, from)
		}
	}
}

func serveStreams(streams net.Listener, zone *zone) {
	for {
		conn, err := streams.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		go serveStream(conn, zone)
	}
}

func serveStream(conn net.Conn, zone *zone) {
	defer conn.Close()
	for {
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return
		}
		question, err := readFramed(conn)
		if err != nil {
			return
		}
		answer := zone.answer(question, 65535)
		if answer == nil || writeFramed(conn, answer) != nil {
			return
		}
	}
}

func fileStamp(path string) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
