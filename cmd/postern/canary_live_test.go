package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/postern-gateway/postern/controlplane/casetest/canary"
	"github.com/postern-gateway/postern/controlplane/casetest/transcript"
	"github.com/postern-gateway/postern/controlplane/inspect"
)

// TestCanariesInALiveServer: no page, no answer of the API or of CSDS and no line of a running Postern shows a secret. Every
// address that there is was asked for.
func TestCanariesInALiveServer(t *testing.T) {
	backend := httptest.NewTLSServer(http.NotFoundHandler())
	defer backend.Close()
	backend.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	_, backendPort, _ := net.SplitHostPort(backend.Listener.Addr().String())
	p := plantAll(t, backendPort)
	https, at := freePort(t), freePort(t)
	var out, errs transcript.Text
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		c := command()
		c.SetArgs(append([]string{"up"}, append(p.flags(), "--http", "", "--https", "127.0.0.1:"+https, "-o", "json", "--inspect", "127.0.0.1:"+at,
			"--inspect-users", p.users, "--inspect-token", p.token, "--inspect-cert-dir", p.inspectDir)...))
		c.SetIn(strings.NewReader(""))
		c.SetOut(&out)
		c.SetErr(&errs)
		ended <- c.ExecuteContext(ctx)
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.Check("standard output", out.String())
		p.Check("standard error", errs.String())
		if !strings.Contains(out.String(), "broken") {
			t.Error("the diagnostics are not told")
		}
	}()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	awaitServing(t, &out, ended)
	for _, host := range []string{"client-0.test", "users-1.test"} { // Failures of backends, and wrong passwords.
		r, err := http.NewRequest("GET", "https://127.0.0.1:"+https+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.SetBasicAuth(p.Texts["user of users-1"][0], p.Texts["password of users-1"][0])
		if answer, err := client.Do(r); err == nil {
			answer.Body.Close()
		}
	}
	checkLiveCommands(p, at)
	p.edit(client, "https://127.0.0.1:"+at)
	walkPages(t, p, client, "https://127.0.0.1:"+at)
	checkCSDS(t, p, "127.0.0.1:"+at)
}

// checkLiveCommands asks the server by every command that can.
func checkLiveCommands(p planted, at string) {
	p.t.Helper()
	auth := filepath.Join(p.t.TempDir(), "auth")
	if err := os.WriteFile(auth, []byte("kxadmin:"+p.password), 0o600); err != nil {
		p.t.Fatal(err)
	}
	server, trust := "https://127.0.0.1:"+at, []string{"--server-ca", filepath.Join(p.inspectDir, "tls.crt"), "--server-auth", auth}
	commands := [][]string{}
	for _, args := range [][]string{{}, {"sds"}, {"sds", "host-0.test"}, {"proxies"}, {"proxies", "postern-up"}, {"routes", "https"}, {"routes", "https", "-o", "yaml"}} {
		commands = append(commands, append([]string{"snapshot", "--server", server}, args...))
	}
	for _, host := range annotatedHosts {
		url := "https://" + host + ".test:" + at + "/"
		commands = append(commands, []string{"explain", "--server", server, url}, []string{"explain", "--server", server, "-o", "json", "--follow", url})
	}
	for _, args := range commands {
		said, told, err := run(p.t, "", append(args, trust...)...)
		if err != nil {
			p.t.Errorf("%v: %v", args, err)
		}
		p.Check(fmt.Sprint(args), said+told)
	}
	for _, sides := range [][]string{{server, p.edited}, {p.edited, server, "-o", "json"}} {
		p.checkDiff(append(sides, trust...), "sets", "asking", "pages")
	}
	if out, errs, err := run(p.t, "", append([]string{diffName, server, p.manifests}, trust...)...); err != nil {
		p.t.Errorf("the server differs from what it serves: %v\n%s%s", err, out, errs)
	}
}

// edit puts the second edition in the place of the first, and waits until the server tells what differs.
func (p planted) edit(client *http.Client, base string) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.edited, "all.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.manifests, "all.yaml"), text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for {
		r, err := http.NewRequest("GET", base+"/diff?format=json", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+p.bearer)
		answer, err := client.Do(r)
		if err != nil {
			p.t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		if strings.Contains(string(body), "sets.test") {
			return
		}
		select {
		case <-deadline:
			p.t.Fatalf("the edit is not served: %s", body)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitServing waits until requests are answered.
func awaitServing(t *testing.T, out *transcript.Text, ended chan error) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(out.String(), `"event":"serving"`) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("it ended: %v\n%s", err, out)
		case <-deadline:
			t.Fatalf("it does not serve:\n%s", out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// walkPages asks for every address of the API and for every page that a page leads to, as HTML and as JSON.
func walkPages(t *testing.T, p planted, client *http.Client, base string) {
	t.Helper()
	queue := []string{
		"/", "/nothing", "/resources", "/proxies", "/proxies/postern-up", "/model", "/replica", "/explain", "/events-not", "/resources/sds/host-1.test", "/resources/none",
		"/explain?url=https://users-1.test/&header=Authorization:+Basic+a3h1c2VyMTp3cm9uZw==", "/explain?url=https://client-0.test/",
		"/diff", "/report.html",
	}
	for _, host := range append([]string{"refused"}, annotatedHosts...) {
		queue = append(queue, "/explain?url=https://"+host+".test/", "/explain?follow=true&url=https://"+host+".test/&logged-in=nobody", "/host?name="+host+".test")
	}
	for _, k := range inspect.Kinds() {
		queue = append(queue, "/resources/"+k.Name)
		for _, name := range names(t, p, k) {
			queue = append(queue, "/resources/"+k.Short+"/"+inspect.Escaped(name))
		}
	}
	p.Walk(canary.Walk{Client: client, Base: base, Authorization: "Bearer " + p.bearer, Start: queue, Patterns: inspect.Patterns()})
	wrong, err := http.NewRequest("GET", base+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong.SetBasicAuth("kxadmin", p.bearer)
	answer, err := client.Do(wrong)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", answer.StatusCode)
	}
	p.Check("a refusal", fmt.Sprint(answer.Header, string(body)))
}

// translation is of the planted manifests.
func (p planted) translation() translated {
	p.t.Helper()
	in := input{paths: []string{p.manifests}}
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	in.options.Register(fs)
	in.options.HTTP, in.options.HTTPS, in.options.TLSCertDir, in.options.UpstreamCA = "", "127.0.0.1:"+freePort(p.t), p.certDir, p.authority
	out, err := in.translate(&cobra.Command{})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// names are those of the resources of a kind.
func names(t *testing.T, p planted, k inspect.Kind) []string {
	t.Helper()
	in := p.translation()
	view, err := inspect.Still(in.world, in.result, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range view.ResourceList(k).Resources {
		out = append(out, r.Name)
	}
	return out
}

// checkCSDS asks for all that CSDS has.
func checkCSDS(t *testing.T, p planted, address string) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+p.bearer)
	got, err := statusv3.NewClientStatusDiscoveryServiceClient(conn).FetchClientStatus(ctx, &statusv3.ClientStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	secrets := 0
	var b strings.Builder
	for _, config := range got.GetConfig() {
		for _, c := range config.GetGenericXdsConfigs() {
			b.Write(c.GetXdsConfig().GetValue())
			if strings.HasSuffix(c.GetTypeUrl(), ".Secret") && c.GetXdsConfig() != nil {
				secrets++
			}
		}
	}
	if secrets == 0 {
		t.Error("CSDS tells of no secret at all")
	}
	b.WriteString(protojson.Format(got))
	p.Check("CSDS", b.String())
}
