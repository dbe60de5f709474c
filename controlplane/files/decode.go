package files

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/json"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// listDepthMax is how deep kind: List may nest.
const listDepthMax = 4

// Decode reads the manifests of one file: YAML or JSON, several documents, and Lists. The file is only a name, for
// places and messages. Objects get the API server's defaults that routing depends on.
//
// Unknown fields, unknown kinds and duplicate objects become diagnostics of the World. An error is a *ParseError; then
// nothing of the file counts, as its parts may belong together.
func Decode(file string, data []byte) (source.World, error) { return decodeIn("", file, data) }

// decodeIn is Decode with the namespace of objects that name none; empty is kubectl's default.
func decodeIn(namespace, file string, data []byte) (source.World, error) {
	w, err := decode(namespace, file, data)
	if err == nil {
		return Merge(w), nil
	}
	out := &ParseError{File: file, Err: err}
	var at *lineError
	if errors.As(err, &at) {
		out.Line = at.line
	}
	return source.World{}, out
}

func decode(namespace, file string, data []byte) (source.World, error) {
	docs, err := parse(data)
	if err != nil {
		return source.World{}, err
	}
	d := decoder{file: file, namespace: cmp.Or(namespace, namespaceDefault), left: aliasedNodesMax}
	for _, n := range docs {
		if err := checkTree(n, 0); err != nil {
			return source.World{}, err
		}
	}
	for _, n := range docs {
		if err := d.document(n, typeName{}, 0); err != nil {
			return source.World{}, err
		}
	}
	return d.world, nil
}

// typeName is the type of an object, as its first two lines give it.
type typeName struct{ apiVersion, kind string }

func (t typeName) group() string {
	group, _, found := strings.Cut(t.apiVersion, "/")
	if !found {
		return ""
	}
	return group
}

type decoder struct {
	file string
	// namespace is that of objects that name none.
	namespace string
	// left is how many more values the aliases of the file may expand to.
	left  int
	world source.World
}

// header is what every document has, of whatever kind.
type header struct {
	typeName
	namespace, name string
	pairs           []pair
}

// document reads one object. usual is its type where it has none of its own, as the items of an IngressList.
func (d *decoder) document(ref *yaml.Node, usual typeName, depth int) error {
	w := d.walker()
	n, leave, err := w.enter(ref)
	if err != nil {
		return err
	}
	defer leave()
	if n.Kind != yaml.MappingNode {
		return mismatch(n, "", "an object with apiVersion and kind")
	}
	h, err := w.header(n)
	if err != nil {
		return err
	}
	if h.typeName == (typeName{}) {
		h.typeName = usual
	}
	if read, ok := readers[h.typeName]; ok {
		return read(d, n, h)
	}
	if item, ok := listOf(h.typeName); ok {
		return d.list(h, item, depth)
	}
	d.unknownKind(n, h)
	return nil
}

func (d *decoder) walker() *walker {
	return &walker{left: &d.left, open: map[*yaml.Node]bool{}, lines: source.Lines{}}
}

func (w *walker) header(n *yaml.Node) (header, error) {
	var h header
	var err error
	if h.pairs, err = w.pairs(n); err != nil {
		return h, err
	}
	for _, p := range h.pairs {
		switch p.name {
		case "apiVersion":
			h.apiVersion, err = w.text(p)
		case "kind":
			h.kind, err = w.text(p)
		case "metadata":
			h.namespace, h.name, err = w.names(p.value)
		}
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

// text is a string value; a null counts as empty.
func (w *walker) text(p pair) (string, error) {
	n, leave, err := w.enter(p.value)
	if err != nil {
		return "", err
	}
	defer leave()
	if n.Kind != yaml.ScalarNode {
		return "", mismatch(n, p.name, aString)
	}
	switch kind, _, err := scalar(n); {
	case err != nil:
		return "", err
	case kind == aNull:
		return "", nil
	case kind != aString:
		return "", mismatch(n, p.name, aString)
	}
	return n.Value, nil
}

// names gives the namespace and name in metadata as far as there are such; the type of metadata is not checked.
func (w *walker) names(ref *yaml.Node) (namespace, name string, err error) {
	n, leave, err := w.enter(ref)
	if err != nil {
		return "", "", err
	}
	defer leave()
	if n.Kind != yaml.MappingNode {
		return "", "", nil
	}
	pairs, err := w.pairs(n)
	for _, p := range pairs {
		v := p.value
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if v.Kind != yaml.ScalarNode || isNull(v) {
			continue
		}
		switch p.name {
		case "namespace":
			namespace = v.Value
		case "name":
			name = v.Value
		}
	}
	return namespace, name, err
}

// listOf gives the type of the items of a list type; it is empty for kind: List, where each item has its own.
func listOf(t typeName) (typeName, bool) {
	if t == (typeName{"v1", "List"}) {
		return typeName{}, true
	}
	item := typeName{t.apiVersion, strings.TrimSuffix(t.kind, "List")}
	_, known := readers[item]
	return item, known && item.kind != t.kind
}

func (d *decoder) list(h header, item typeName, depth int) error {
	w := d.walker()
	for _, p := range h.pairs {
		if p.name != "items" || isNull(p.value) {
			continue
		}
		n, leave, err := w.enter(p.value)
		if err != nil {
			return err
		}
		defer leave()
		if n.Kind != yaml.SequenceNode {
			return mismatch(n, "items", aList)
		}
		if depth == listDepthMax {
			return failure(p.line, "lists are nested deeper than %d levels", listDepthMax)
		}
		for _, c := range n.Content {
			if err := d.document(c, item, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// unknownKind lists a document that is skipped. Where it was probably meant for us, that is a warning.
func (d *decoder) unknownKind(n *yaml.Node, h header) {
	at := diag.Origin{Kind: h.kind, Namespace: h.namespace, Name: h.name, File: d.file, Line: n.Line}
	const skipped = "the document is skipped"
	versions := versionsOf(h.typeName)
	switch {
	case h.kind == "" || h.apiVersion == "":
		at.Kind = "document"
		if h.kind != "" {
			at.Kind = h.kind
		}
		missing, known := "kind", map[string]bool{"kind": true}
		if h.kind != "" {
			missing, known = "apiVersion", map[string]bool{"apiVersion": true}
		}
		fix := "add it, or keep the file out of the folder if it is no manifest"
		for _, p := range h.pairs {
			if nearest(p.name, known) == missing {
				at.Line, fix = p.line, fmt.Sprintf("did you mean %s instead of %s?", missing, p.name)
			}
		}
		d.add(diag.New(diag.CodeUnknownKind, at, "the document has no "+missing, skipped, fix).At(diag.Warning))
	case len(versions) > 0:
		d.add(diag.New(diag.CodeUnknownKind, at,
			fmt.Sprintf("Postern does not read %s of %s", h.kind, h.apiVersion), skipped,
			"use apiVersion: "+versions[len(versions)-1]).At(diag.Warning))
	case meantType(h.typeName) != "":
		d.add(diag.New(diag.CodeUnknownKind, at,
			fmt.Sprintf("there is no %s of %s; did you mean %s?", h.kind, h.apiVersion, meantType(h.typeName)), skipped,
			"correct kind and apiVersion").At(diag.Warning))
	default:
		d.add(diag.New(diag.CodeUnknownKind, at,
			fmt.Sprintf("%s %s has no part in routing", h.apiVersion, h.kind), skipped, ""))
	}
}

// meantType is the kind that a misspelt one, or one of a misspelt group, most likely meant; empty where the type may well
// be another's. A group of Kubernetes' own beside the core ones has a dot in its name.
func meantType(t typeName) string {
	kinds, groups := map[string]string{}, map[string]bool{"": true}
	for known := range readers {
		kinds[known.kind] = known.kind
		groups[known.group()] = true
	}
	if !groups[t.group()] && strings.Contains(t.group(), ".") {
		return ""
	}
	return nearest(t.kind, kinds)
}

// versionsOf gives the versions in which a kind is read, the current one last, if the type is of one of their groups:
// Ingress of config.openshift.io is another thing altogether.
func versionsOf(t typeName) []string {
	var versions []string
	ours := t.group() == ""
	for known := range readers {
		if known.kind == t.kind {
			versions = append(versions, known.apiVersion)
			ours = ours || known.group() == t.group()
		}
	}
	if !ours {
		return nil
	}
	slices.SortFunc(versions, func(a, b string) int {
		beta := func(v string) int { return strings.Count(v, "beta") }
		return cmp.Or(cmp.Compare(beta(b), beta(a)), cmp.Compare(a, b))
	})
	return versions
}

func (d *decoder) add(ds ...diag.D) { d.world.Diagnostics = append(d.world.Diagnostics, ds...) }

// typed reads a document as a T, and gives the object's place.
func typed[T any](d *decoder, n *yaml.Node, h header) (*T, source.Place, error) {
	w := d.walker()
	w.lines[""] = n.Line
	if err := w.value(n, reflect.TypeFor[T](), ""); err != nil {
		return nil, source.Place{}, err
	}
	if h.name == "" {
		return nil, source.Place{}, failure(n.Line, "%s has no metadata.name", h.kind)
	}
	out := new(T)
	if err := json.UnmarshalCaseSensitivePreserveInts(w.json, out); err != nil {
		// The walk above should have found it. The error may hold a value, so it stays here.
		return nil, source.Place{}, failure(n.Line, "the document is not a valid %s of %s", h.kind, h.apiVersion)
	}
	place := source.Place{File: d.file, Lines: w.lines}
	for _, u := range w.unknown {
		fix := "remove it"
		if meant := nearest(u.name, u.known); meant != "" {
			fix = "did you mean " + meant + "?"
		}
		at := place.Origin(h.kind, h.namespace, h.name, u.path)
		at.Line = u.line
		d.add(diag.New(diag.CodeUnknownField, at,
			fmt.Sprintf("%s of %s has no field %q here", h.kind, h.apiVersion, u.name),
			"the object is served without the field", fix))
	}
	return out, place, nil
}
