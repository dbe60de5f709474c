package files

import (
	"encoding/json"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// The kinds of values, as messages name them.
const (
	aNull    = "null"
	aBoolean = "a boolean"
	aNumber  = "a number"
	aString  = "a string"
	aList    = "a list"
	anObject = "an object"
)

// booleans are the plain words that kubectl takes for booleans: it reads YAML 1.1, go-yaml v3 mostly 1.2. Without them
// an annotation of the value yes, which the API server refuses, would be served from files.
var booleans = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"true": true, "True": true, "TRUE": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
	"false": false, "False": false, "FALSE": false,
}

func isPlain(n *yaml.Node) bool {
	return n.Style&^yaml.FlowStyle == 0
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func isMerge(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!merge"
}

// keyName is a key as JSON has it, where every key is a string.
func keyName(n *yaml.Node) (string, error) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		if n.Kind == yaml.MappingNode {
			return "", failure(n.Line, "an object in { } cannot be a key%s", templateAdvice)
		}
		return "", failure(n.Line, "a list cannot be a key")
	}
	kind, text, err := scalar(n)
	switch {
	case err != nil:
		return "", err
	case kind == aNull:
		return "", failure(n.Line, "a key is missing before the ':'")
	case kind == aString:
		return n.Value, nil
	}
	return text, nil
}

// scalar gives the kind of a scalar and its JSON.
func scalar(n *yaml.Node) (kind, text string, err error) {
	tag := n.ShortTag()
	if b, ok := booleans[n.Value]; ok && (tag == "!!bool" || isPlain(n) && tag == "!!str") {
		return aBoolean, strconv.FormatBool(b), nil
	}
	switch tag {
	case "!!str", "!!timestamp", "!!merge":
		return aString, quote(n.Value), nil
	case "!!null":
		return aNull, "null", nil
	case "!!int", "!!float":
		text, err := number(n)
		return aNumber, text, err
	case "!!bool":
		return "", "", failure(n.Line, "the value is tagged !!bool and is no boolean")
	}
	return "", "", failure(n.Line, "the value has the tag %s, which manifests cannot have", tag)
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("files: string to JSON: " + err.Error())
	}
	return string(text)
}

func number(n *yaml.Node) (string, error) {
	var value any
	if n.Decode(&value) != nil {
		return "", failure(n.Line, "the value is tagged as a number and is none")
	}
	switch v := value.(type) {
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", failure(n.Line, "infinity and NaN are not numbers that a manifest can hold")
		}
		text, err := json.Marshal(v)
		return string(text), err
	}
	return "", failure(n.Line, "the number is out of range")
}
