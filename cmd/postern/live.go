package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/postern-gateway/postern/controlplane/inspect/client"
	"github.com/postern-gateway/postern/controlplane/inspect/forward"
	"github.com/postern-gateway/postern/controlplane/kube"
)

// liveFlag is the flag, and wordLive the side of a diff, for the control plane that runs in the cluster.
const (
	wordLive = "live"
	liveFlag = "--" + wordLive
)

// liveFlags say which running Postern is asked: that of an address, or the control plane in the cluster.
type liveFlags struct {
	server    client.Flags
	inCluster bool
}

func (l *liveFlags) register(c *cobra.Command) {
	l.server.Register(c.Flags())
	c.Flags().BoolVar(&l.inCluster, wordLive, false, "ask the control plane that runs in the cluster, in the namespace of -n or in any, as kubectl port-forward would")
}

// given says whether a running Postern is asked in place of objects.
func (l *liveFlags) given() bool { return l.server.Given() || l.inCluster }

func (l *liveFlags) check() error {
	if l.inCluster {
		return l.server.CheckTunnel()
	}
	return l.server.Check()
}

// open connects to what is asked; done ends it.
func (l *liveFlags) open(c *cobra.Command, cluster *clusterFlags) (_ *client.Client, done func(), err error) {
	if l.server.Given() {
		asked, err := l.server.Client()
		return asked, func() {}, err
	}
	return cluster.open(c, &l.server)
}

// open connects to the control plane in the cluster.
func (f *clusterFlags) open(c *cobra.Command, server *client.Flags) (_ *client.Client, done func(), err error) {
	if err := f.exists(); err != nil {
		return nil, nil, err
	}
	namespaces, err := f.sought()
	if err != nil {
		return nil, nil, err
	}
	config, err := f.kubectl.ToRESTConfig()
	if err != nil {
		return nil, nil, f.unreadable(err)
	}
	connection, err := forward.Open(c.Context(), forward.Where{Config: kube.Configured(config, "postern/"+builtOf().Version), Namespaces: namespaces, Flags: server})
	if err != nil {
		return nil, nil, err
	}
	if connection.Note != "" {
		tell(c.ErrOrStderr(), []string{connection.Note})
	}
	return connection.Client, connection.Close, nil
}

// sought are the namespaces in which the control plane is looked for, one after the other: unless one is named all at once,
// or where that is forbidden the context's.
func (f *clusterFlags) sought() ([]string, error) {
	own, err := f.namespace()
	switch {
	case err != nil:
		return nil, err
	case f.all || *f.kubectl.Namespace != "":
		return []string{own}, nil
	}
	return []string{"", own}, nil
}

// checkLive says what is wrong where a running Postern is asked, and objects are named too.
func (in *input) checkLive(c *cobra.Command, l *liveFlags) error {
	by := "--server"
	if l.inCluster {
		by = liveFlag
	}
	for _, name := range in.given(c) {
		switch {
		case name == "filename":
			return fmt.Errorf("-f and %s are given: name manifests or a live server, not both", by)
		case l.inCluster && in.cluster.has(name):
			continue
		}
		return fmt.Errorf("--%s is for manifests and clusters: a live server answers by its own settings", name)
	}
	return nil
}
