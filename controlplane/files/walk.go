package files

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/translator/source"
)

// aliasedNodesMax is how many values the aliases of a file may expand to. It is what stands between us and ten lines
// that expand to billions.
const aliasedNodesMax = 200_000

// walker compares a document with the Go type of its object: it writes the JSON of all that fits, notes the line of
// each field, and finds fields that do not exist. A value of a wrong type ends it with an error at the value's line.
type walker struct {
	// left is how many more values may be looked at inside of aliases; it is shared by the documents of a file.
	left *int
	// open are the anchored values that the walk is inside of, to notice one that holds itself.
	open    map[*yaml.Node]bool
	lines   source.Lines
	unknown []unknownField
	json    []byte
}

type unknownField struct {
	path  string
	name  string
	line  int
	known map[string]reflect.Type
}

// pair is a key of an object with its value.
type pair struct {
	name  string
	line  int
	value *yaml.Node
}

// enter resolves an alias. It returns what to do once the value is done.
func (w *walker) enter(n *yaml.Node) (*yaml.Node, func(), error) {
	if n.Kind == yaml.AliasNode || len(w.open) > 0 {
		*w.left--
	}
	if *w.left < 0 {
		return nil, nil, failure(n.Line, "the aliases (*) of the file expand to more than %d values", aliasedNodesMax)
	}
	if n.Kind != yaml.AliasNode {
		return n, func() {}, nil
	}
	target := n.Alias
	if w.open[target] {
		return nil, nil, failure(n.Line, "the alias (*) refers to a value that it is a part of")
	}
	w.open[target] = true
	return target, func() { delete(w.open, target) }, nil
}

// pairs gives the keys of an object, with what its merge keys (<<) add: a key of its own wins over a merged one, and of
// two merged objects the first.
func (w *walker) pairs(n *yaml.Node) ([]pair, error) {
	var out []pair
	var merged []*yaml.Node
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			merged = append(merged, n.Content[i+1])
			continue
		}
		name, err := keyName(n.Content[i])
		if err != nil {
			return nil, err
		}
		seen[name] = true
		out = append(out, pair{name, n.Content[i].Line, n.Content[i+1]})
	}
	for _, m := range merged {
		more, err := w.merge(m, true)
		if err != nil {
			return nil, err
		}
		for _, p := range more {
			if !seen[p.name] {
				seen[p.name] = true
				out = append(out, p)
			}
		}
	}
	return out, nil
}

func (w *walker) merge(ref *yaml.Node, listAllowed bool) ([]pair, error) {
	n, leave, err := w.enter(ref)
	if err != nil {
		return nil, err
	}
	defer leave()
	switch {
	case n.Kind == yaml.MappingNode:
		*w.left -= len(n.Content) / 2
		return w.pairs(n)
	case n.Kind == yaml.SequenceNode && listAllowed:
		var out []pair
		for _, c := range n.Content {
			more, err := w.merge(c, false)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	return nil, failure(ref.Line, "a merge key (<<) takes an object, or a list of objects")
}

// value writes the JSON of a value that is meant for type t.
func (w *walker) value(ref *yaml.Node, t reflect.Type, path string) error {
	n, leave, err := w.enter(ref)
	if err != nil {
		return err
	}
	defer leave()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if isNull(n) {
		w.json = append(w.json, "null"...)
		return nil
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return w.special(n, t, path)
	}
	switch t.Kind() {
	case reflect.Struct:
		return w.object(n, t, path)
	case reflect.Map:
		return w.stringMap(n, t, path)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return w.base64(n, path)
		}
		return w.list(n, t, path)
	}
	return w.scalar(n, t, path)
}

func (w *walker) object(n *yaml.Node, t reflect.Type, path string) error {
	if n.Kind != yaml.MappingNode {
		return mismatch(n, path, anObject)
	}
	pairs, err := w.pairs(n)
	if err != nil {
		return err
	}
	known := fieldsOf(t)
	w.json = append(w.json, '{')
	first := true
	for _, p := range pairs {
		below := strings.TrimPrefix(path+"."+p.name, ".")
		w.lines[below] = p.line
		ft, ok := known[p.name]
		if !ok {
			w.unknown = append(w.unknown, unknownField{below, p.name, p.line, known})
			continue
		}
		w.key(p.name, &first)
		if err := w.value(p.value, ft, below); err != nil {
			return err
		}
	}
	w.json = append(w.json, '}')
	return nil
}

func (w *walker) stringMap(n *yaml.Node, t reflect.Type, path string) error {
	if n.Kind != yaml.MappingNode {
		return mismatch(n, path, anObject)
	}
	pairs, err := w.pairs(n)
	if err != nil {
		return err
	}
	w.json = append(w.json, '{')
	first := true
	for _, p := range pairs {
		below := path + "[" + p.name + "]"
		w.lines[below] = p.line
		w.key(p.name, &first)
		if err := w.value(p.value, t.Elem(), below); err != nil {
			return err
		}
	}
	w.json = append(w.json, '}')
	return nil
}

func (w *walker) list(n *yaml.Node, t reflect.Type, path string) error {
	if n.Kind != yaml.SequenceNode {
		return mismatch(n, path, aList)
	}
	w.json = append(w.json, '[')
	for i, c := range n.Content {
		below := path + "[" + strconv.Itoa(i) + "]"
		w.lines[below] = c.Line
		if i > 0 {
			w.json = append(w.json, ',')
		}
		if err := w.value(c, t.Elem(), below); err != nil {
			return err
		}
	}
	w.json = append(w.json, ']')
	return nil
}

func (w *walker) key(name string, first *bool) {
	if !*first {
		w.json = append(w.json, ',')
	}
	*first = false
	w.json = append(append(w.json, quote(name)...), ':')
}

func (w *walker) scalar(n *yaml.Node, t reflect.Type, path string) error {
	want := aNumber
	switch t.Kind() {
	case reflect.String:
		want = aString
	case reflect.Bool:
		want = aBoolean
	}
	if n.Kind != yaml.ScalarNode {
		return mismatch(n, path, want)
	}
	kind, text, err := scalar(n)
	if err != nil {
		return err
	}
	if kind != want {
		return mismatch(n, path, want)
	}
	if kind == aNumber && json.Unmarshal([]byte(text), reflect.New(t).Interface()) != nil {
		return failure(n.Line, "%s must be a whole number that fits into %d bits", path, t.Bits())
	}
	w.json = append(w.json, text...)
	return nil
}

func (w *walker) base64(n *yaml.Node, path string) error {
	if n.Kind != yaml.ScalarNode {
		return mismatch(n, path, aString)
	}
	kind, text, err := scalar(n)
	if err != nil {
		return err
	}
	if kind != aString {
		return mismatch(n, path, aString)
	}
	if _, err := base64.StdEncoding.DecodeString(n.Value); err != nil {
		return failure(n.Line, "%s is not base64 (plain text goes into stringData)", path)
	}
	w.json = append(w.json, text...)
	return nil
}

// special is for types that read their JSON themselves.
func (w *walker) special(n *yaml.Node, t reflect.Type, path string) error {
	start := len(w.json)
	if err := w.any(n, 0); err != nil {
		return err
	}
	err := reflect.New(t).Interface().(json.Unmarshaler).UnmarshalJSON(w.json[start:])
	if err == nil {
		return nil
	}
	// The error's own text holds the value.
	switch t {
	case reflect.TypeFor[intstr.IntOrString]():
		return failure(n.Line, "%s must be a whole number or a string", path)
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return failure(n.Line, "%s must be a time like 2006-01-02T15:04:05Z", path)
	}
	return failure(n.Line, "%s is not a valid %s", path, t.Name())
}

// any writes the JSON of a value of whatever shape.
func (w *walker) any(ref *yaml.Node, depth int) error {
	n, leave, err := w.enter(ref)
	if err != nil {
		return err
	}
	defer leave()
	if depth > depthMax {
		return failure(n.Line, "the document is nested deeper than %d levels", depthMax)
	}
	switch n.Kind {
	case yaml.MappingNode:
		pairs, err := w.pairs(n)
		if err != nil {
			return err
		}
		w.json = append(w.json, '{')
		first := true
		for _, p := range pairs {
			w.key(p.name, &first)
			if err := w.any(p.value, depth+1); err != nil {
				return err
			}
		}
		w.json = append(w.json, '}')
		return nil
	case yaml.SequenceNode:
		w.json = append(w.json, '[')
		for i, c := range n.Content {
			if i > 0 {
				w.json = append(w.json, ',')
			}
			if err := w.any(c, depth+1); err != nil {
				return err
			}
		}
		w.json = append(w.json, ']')
		return nil
	}
	_, text, err := scalar(n)
	w.json = append(w.json, text...)
	return err
}

// mismatch says that a value has a wrong type, without the value.
func mismatch(n *yaml.Node, path, want string) error {
	is := anObject
	switch n.Kind {
	case yaml.SequenceNode:
		is = aList
	case yaml.ScalarNode:
		kind, _, err := scalar(n)
		if err != nil {
			return err
		}
		is = kind
	}
	hint := ""
	if want == aString && (is == aNumber || is == aBoolean) {
		hint = ": put it in quotes"
	}
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode {
		hint = templateAdvice
	}
	if path == "" {
		path = "the document"
	}
	return failure(n.Line, "%s is %s and must be %s%s", path, is, want, hint)
}

var fieldsCache sync.Map // reflect.Type → map[string]reflect.Type

// fieldsOf gives the fields of a struct by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if known, ok := fieldsCache.Load(t); ok {
		return known.(map[string]reflect.Type)
	}
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && f.Anonymous:
			for inner, it := range fieldsOf(f.Type) {
				out[inner] = it
			}
		case name == "":
			panic(fmt.Sprintf("files: field %s of %s has no name in JSON", f.Name, t))
		default:
			out[name] = f.Type
		}
	}
	fieldsCache.Store(t, out)
	return out
}
