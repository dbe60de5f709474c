package main

import (
	"strings"
	"testing"
)

// TestLiveMistakes: the control plane in a cluster is one source of several, of which there is one.
func TestLiveMistakes(t *testing.T) {
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	const url = "http://node/"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"explain", "--live", url}, "there is no cluster"},
		{[]string{"explain", "--live", "-f", example, url}, "-f and --live are given"},
		{[]string{"explain", "--live", "--server", "http://node", url}, "--server and --live are given"},
		{[]string{"explain", "--live", "--ingress-class", "x", url}, "--ingress-class is for manifests"},
		{[]string{"explain", "--live", "--server-ca", "x", url}, "--server-ca is for --server"},
		{[]string{"explain", "--live", "-A", "-n", "shop", url}, "there is no cluster"},
		{[]string{"explain", "--server", "http://node", "-n", "shop", url}, "--namespace is for manifests and clusters"},
		{[]string{"snapshot"}, "-f PATH is missing"},
		{[]string{"snapshot", "proxy"}, "did you mean proxies?"},
		{[]string{"snapshot", "Proxys"}, "did you mean proxies?"},
		{[]string{"snapshot", "rotues"}, "did you mean routes?"},
		{[]string{"snapshot", "everything"}, "or routes (rds); or proxies"},
		{[]string{"snapshot", "--live"}, "there is no cluster"},
		{[]string{"snapshot", "-A", "proxies"}, "there is no cluster"},
		{[]string{"snapshot", "-A", "--ingress-class", "x"}, "--ingress-class is for manifests"},
		{[]string{"snapshot", "-A", "--live=false", "proxies"}, "or the one in the cluster by --live"},
		{[]string{"diff", "live", example}, "there is no cluster"},
		{[]string{"diff", example, "cluster"}, "there is no cluster"},
		{[]string{"diff", "-n", "shop", example, example}, "--namespace is for the sides cluster and live"},
	} {
		if out, _, err := run(t, "", tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) || out != "" {
			t.Errorf("%q: %v, want %q\n%s", tt.args, err, tt.want, out)
		}
	}
}

// TestSnapshotOfTheCluster: by the plugin's name, and where a cluster is named, a snapshot is of what is served there unless
// something else is named.
func TestSnapshotOfTheCluster(t *testing.T) {
	for _, tt := range []struct {
		file, args string
		live       bool
	}{
		{"kubectl-postern", "", true},
		{"kubectl-postern", "-n shop", true},
		{"kubectl-postern", "-f x", false},
		{"kubectl-postern", "--server http://node", false},
		{"kubectl-postern", "--live=false", false},
		{"postern", "", false},
		{"postern", "-A", true},
		{"postern", "-A --live=false", false},
		{"postern", "--live", true},
	} {
		c := snapshotCommand()
		var in input
		var live liveFlags
		c.ResetFlags()
		in.register(c)
		in.registerCluster(c)
		live.register(c)
		root := command()
		root.AddCommand(c)
		called(tt.file, root)
		if err := c.ParseFlags(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		if meantLive(c, &in, &live); live.inCluster != tt.live {
			t.Errorf("%s snapshot %s: %t, want %t", tt.file, tt.args, live.inCluster, tt.live)
		}
	}
}
