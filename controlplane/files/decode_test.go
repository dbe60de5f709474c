package files

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/translator/source"
)

// object is any object of a World.
type object struct {
	kind  string
	place source.Place
	value metav1.Object
}

func (o object) id() string {
	return strings.TrimSpace(o.kind + " " + strings.TrimPrefix(o.value.GetNamespace()+"/"+o.value.GetName(), "/"))
}

// objects are all objects of a World in the order of their lines.
func objects(w source.World) []object {
	var out []object
	for _, o := range w.Ingresses {
		out = append(out, object{"Ingress", o.Place, o.Ingress})
	}
	for _, o := range w.Services {
		out = append(out, object{"Service", o.Place, o.Service})
	}
	for _, o := range w.EndpointSlices {
		out = append(out, object{"EndpointSlice", o.Place, o.EndpointSlice})
	}
	for _, o := range w.Endpoints {
		out = append(out, object{"Endpoints", o.Place, o.Endpoints})
	}
	for _, o := range w.Secrets {
		out = append(out, object{"Secret", o.Place, o.Secret})
	}
	for _, o := range w.ConfigMaps {
		out = append(out, object{"ConfigMap", o.Place, o.ConfigMap})
	}
	for _, o := range w.IngressClasses {
		out = append(out, object{"IngressClass", o.Place, o.IngressClass})
	}
	for _, o := range w.Namespaces {
		out = append(out, object{"Namespace", o.Place, o.Namespace})
	}
	for _, o := range w.Nodes {
		out = append(out, object{"Node", o.Place, o.Node})
	}
	slices.SortFunc(out, func(a, b object) int {
		return cmp.Or(cmp.Compare(a.place.File, b.place.File), cmp.Compare(a.place.Line(""), b.place.Line("")))
	})
	return out
}

// TestDecode runs testdata/*.txtar: the first file is the input; lines holds fields and the line of each; the other
// files are what comes out. UPDATE=1 writes them.
func TestDecode(t *testing.T) {
	cases, err := filepath.Glob("testdata/*")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases: ", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(text)
			if filepath.Ext(path) != ".txtar" || len(archive.Files) == 0 {
				t.Fatal("it is no case: nothing reads it")
			}
			input := archive.Files[0]
			w, err := Decode(input.Name, input.Data)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: archive.Comment, Files: []txtar.File{
				input,
				{Name: "lines", Data: linesText(w, archive)},
				{Name: "objects", Data: objectsText(t, w)},
				{Name: "diagnostics", Data: diagnosticsText(w)},
			}}
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(path, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if string(txtar.Format(got)) != string(text) {
				t.Errorf("got:\n%s\nwant:\n%s", txtar.Format(got), text)
			}
		})
	}
}

func linesText(w source.World, archive *txtar.Archive) []byte {
	var out strings.Builder
	for _, f := range archive.Files {
		if f.Name != "lines" {
			continue
		}
		for asked := range strings.Lines(string(f.Data)) {
			asked, _, _ = strings.Cut(strings.TrimSuffix(asked, "\n"), " = ")
			words := strings.Split(asked, " ")
			field := strings.Join(words[2:], " ")
			for _, o := range objects(w) {
				if o.id() == words[0]+" "+words[1] {
					line, exact := o.place.Lines[field]
					fmt.Fprintf(&out, "%s = %d%s\n", asked, line, map[bool]string{false: " (not noted)"}[exact])
				}
			}
		}
	}
	return []byte(out.String())
}

func objectsText(t *testing.T, w source.World) []byte {
	t.Helper()
	var out strings.Builder
	for _, o := range objects(w) {
		version := ""
		for _, i := range w.Ingresses {
			if i.Ingress == o.value {
				version = ", written in " + i.APIVersion
			}
		}
		text, err := yaml.Marshal(o.value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "# %s:%d %s%s\n%s", o.place.File, o.place.Line(""), o.id(), version, text)
	}
	return []byte(out.String())
}

func diagnosticsText(w source.World) []byte {
	var out strings.Builder
	for _, d := range w.Diagnostics {
		fmt.Fprintln(&out, d)
	}
	return []byte(out.String())
}

const secretHead = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"

// decodeErrors are files that do not parse, and how their errors begin.
var decodeErrors = map[string]struct{ in, want string }{
	"indent of a key":       {"a:\n  b: 1\n c: 2\nd: 3\n", "in.yaml:3: the line does not continue the object above it"},
	"indent in a list":      {"a:\n  - b: 1\n   c: 2\nd: 3\n", "in.yaml:3: the line does not continue the list above it"},
	"indent deep down":      {"spec:\n  rules:\n  - host: a\n    http:\n      paths:\n      - path: /\n       backend: x\nd: 1\n", "in.yaml:7: the line does not continue"},
	"no colon":              {"a: 1\nb 2\nc: 3\n", "in.yaml:2: there is no ':' after the key"},
	"colon too many":        {"a: 1\nb: c: d\n", "in.yaml:2: a ':' where no key can stand"},
	"first line":            {"a: b: c\n", "in.yaml:1: a ':' where no key can stand"},
	"tab":                   {"a:\n\tb: 1\n", "in.yaml:2: a value begins with a character that YAML reserves"},
	"later document":        {"a: 1\n---\nb: 1\n  c: 2\n", "in.yaml:4: a ':' where no key can stand"},
	"CRLF":                  {"a: 1\r\nb\r\nc: 1\r\n", "in.yaml:2: there is no ':' after the key"},
	"bracket left open":     {"a: [1,\nb: 2\nc: 3\nd: 4\n", "in.yaml:4: a list in [ ] or an object in { } is not closed"},
	"control character":     {"a: 1\nb: \x01\n", "in.yaml:2: there is a control character (0x01)"},
	"not UTF-8":             {"a: 1\nb: \xff\n", "in.yaml:2: the line is not UTF-8"},
	"UTF-16":                {"\xff\xfea\x00", "in.yaml:1: the file is in UTF-16"},
	"duplicate key":         {"a: 1\nb: 2\na: 3\n", `in.yaml:3: the key "a" is already set in line 1`},
	"duplicate deep down":   {"kind: X\napiVersion: v1\na:\n- b: {c: 1,\n   c: 2}\n", `in.yaml:5: the key "c" is already set in line 4`},
	"duplicate in JSON":     {"{\"a\": 1,\n\"a\": 2}", `in.yaml:2: the key "a" is already set in line 1`},
	"JSON left open":        {"{\"a\": 1,\n\"b\": [\n", "in.yaml:2: a value is missing before a bracket"},
	"template value":        {"apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Release.Name }}\n", "in.yaml:4: an object in { } cannot be a key; the file looks like a template"},
	"template line":         {"a: 1\n{{- if .Values.on }}\nb: 1\n{{- end }}\n", "in.yaml:2: there is no ':' after the key; the file looks like a template"},
	"scalar":                {"hello\n", "in.yaml:1: the document is a string and must be an object with apiVersion and kind"},
	"list":                  {"- a\n- b\n", "in.yaml:1: the document is a list and must be"},
	"wrong type":            {"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  rules:\n  - host: 12\n", "in.yaml:6: spec.rules[0].host is a number and must be a string: put it in quotes"},
	"boolean annotation":    {"apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n    x/y: yes\n", "in.yaml:6: metadata.annotations[x/y] is a boolean and must be a string: put it in quotes"},
	"object for list":       {"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  rules:\n    host: a\n", "in.yaml:6: spec.rules is an object and must be a list"},
	"port in quotes":        {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: \"80\"\n", "in.yaml:6: spec.ports[0].port is a string and must be a number"},
	"port too large":        {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: 5000000000\n", "in.yaml:6: spec.ports[0].port must be a whole number that fits into 32 bits"},
	"legacy port":           {"apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  backend:\n    servicePort: [80]\n", "in.yaml:6: spec.backend.servicePort must be a whole number or a string"},
	"time":                  {"apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  creationTimestamp: now\n", "in.yaml:5: metadata.creationTimestamp must be a time"},
	"no name":               {"a: 1\n---\napiVersion: v1\nkind: Service\n", "in.yaml:3: Service has no metadata.name"},
	"kind is no string":     {"apiVersion: v1\nkind: [a]\n", "in.yaml:2: kind is a list and must be a string"},
	"metadata is a list":    {"apiVersion: v1\nkind: Service\nmetadata: []\n", "in.yaml:3: metadata is a list and must be an object"},
	"tag":                   {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: !secret b\n", "in.yaml:5: the value has the tag !secret"},
	"tag that does not fit": {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: !!int \"x\"}]}\n", "in.yaml:4: the value is tagged as a number and is none"},
	"value that is itself":  {"apiVersion: v1\nkind: Service\nmetadata: &m\n  name: a\n  labels: *m\n", "in.yaml:5: the alias (*) refers to a value that it is a part of"},
	"merge that is itself":  {"apiVersion: v1\nkind: Service\nmetadata: &m\n  name: a\n  <<: *m\n", "in.yaml:5: the alias (*) refers to a value that it is a part of"},
	"merge of a string":     {"apiVersion: v1\nkind: Service\nmetadata:\n  <<: x\n", "in.yaml:4: a merge key (<<) takes an object"},
	"lists in lists":        {strings.Repeat("{apiVersion: v1, kind: List, items: [", 6) + strings.Repeat("]}", 6), "in.yaml:1: lists are nested deeper than 4 levels"},
	// None of these may show the value.
	"secret as number": {secretHead + "stringData:\n  pin: 271828\n", "in.yaml:5: stringData[pin] is a number and must be a string: put it in quotes"},
	"secret in clear":  {secretHead + "data:\n  pin: 'hunter2'\n", "in.yaml:5: data[pin] is not base64"},
	"secret as alias":  {secretHead + "stringData:\n  pin: *hunter2\n  b: c\n", "in.yaml:5: the value begins with '*'"},
	"secret as tag":    {secretHead + "stringData:\n  pin: !!int hunter2\n", "in.yaml:5: the value is tagged as a number"},
	"secret as object": {secretHead + "data:\n  pin: {hunter2: 271828}\n", "in.yaml:5: data[pin] is an object and must be a string"},
}

func TestDecodeErrors(t *testing.T) {
	for name, c := range decodeErrors {
		t.Run(name, func(t *testing.T) {
			w, err := Decode("in.yaml", []byte(c.in))
			if err == nil {
				t.Fatalf("no error, and the objects %v; want %s", objects(w), c.want)
			}
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			for _, bad := range []string{" yaml:", "json:", "hunter2", "271828"} {
				if strings.Contains(err.Error(), bad) {
					t.Errorf("%q is in the error: %s", bad, err)
				}
			}
			var parseErr *ParseError
			if !errors.As(err, &parseErr) || parseErr.File != "in.yaml" || parseErr.Line == 0 {
				t.Errorf("not a ParseError with file and line: %#v", err)
			}
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n"
	for name, in := range map[string]string{
		"BOM":               "\ufeff" + service,
		"BOM before JSON":   "\ufeff{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\"}}",
		"CRLF":              strings.ReplaceAll(service, "\n", "\r\n"),
		"directive":         "%YAML 1.1\n---\n" + service,
		"flow":              "{apiVersion: v1, kind: Service, metadata: {name: a}}",
		"no line at end":    strings.TrimSuffix(service, "\n"),
		"null metadata":     service + "spec:\nstatus: ~\n",
		"name of an alias":  "apiVersion: v1\nkind: Service\nmetadata:\n  labels: {a: &n a}\n  name: *n\n",
		"comment documents": "# a\n---\n# b\n---\n" + service + "---\n# c\n",
		"typed list":        "apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: a}\n",
	} {
		t.Run(name, func(t *testing.T) {
			w, err := Decode("in.yaml", []byte(in))
			if err != nil || len(w.Services) != 1 || w.Services[0].Name != "a" || w.Services[0].Namespace != "default" || len(w.Diagnostics) > 0 {
				t.Errorf("got %v, %v, diagnostics %v", objects(w), err, w.Diagnostics)
			}
		})
	}
	for name, in := range map[string]string{"nothing": "", "comments": "# a\n---\n# b\n", "nulls": "---\n---\n~\n---\nnull\n", "empty list": "apiVersion: v1\nkind: List\nitems:\n"} {
		t.Run(name, func(t *testing.T) {
			w, err := Decode("in.yaml", []byte(in))
			if err != nil || len(objects(w)) != 0 || len(w.Diagnostics) != 0 {
				t.Errorf("got %v, %v, diagnostics %v", objects(w), err, w.Diagnostics)
			}
		})
	}
}

// Files that are made to cost time or memory. Each took less than a second when this was written.
func TestDecodeRefusesBombs(t *testing.T) {
	const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	const mib = 1 << 20
	laughs := head + "a0: &a0 {x: y}\n"
	merges := head + "a0: &a0 {k: y}\n"
	for i := 1; i < 30; i++ {
		a, before := strconv.Itoa(i), strconv.Itoa(i-1)
		laughs += "a" + a + ": &a" + a + " {x: *a" + before + ", y: *a" + before + "}\n"
		merges += "a" + a + ": &a" + a + " {<<: [*a" + before + ", *a" + before + "]}\n"
	}
	for name, c := range map[string]struct{ in, want string }{
		"too large":       {strings.Repeat("#\n", fileSizeMax/2+1), "in.yaml: the file is larger than 16 MiB"},
		"laughs":          {laughs + "metadata2: *a29\n---\n" + "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  managedFields: [{fieldsV1: {}}]\n", ""},
		"laughs in use":   {strings.Replace(laughs, head, "", 1) + "apiVersion: v1\nkind: Service\nmetadata: {name: a, managedFields: [{fieldsV1: *a29}]}\n", "the aliases (*) of the file expand to more than 200000 values"},
		"merges in use":   {strings.Replace(merges, head, "", 1) + "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: *a29}\n", "the aliases (*) of the file expand to more than 200000 values"},
		"brackets":        {strings.Repeat("[", mib), "nested too deep"},
		"braces":          {strings.Repeat("{a: ", mib), "nested too deep"},
		"JSON":            {strings.Repeat(`{"a":`, mib), "nested too deep"},
		"closed brackets": {strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "nested deeper than 200 levels"},
		"dashes":          {strings.Repeat("- ", mib), "nested too deep"},
		"few dashes":      {strings.Repeat("- ", 5000) + "a", "nested deeper than 200 levels"},
		"questions":       {strings.Repeat("? ", mib), "nested too deep"},
		"skipped kind":    {"apiVersion: a/b\nkind: C\nd: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "nested deeper than 200 levels"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Decode("in.yaml", []byte(c.in))
			took := time.Since(start)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			t.Log(took, err)
		})
	}
}

// The values must be the ones that kubectl would send: it reads YAML with sigs.k8s.io/yaml.
func TestScalarsAgreeWithKubectl(t *testing.T) {
	for _, text := range []string{
		"a", "yes", "No", "on", "OFF", "y", "N", "true", "True", "TRUE", "~", "null", "", "1", "-1", "+1", "0x1F", "0o17", "017", "0b11",
		"1_000", "1.5", "1e3", ".5", "1.", "80.0", "12345678901234567890", "2020-01-01", "2020-01-01T00:00:00Z", "1:30", "'yes'", `"1"`, "!!str 1", "<a&b>", "a: b",
	} {
		want, err := yaml.YAMLToJSON([]byte("data:\n  - " + text + "\n"))
		if err != nil {
			t.Fatal(text, err)
		}
		docs, err := parse([]byte("data:\n  - " + text + "\n"))
		if err != nil {
			t.Fatal(text, err)
		}
		w := (&decoder{left: 100}).walker()
		if err := w.any(docs[0], 0); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if string(w.json) != string(want) {
			t.Errorf("%s: got %s, want %s", text, w.json, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := map[string]bool{"rules": true, "tls": true, "ingressClassName": true, "defaultBackend": true}
	for name, want := range map[string]string{
		"rulez": "rules", "rlues": "rules", "Rules": "rules", "ingressClassname": "ingressClassName", "ingresClasName": "ingressClassName",
		"backend": "defaultBackend", "a": "", "tsl": "tls", "template": "", "service": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	cases, _ := filepath.Glob("testdata/*.txtar")
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data)
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {<<: {a: b}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := Decode("in.yaml", data)
		var parseErr *ParseError
		if err != nil && !errors.As(err, &parseErr) {
			t.Fatalf("not a ParseError: %v", err)
		}
		for _, o := range objects(w) {
			if o.value.GetName() == "" || o.place.Lines[""] == 0 {
				t.Fatalf("an object without name or line: %v", o)
			}
		}
	})
}
