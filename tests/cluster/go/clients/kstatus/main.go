// Kstatus judges objects as GitOps tools do. It reads Kubernetes objects from standard input, as a JSON List (what
// `kubectl get -o json` prints), a JSON array or a single object, prints one line for each,
//
//	KIND/NAMESPACE/NAME STATUS MESSAGE
//
// and exits with 1 when any is not Current or there are none, 2 when the input cannot be read.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	objects, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(2)
	}
	if len(objects) == 0 {
		fmt.Fprintln(os.Stderr, "kstatus: no objects")
		os.Exit(1)
	}
	all := true
	for _, object := range objects {
		result, err := status.Compute(object)
		if err != nil {
			fmt.Fprintf(os.Stderr, "kstatus: %s: %v\n", name(object), err)
			os.Exit(2)
		}
		message := strings.Join(strings.Fields(result.Message), " ")
		fmt.Println(name(object), result.Status, message)
		all = all && result.Status == status.CurrentStatus
	}
	if !all {
		os.Exit(1)
	}
}

func name(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// read takes any number of JSON documents. Objects are decoded by the unstructured type itself, which keeps whole
// numbers whole; the judge compares generations and would fail on floating-point ones.
func read(from io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := json.NewDecoder(from)
	for {
		var document json.RawMessage
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		found, err := flatten(document)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
}

func flatten(document json.RawMessage) ([]*unstructured.Unstructured, error) {
	items, isList, err := itemsOf(document)
	if err != nil {
		return nil, err
	}
	if !isList {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(document); err != nil {
			return nil, err
		}
		return []*unstructured.Unstructured{object}, nil
	}
	var objects []*unstructured.Unstructured
	for _, item := range items {
		found, err := flatten(item)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

func itemsOf(document json.RawMessage) (items []json.RawMessage, isList bool, err error) {
	if trimmed := bytes.TrimSpace(document); len(trimmed) > 0 && trimmed[0] == '[' {
		err := json.Unmarshal(document, &items)
		return items, true, err
	}
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(document, &list); err != nil {
		return nil, false, err
	}
	return list.Items, strings.HasSuffix(list.Kind, "List") && list.Items != nil, nil
}
