package manifests

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Value is one value of the chart.
type Value struct {
	// Path is its place, as a.b.c.
	Path string
	// Default is JSON, Comment what stands above it.
	Default, Comment string
}

// Values reads values.yaml. A key with a comment is a value; one without has values below it, or is an error: nothing
// goes without its words.
func Values(text []byte) ([]Value, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, fmt.Errorf("read values: %w", err)
	}
	return valuesBelow(node.Content[0], "")
}

func valuesBelow(mapping *yaml.Node, prefix string) ([]Value, error) {
	var out []Value
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		path := prefix + key.Value
		if key.HeadComment == "" {
			if value.Kind != yaml.MappingNode || len(value.Content) == 0 {
				return nil, fmt.Errorf("value %s has no comment", path)
			}
			below, err := valuesBelow(value, path+".")
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
			continue
		}
		text, err := flow(value)
		if err != nil {
			return nil, fmt.Errorf("value %s: %w", path, err)
		}
		comment := strings.ReplaceAll(strings.ReplaceAll(key.HeadComment, "\n# ", " "), "# ", "")
		out = append(out, Value{Path: path, Default: text, Comment: comment})
	}
	return out, nil
}

// flow writes a value on one line.
func flow(n *yaml.Node) (string, error) {
	one := *n
	setFlow(&one)
	text, err := yaml.Marshal(&one)
	return strings.Join(strings.Fields(string(text)), " "), err
}

func setFlow(n *yaml.Node) {
	n.Style = n.Style&^yaml.LiteralStyle | yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		n.Style &^= yaml.FlowStyle
	}
	for i, c := range n.Content {
		child := *c
		child.HeadComment = ""
		setFlow(&child)
		n.Content[i] = &child
	}
}
