// Nsfwd listens on a free loopback port of the network namespace it is started in and passes each connection on to
// one address inside another network namespace. It is how the machine reaches the API server of a test cluster, whose
// namespace has no interface to the outside.
//
// The address it got is written to -address-file, whole or not at all.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const setnsAMD64 = 308 // SYS_SETNS is not in package syscall

type result struct {
	conn net.Conn
	err  error
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where to listen; port 0 picks a free one")
	addressFile := flag.String("address-file", "", "file to write the address listened on to")
	netns := flag.String("netns", "", "the namespace to dial in: /proc/PID/ns/net")
	target := flag.String("target", "127.0.0.1:6443", "IP:PORT to dial there")
	flag.Parse()

	to, err := netip.ParseAddrPort(*target)
	if err != nil {
		log.Fatalf("-target: %v", err)
	}
	namespace, err := os.Open(*netns)
	if err != nil {
		log.Fatalf("-netns: %v", err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatalf("listening: %v", err)
	}
	requests := make(chan chan result)
	entered := make(chan error)
	go dialInside(namespace, to, entered, requests)
	if err := <-entered; err != nil {
		log.Fatalf("entering %s: %v", *netns, err)
	}
	if err := publish(*addressFile, listener.Addr().String()); err != nil {
		log.Fatalf("-address-file: %v", err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Printf("accepting: %v", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		go forward(client.(*net.TCPConn), requests)
	}
}

// dialInside keeps one thread in the other namespace and dials there on request. A socket belongs to the namespace of
// the thread that made it, and a dial to a literal address makes its socket on the calling thread.
func dialInside(namespace *os.File, to netip.AddrPort, entered chan<- error, requests <-chan chan result) {
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall(setnsAMD64, namespace.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
		entered <- errno
		return
	}
	entered <- nil
	dialer := net.Dialer{Timeout: 2 * time.Second}
	for answer := range requests {
		conn, err := dialer.Dial("tcp", to.String())
		answer <- result{conn, err}
	}
}

func forward(client *net.TCPConn, requests chan<- chan result) {
	defer client.Close()
	answer := make(chan result, 1)
	requests <- answer
	got := <-answer
	if got.err != nil {
		log.Printf("dialling: %v", got.err)
		return
	}
	server := got.conn.(*net.TCPConn)
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

// pass copies until the sender is done, then tells the receiver so; an error ends both directions.
func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
}

func publish(file, address string) error {
	if file == "" {
		return nil
	}
	partial := file + ".tmp"
	if err := os.WriteFile(partial, []byte(address+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, file)
}
