package options_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDefaults: files are all served, at loopback addresses; a cluster serves its own classes, at every address.
func TestDefaults(t *testing.T) {
	var local, cluster options.Options
	files, pod := pflag.NewFlagSet("files", pflag.ContinueOnError), pflag.NewFlagSet("cluster", pflag.ContinueOnError)
	local.Register(files)
	cluster.RegisterCluster(pod)
	if s := settings(t, local); s.Selection.Controller != "" || s.Resolve.Entries[0].Address != netip.MustParseAddrPort("127.0.0.1:8080") ||
		s.Resolve.Entries[0].PublicPort != 8080 || s.Resolve.Edge.HTTPSPublicPort != 8443 || s.Resolve.ExternalNames.String() != "cluster" {
		t.Errorf("for files the defaults are %+v", s)
	}
	if s := settings(t, cluster); s.Selection.Controller != options.Controller || s.Resolve.Entries[1].Address != netip.MustParseAddrPort("0.0.0.0:8443") ||
		s.Resolve.Entries[0].PublicPort != 80 || s.Resolve.Edge.HTTPSPublicPort != 443 || s.Resolve.ExternalNames.String() != "same-namespace" {
		t.Errorf("in a cluster the defaults are %+v", s)
	}
	if pod.Lookup("backend") != nil {
		t.Error("--backend is a flag of the cluster: there, endpoints say where a Service is")
	}
	files.VisitAll(func(f *pflag.Flag) {
		if f.Name != "backend" && pod.Lookup(f.Name) == nil {
			t.Errorf("--%s is no flag of the cluster", f.Name)
		}
	})
}

// TestEnforcedNeedsHTTPS: a redirect to an entry that is not there would lock everybody out.
func TestEnforcedNeedsHTTPS(t *testing.T) {
	o := local()
	o.HTTPS, o.HTTPSEnforced = "", true
	if _, err := o.Settings(); err == nil || !strings.Contains(err.Error(), "--https-enforced needs an https entry") {
		t.Errorf("without an https entry the error is %v", err)
	}
	o.HTTPS = "127.0.0.1:8443"
	settings(t, o)
}

// TestAllowedClients: they are sorted, each once; what is no list of addresses is an error, and never a gateway for all.
func TestAllowedClients(t *testing.T) {
	o := local()
	o.AllowedClients = []string{"192.0.2.7", "2001:db8::1/32", " 10.1.2.3/8", "::ffff:192.0.2.7"}
	if got := fmt.Sprint(settings(t, o).Resolve.Edge.AllowedClients); got != "[10.0.0.0/8 192.0.2.7/32 2001:db8::/32]" {
		t.Errorf("the clients are %s", got)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "192.0.2.7:443", "office.test"} {
		o.AllowedClients = []string{"10.0.0.0/8", bad}
		if _, err := o.Settings(); err == nil || !strings.Contains(err.Error(), "--allowed-clients "+bad+": it is neither") {
			t.Errorf("%q is taken: %v", bad, err)
		}
	}
}

// TestAccessLog: a word that is none is an error, and not silence.
func TestAccessLog(t *testing.T) {
	o := local()
	if got := settings(t, o).Resolve.Edge.AccessLog; got != model.AccessLogOff {
		t.Errorf("by default the log is %v", got)
	}
	if o.AccessLog = "json"; settings(t, o).Resolve.Edge.AccessLog != model.AccessLogJSON {
		t.Error("json is not taken")
	}
	o.AccessLog = "common"
	if _, err := o.Settings(); err == nil || !strings.Contains(err.Error(), "--access-log common: write one of off, text, json") {
		t.Errorf("common is taken: %v", err)
	}
}

// local are the flags' defaults for files.
func local() options.Options {
	var o options.Options
	o.Register(pflag.NewFlagSet("files", pflag.ContinueOnError))
	return o
}

func settings(t *testing.T, o options.Options) translator.Settings {
	t.Helper()
	s, err := o.Settings()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAdopt: a server's flags are taken as they are there, but for those that were given, and those that name files.
func TestAdopt(t *testing.T) {
	elsewhere := options.Options{}
	server := pflag.NewFlagSet("server", pflag.ContinueOnError)
	elsewhere.Register(server)
	server.VisitAll(func(f *pflag.Flag) {
		other := map[string]string{"bool": "true", "uint16": "7", "string": "other", "stringSlice": "one,two", "stringArray": "a,b"}[f.Value.Type()]
		if f.DefValue == other {
			other = "false"
		}
		if err := server.Set(f.Name, other); err != nil {
			t.Fatal(err)
		}
	})
	var here options.Options
	own := pflag.NewFlagSet("own", pflag.ContinueOnError)
	here.Register(own)
	if err := own.Parse([]string{"--access-log=json"}); err != nil {
		t.Fatal(err)
	}
	adopted, err := options.Adopt(own, elsewhere.Flags())
	if err != nil {
		t.Fatal(err)
	}
	want := elsewhere
	want.AccessLog, want.TLSCertDir, want.UpstreamCA = "json", "", ""
	if !reflect.DeepEqual(here, want) {
		t.Errorf("the flags are\n%+v, want\n%+v", here, want)
	}
	if n := len(elsewhere.Flags()) - 3; len(adopted) != n || !slices.Contains(adopted, "--external-name=one,two") {
		t.Errorf("%d are told of, of %d: %q", len(adopted), n, adopted)
	}
	if again, err := options.Adopt(own, elsewhere.Flags()); err != nil || again != nil {
		t.Errorf("adopted again they are %q, %v", again, err)
	}
	for words, flags := range map[string]options.Flags{
		"--teleport, which is not known here": {"teleport": {"on"}}, "--http-public-port, which is not understood here": {"http-public-port": {"x"}},
		"--http, which is not understood here: 2 values": {"http": {"a", "b"}},
	} {
		if _, err := options.Adopt(own, flags); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v: %v", flags, err)
		}
	}
}
