package main

import "strings"

// strict turns an OpenAPI 3.0 schema, as Kubernetes writes them, into a JSON schema: references point into the same
// file, an object with named properties has no others, and what OpenAPI says in its own words (nullable,
// int-or-string) is said in JSON Schema's. The schema given is changed and returned.
func strict(from schema) schema {
	if ref, ok := from["$ref"].(string); ok {
		from["$ref"] = refInFile + strings.TrimPrefix(ref, refInSource)
	}
	_, named := from["properties"]
	_, open := from["additionalProperties"]
	keeps, _ := from["x-kubernetes-preserve-unknown-fields"].(bool)
	if named && !open && !keeps {
		from["additionalProperties"] = false
	}
	if either, _ := from["x-kubernetes-int-or-string"].(bool); either {
		delete(from, "type")
		delete(from, "anyOf")
		from["type"] = []any{"integer", "string"}
	}
	// An amount of CPU may be written 1 or "1"; whether it is an amount is for the API server to say.
	if format, _ := from["format"].(string); format == "int-or-string" {
		delete(from, "oneOf")
		from["type"] = []any{"integer", "string"}
	}
	if nullable, _ := from["nullable"].(bool); nullable {
		if one, ok := from["type"].(string); ok {
			from["type"] = []any{one, "null"}
		}
		if values, ok := from["enum"].([]any); ok {
			from["enum"] = append(values, nil)
		}
	}
	// Branches of a structural schema repeat a part of the properties; they must not forbid the rest.
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		branches, _ := from[key].([]any)
		for _, branch := range branches {
			if inner, ok := branch.(schema); ok {
				loose(inner)
			}
		}
	}
	if inner, ok := from["not"].(schema); ok {
		loose(inner)
	}
	_ = eachNested(from, func(child schema) error { strict(child); return nil })
	return from
}

// loose is strict for what stands in a branch: references and words are turned, nothing is forbidden.
func loose(from schema) {
	if ref, ok := from["$ref"].(string); ok {
		from["$ref"] = refInFile + strings.TrimPrefix(ref, refInSource)
	}
	_ = eachChild(from, func(child schema) error { loose(child); return nil })
}

// eachNested visits the schemas of what a value holds: its properties and items. A property may itself be called
// "$ref" or "items", so only these places are schemas.
func eachNested(from schema, visit func(schema) error) error {
	if properties, ok := from["properties"].(schema); ok {
		for _, property := range properties {
			if child, ok := property.(schema); ok {
				if err := visit(child); err != nil {
					return err
				}
			}
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if child, ok := from[key].(schema); ok {
			if err := visit(child); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachChild visits every schema directly inside another, branches included.
func eachChild(from schema, visit func(schema) error) error {
	if err := eachNested(from, visit); err != nil {
		return err
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		branches, _ := from[key].([]any)
		for _, branch := range branches {
			if child, ok := branch.(schema); ok {
				if err := visit(child); err != nil {
					return err
				}
			}
		}
	}
	if child, ok := from["not"].(schema); ok {
		return visit(child)
	}
	return nil
}
