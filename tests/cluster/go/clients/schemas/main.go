// Schemas writes strict JSON schemas that kubeconform can judge manifests by: of Kubernetes' own kinds, from the
// OpenAPI documents of its source, and of the kinds of CustomResourceDefinitions given as YAML files. Strict means that
// a field nobody defined is an error, as it is in the API server with fieldValidation=Strict.
//
//	schemas -openapi FOLDER -out FOLDER [CRD.yaml …]
//
// Each kind becomes one file, named as kubeconform's template {{.ResourceKind}}{{.KindSuffix}}.json asks for it:
// deployment-apps-v1.json, service-v1.json.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	objectMeta  = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
	refInSource = "#/components/schemas/"
	refInFile   = "#/definitions/"
)

type schema = map[string]any

// kind is one kind that a manifest may have.
type kind struct{ group, version, name string }

func (k kind) apiVersion() string {
	if k.group == "" {
		return k.version
	}
	return k.group + "/" + k.version
}

// file is the name kubeconform asks for: of the group it uses the part before the first dot.
func (k kind) file() string {
	name := strings.ToLower(k.name)
	if k.group != "" {
		first, _, _ := strings.Cut(k.group, ".")
		name += "-" + first
	}
	return strings.ToLower(name + "-" + k.version + ".json")
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("schemas: ")
	openapi := flag.String("openapi", "", "folder of OpenAPI v3 documents: api/openapi-spec/v3 of the Kubernetes source")
	out := flag.String("out", "", "folder to write to; made when absent")
	flag.Parse()
	if *openapi == "" || *out == "" {
		log.Fatal("usage: schemas -openapi FOLDER -out FOLDER [CRD.yaml …]")
	}
	written, err := run(*openapi, *out, flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(written, "schemas in", *out)
}

func run(openapi, out string, crds []string) (int, error) {
	definitions, err := readOpenAPI(openapi)
	if err != nil {
		return 0, err
	}
	if _, ok := definitions[objectMeta]; !ok {
		return 0, fmt.Errorf("%s defines no %s", openapi, objectMeta)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return 0, err
	}
	written := 0
	for _, definition := range definitions {
		of, ok := soleKind(definition)
		if !ok {
			continue
		}
		if err := write(out, of, definition, definitions); err != nil {
			return 0, err
		}
		written++
	}
	for _, path := range crds {
		n, err := writeCustom(out, path, definitions)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		written += n
	}
	return written, nil
}

func readOpenAPI(folder string) (map[string]schema, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_openapi.json"))
	if err != nil {
		return nil, err
	}
	definitions := make(map[string]schema)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var document struct {
			Components struct {
				Schemas map[string]schema `json:"schemas"`
			} `json:"components"`
		}
		if err := json.Unmarshal(content, &document); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for name, definition := range document.Components.Schemas {
			definitions[name] = strict(definition)
		}
	}
	return definitions, nil
}

// soleKind tells the kind that a definition is of. Those of several, such as DeleteOptions, are not manifests.
func soleKind(definition schema) (kind, bool) {
	list, _ := definition["x-kubernetes-group-version-kind"].([]any)
	if len(list) != 1 {
		return kind{}, false
	}
	entry, _ := list[0].(schema)
	text := func(key string) string { s, _ := entry[key].(string); return s }
	of := kind{group: text("group"), version: text("version"), name: text("kind")}
	properties, _ := definition["properties"].(schema)
	return of, of.name != "" && properties["kind"] != nil
}

func writeCustom(out, path string, definitions map[string]schema) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(file))
	written := 0
	for {
		content, err := documents.Read()
		if errors.Is(err, io.EOF) {
			if written == 0 {
				return 0, errors.New("no CustomResourceDefinition in it")
			}
			return written, nil
		}
		if err != nil {
			return 0, err
		}
		var crd struct {
			Kind string `json:"kind"`
			Spec struct {
				Group string `json:"group"`
				Names struct {
					Kind string `json:"kind"`
				} `json:"names"`
				Versions []struct {
					Name   string `json:"name"`
					Schema struct {
						OpenAPIV3Schema schema `json:"openAPIV3Schema"`
					} `json:"schema"`
				} `json:"versions"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(content, &crd); err != nil {
			return 0, err
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, version := range crd.Spec.Versions {
			if version.Schema.OpenAPIV3Schema == nil {
				return 0, fmt.Errorf("version %s has no schema", version.Name)
			}
			custom := strict(version.Schema.OpenAPIV3Schema)
			properties, _ := custom["properties"].(schema)
			if properties == nil {
				return 0, fmt.Errorf("version %s has no properties", version.Name)
			}
			properties["metadata"] = schema{"$ref": refInFile + objectMeta}
			of := kind{crd.Spec.Group, version.Name, crd.Spec.Names.Kind}
			if err := write(out, of, custom, definitions); err != nil {
				return 0, err
			}
			written++
		}
	}
}

// write makes the file of one kind: its schema, with the definitions it leads to beside it.
func write(out string, of kind, root schema, definitions map[string]schema) error {
	document := make(schema, len(root)+3)
	for key, value := range root {
		document[key] = value
	}
	properties := make(schema)
	for name, property := range root["properties"].(schema) {
		properties[name] = property
	}
	properties["apiVersion"] = schema{"type": "string", "enum": []any{of.apiVersion()}}
	properties["kind"] = schema{"type": "string", "enum": []any{of.name}}
	document["properties"] = properties
	document["required"] = with(root["required"], "apiVersion", "kind")
	used := make(schema)
	if err := collect(document, definitions, used); err != nil {
		return fmt.Errorf("%s: %w", of.name, err)
	}
	document["definitions"] = used
	// Draft 4 is the one whose exclusiveMinimum is a boolean, as OpenAPI 3.0's is.
	document["$schema"] = "http://json-schema.org/draft-04/schema#"
	content, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, of.file()), content, 0o644)
}

func with(required any, names ...string) []any {
	list, _ := required.([]any)
	all := append([]any{}, list...)
	for _, name := range names {
		present := false
		for _, other := range all {
			present = present || other == name
		}
		if !present {
			all = append(all, name)
		}
	}
	return all
}

// collect adds to used every definition that a schema refers to, and those that these refer to.
func collect(from schema, definitions map[string]schema, used schema) error {
	if ref, ok := from["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, refInFile)
		if used[name] != nil {
			return nil
		}
		definition, ok := definitions[name]
		if !ok {
			return fmt.Errorf("refers to %s, which is not defined", name)
		}
		used[name] = definition
		if err := collect(definition, definitions, used); err != nil {
			return err
		}
	}
	return eachChild(from, func(child schema) error { return collect(child, definitions, used) })
}
