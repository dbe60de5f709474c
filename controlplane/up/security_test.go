package up

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/dataplane/envoyproc"
	"github.com/postern-gateway/postern/dataplane/limits"
	"github.com/postern-gateway/postern/translator/envoy"
	"github.com/postern-gateway/postern/translator/model"
)

const securityPage = "../../docs/operate/security.md"

// limitRow is a row of the page's tables: a field and its value.
var limitRow = regexp.MustCompile("(?m)^\\| `((?:listener|manager|tls|bootstrap|cluster|upstream)\\.[^`]+)` \\| `([^`]+)` \\|")

// noLimits are the numbers that bound nothing: addresses, statuses, how Envoy reaches its control plane, and what stands in
// a filter that is disabled where no route has its own. The filters of upgrades are those of other requests.
var noLimits = []string{
	"listener.address.", "manager.local_reply_config.", "manager.early_header_mutation_extensions", "manager.upgrade_configs.filters[", "manager.http_filters[envoy.filters.http.buffer]", "bootstrap.admin.", "bootstrap.dynamic_resources.", "bootstrap.static_resources.",
}

// TestSecurityDocument: each limit that docs/operate/security.md names is set to that value, and each limit that is set is
// there.
func TestSecurityDocument(t *testing.T) {
	page, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	emitted := emittedLimits()
	named := map[string]bool{}
	for _, row := range limitRow.FindAllStringSubmatch(string(page), -1) {
		field, want := row[1], row[2]
		named[field] = true
		if got, set := emitted[field]; !set || got != want {
			t.Errorf("%s: the page says %s, the code %s", field, want, cmp.Or(got, "nothing"))
		}
	}
	for _, field := range slices.Sorted(maps.Keys(emitted)) {
		limit := regexp.MustCompile(`^[0-9.]+s?$`).MatchString(emitted[field])
		skip := slices.ContainsFunc(noLimits, func(p string) bool { return strings.HasPrefix(field, p) })
		if limit && !skip && !named[field] {
			t.Errorf("%s is %s, and the page does not say why", field, emitted[field])
		}
	}
}

// TestSecurityGuards: the tests and cases that the page names exist.
func TestSecurityGuards(t *testing.T) {
	page, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	for _, name := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1) {
		if !tests[name[1]] {
			t.Errorf("there is no %s", name[1])
		}
	}
	cases := regexp.MustCompile(`\bcases? ([a-z]+/[a-z-]+(?:(?:,| and) [a-z]+/[a-z-]+)*)`).FindAllStringSubmatch(strings.ToLower(string(page)), -1)
	if len(cases) == 0 {
		t.Error("the page names no case")
	}
	for _, list := range cases {
		for _, name := range regexp.MustCompile(`[a-z]+/[a-z-]+`).FindAllString(list[1], -1) {
			if _, err := os.Stat(filepath.Join("../../translator/testdata", name+".txtar")); err != nil {
				t.Error(err)
			}
		}
	}
}

func testNames(t *testing.T) map[string]bool {
	out := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range declared.FindAllSubmatch(text, -1) {
			out[string(name[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// emittedLimits are the fields that are set in what the code emits, by their paths, as text.
func emittedLimits() map[string]string {
	out := map[string]string{}
	entry := model.Entry{Name: "https", TLS: true, Address: netip.MustParseAddrPort("127.0.0.1:8443"), PublicPort: 443}
	g := model.Gateway{
		Tables:   []model.Table{{Entry: entry}},
		Backends: []model.Backend{{Name: "ns/svc/80/h2c", Protocol: model.ProtocolH2C, Assignment: "ns/svc/80"}},
	}
	for _, r := range envoy.Render(g) {
		switch m := r.Message.(type) {
		case *listenerv3.Listener:
			walk(out, "listener", m.ProtoReflect())
		case *clusterv3.Cluster:
			walk(out, "cluster", m.ProtoReflect())
		}
	}
	walk(out, "bootstrap", envoyproc.Bootstrap(envoyproc.Config{ConnectionsMax: limits.ConnectionsMax, HeapMax: limits.MemoryMax}).ProtoReflect())
	return out
}

// roots are the messages at which a path begins anew.
var roots = map[protoreflect.FullName]string{
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": "manager",
	"envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext":                    "tls",
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":                            "upstream",
}

// walk writes down every field that is set. A typed config is walked in the place of the field that holds it.
func walk(out map[string]string, path string, m protoreflect.Message) {
	if root, ok := roots[m.Descriptor().FullName()]; ok && !strings.HasPrefix(path, "bootstrap") {
		path = root
	}
	switch v := m.Interface().(type) {
	case *anypb.Any:
		inside, err := v.UnmarshalNew()
		if err != nil {
			panic(err)
		}
		walk(out, path, inside.ProtoReflect())
		return
	case *structpb.Struct:
		for key, value := range v.GetFields() {
			out[fmt.Sprintf("%s[%q]", path, key)] = fmt.Sprint(value.AsInterface())
		}
		return
	case *durationpb.Duration:
		out[path] = strconv.FormatFloat(v.AsDuration().Seconds(), 'f', -1, 64) + "s"
		return
	}
	if m.Descriptor().FullName().Parent() == "google.protobuf" && m.Descriptor().Fields().ByName("value") != nil {
		out[path] = fmt.Sprint(m.Get(m.Descriptor().Fields().ByName("value")))
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := path + "." + string(f.Name())
		if f.Name() == "typed_config" {
			at = path
		}
		switch {
		case f.IsMap():
			v.Map().Range(func(key protoreflect.MapKey, entry protoreflect.Value) bool {
				walkValue(out, fmt.Sprintf("%s[%q]", at, key.String()), f.MapValue(), entry)
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				place := at
				switch filter := httpFilter(f, v.List().Get(i)); {
				case filter != "":
					place = fmt.Sprintf("%s[%s]", at, filter)
				case v.List().Len() > 1:
					place = fmt.Sprintf("%s[%d]", at, i)
				}
				walkValue(out, place, f, v.List().Get(i))
			}
		default:
			walkValue(out, at, f, v)
		}
		return true
	})
}

// httpFilter is the name of an HTTP filter, by which its place in a list goes; empty for another value.
func httpFilter(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if f.Message() == nil {
		return ""
	}
	filter, _ := v.Message().Interface().(*hcmv3.HttpFilter)
	return filter.GetName()
}

func walkValue(out map[string]string, path string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.Message() != nil:
		walk(out, path, v.Message())
	case f.Enum() != nil:
		out[path] = string(f.Enum().Values().ByNumber(v.Enum()).Name())
	default:
		out[path] = v.String()
	}
}
