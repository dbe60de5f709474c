package files

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseJSON gives the values of a file of JSON documents, one after the other, as YAML would.
func parseJSON(data []byte) ([]*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	p := jsonParser{dec: dec, data: data, line: 1}
	var docs []*yaml.Node
	for {
		n, err := p.value(0)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
}

type jsonParser struct {
	dec  *json.Decoder
	data []byte
	// line is the line of data[at].
	line, at int
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	if depth > depthMax {
		return nil, failure(p.line, "the document is nested deeper than %d levels", depthMax)
	}
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	// A token of JSON holds no line break, so its end is in its line.
	end := int(p.dec.InputOffset())
	p.line += bytes.Count(p.data[p.at:end], []byte("\n"))
	p.at = end
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: p.line}
	switch v := token.(type) {
	case json.Delim:
		n.Kind = yaml.MappingNode
		if v == '[' {
			n.Kind = yaml.SequenceNode
		}
		return n, p.content(n, depth)
	case string:
		n.Tag, n.Value, n.Style = "!!str", v, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!int", v.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", "false"
		if v {
			n.Value = "true"
		}
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

func (p *jsonParser) content(n *yaml.Node, depth int) error {
	for p.dec.More() {
		c, err := p.value(depth + 1)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		n.Content = append(n.Content, c)
	}
	if _, err := p.dec.Token(); err != nil { // The closing bracket.
		return io.ErrUnexpectedEOF
	}
	return nil
}
