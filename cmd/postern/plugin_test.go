package main

import (
	"strings"
	"testing"
)

// TestPluginUsage: by the plugin's name, usage texts speak of kubectl postern, and a cluster is what is read.
func TestPluginUsage(t *testing.T) {
	for _, file := range []string{"/usr/local/bin/kubectl-postern", "kubectl-postern.exe"} {
		root := called(file, command())
		for _, c := range append(root.Commands(), root) {
			usage := c.UsageString()
			for _, line := range strings.Split(usage, "\n") {
				if strings.Contains(strings.ReplaceAll(" "+line, pluginName+" ", ""), " postern ") {
					t.Errorf("%s: the usage has %q", c.Name(), line)
				}
			}
		}
		lint, _, err := root.Find([]string{"lint"})
		if err != nil || !isPlugin(lint) || strings.Contains(lint.UseLine(), "-f PATH") {
			t.Errorf("lint is used as %s, %v", lint.UseLine(), err)
		}
		up, _, err := root.Find([]string{"up"})
		if err != nil || !strings.Contains(up.UseLine(), pluginName+" up -f PATH") {
			t.Errorf("up is used as %s, %v", up.UseLine(), err)
		}
	}
	if c := called("/usr/local/bin/postern", command()); isPlugin(c) {
		t.Error("postern takes itself for a plugin")
	}
}

// TestNoCluster: without a kubeconfig nobody is asked, least of all a server at localhost:8080.
func TestNoCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, command := range [][]string{{"lint", "-A"}, {"translate", "-n", "shop"}, {"explain", "-A", "http://h/"}} {
		if _, _, err := run(t, "", command...); err == nil || !strings.Contains(err.Error(), "there is no cluster") {
			t.Errorf("%q: %v", command, err)
		}
	}
}
