// Netcheck is the body of the pods that the cluster's self check runs: a server that says which pod answered, and the
// two questions asked of it from another pod.
//
//	netcheck serve :8080        answers every HTTP request with the host name
//	netcheck lookup NAME        prints the addresses of NAME, by the pod's own resolver settings
//	netcheck get URL            prints the body of URL
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: netcheck serve ADDRESS | lookup NAME | get URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, verb, argument string) error {
	switch verb {
	case "serve":
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		fmt.Println("serving", argument)
		server := http.Server{Addr: argument, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })}
		return server.ListenAndServe()
	case "lookup":
		addresses, err := net.DefaultResolver.LookupHost(ctx, argument)
		if err != nil {
			return err
		}
		fmt.Println(strings.Join(addresses, " "))
		return nil
	case "get":
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, argument, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = io.Copy(os.Stdout, io.LimitReader(response.Body, 64<<10))
		return err
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
}
