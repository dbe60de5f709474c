package kube

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Access says which cluster, and as whom.
type Access struct {
	// Kubeconfig is a file, Context the name of one of its contexts. Without both it is the cluster that the process runs
	// in, and where it runs in none, what kubectl would take.
	Kubeconfig, Context string
	// UserAgent is what the API server's audit log and priority levels know the client by: postern/VERSION.
	UserAgent string
}

// What one process asks the API server for at most: the first lists of thousands of Secrets, and their watches again after the
// API server was away. The server's own fairness (API Priority and Fairness) is what protects it from all clients together.
const (
	requestsPerSecond = 200
	requestsBurst     = 400
)

// Config is the client's configuration.
func (a Access) Config() (*rest.Config, error) {
	config, err := a.load()
	if err != nil {
		return nil, err
	}
	return Configured(config, a.UserAgent), nil
}

// Configured is a configuration with what all clients of ours have.
func Configured(of *rest.Config, userAgent string) *rest.Config {
	config := rest.CopyConfig(of)
	config.UserAgent = userAgent
	config.QPS, config.Burst = requestsPerSecond, requestsBurst
	// Protobuf is a third of JSON, and of its cost; what the server has in JSON only is taken as that.
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	// A watch that is compressed keeps 44 KB for it as long as it is open, which is half of what one of a Secret costs.
	config.DisableCompression = true
	return config
}

func (a Access) load() (*rest.Config, error) {
	if a.Kubeconfig == "" && a.Context == "" {
		config, err := rest.InClusterConfig()
		if err == nil {
			return config, nil
		}
		if err != rest.ErrNotInCluster {
			return nil, fmt.Errorf("read the service account of this pod: %w", err)
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: a.Context}).ClientConfig()
	switch {
	case err == nil:
		return config, nil
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("there is no cluster: run in one, or give --kubeconfig FILE: %w", err)
	case a.Context != "" && a.Kubeconfig != "":
		return nil, fmt.Errorf("--kubeconfig %s, --context %s: %w", a.Kubeconfig, a.Context, err)
	case a.Context != "":
		return nil, fmt.Errorf("--context %s: %w", a.Context, err)
	case a.Kubeconfig != "":
		return nil, fmt.Errorf("--kubeconfig %s: %w", a.Kubeconfig, err)
	}
	return nil, fmt.Errorf("read the kubeconfig: %w", err)
}
