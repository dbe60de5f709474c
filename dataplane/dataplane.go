// Package dataplane is a data plane in pure Go: it serves HTTP by the xDS resources of a control plane.
//
// It reads protos only, and knows of the control plane no more than docs/design/xds.md says. A field that it does
// not support it refuses by name, so that it never quietly does something else than Envoy would.
package dataplane

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/dataplane/ads"
	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/dataplane/failing"
	"github.com/postern-gateway/postern/dataplane/proxy"
)

// Options are what Run needs. Target, NodeID and Cluster must be given.
type Options struct {
	// Target is the control plane's ADS address as a gRPC target, such as unix:///run/postern/ads.sock.
	Target string
	// NodeID and Cluster name this proxy to the control plane.
	NodeID, Cluster string
	// Metadata, if set, is what the node says of itself beside that.
	Metadata *structpb.Struct
	// Credentials are as in ads.Options: nil for a unix socket.
	Credentials credentials.TransportCredentials
	// Log gets what the operator should know; nil is slog.Default.
	Log *slog.Logger
	// OnUpstreamFailure, if set, is called with a cluster and, in words, why its endpoints do not answer: when it
	// begins to fail and when the reason changes, at most once a second for each cluster. It must not block.
	OnUpstreamFailure func(cluster, reason string)
	// Failing, if set, is told of every request that a cluster failed.
	Failing *failing.Ledger
	// AccessLog is where the log of requests goes that listeners ask for, a line at a time; nil is nowhere.
	AccessLog io.Writer
	// Ready, if set, is called once, when the first listeners listen. It must not block.
	Ready func()
	// Listen opens a listener's socket; nil is net.Listen. A test or a supervisor may hand over sockets by it.
	Listen func(network, address string) (net.Listener, error)
	// DrainTimeout is how long requests in flight may take after ctx has ended; 0 is 5 s.
	DrainTimeout time.Duration
	// Drain, if set, is closed when the proxy shall take no new connections and end those that it has, each with an answer.
	// Run returns when the last is gone.
	Drain <-chan struct{}
	// ConnectionsMax is how many connections of clients are open at once; 0 is as many as limits.Connections says.
	ConnectionsMax int
}

// Run serves until ctx ends, drains, and returns nil when every goroutine of its own has ended. It fails where the
// options cannot be used or the first listeners cannot listen. While the control plane is away, it serves on by what
// it last accepted.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	p := proxy.New(proxy.Options{
		Log: o.Log, OnUpstreamFailure: o.OnUpstreamFailure, Failing: o.Failing, Ready: o.Ready, Listen: o.Listen, DrainTimeout: o.DrainTimeout,
		ConnectionsMax: o.ConnectionsMax, AccessLog: o.AccessLog,
	})
	client, err := ads.New(ads.Options{
		Target: o.Target, NodeID: o.NodeID, Cluster: o.Cluster, Metadata: o.Metadata, Credentials: o.Credentials, Log: o.Log, Handler: p,
		Wildcards: []string{config.ListenerType, config.ClusterType},
	})
	if err != nil {
		return err
	}
	p.Start(client)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	select {
	case err = <-ended:
	case err = <-p.Failed():
		cancel()
		<-ended
	case <-o.Drain:
		p.Drain(ctx)
		cancel()
		err = <-ended
	}
	p.Close()
	return err
}
