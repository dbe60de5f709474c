// Package forward asks the control plane that runs in a cluster, by a connection through the API server to its pod, with the
// credential that its installation made.
package forward

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/controlplane/inspect/client"
)

// Where say which control plane is asked.
type Where struct {
	// Config is of the cluster, as whoever asks.
	Config *rest.Config
	// Namespaces are where it is looked for: in the first whose Pods may be listed, empty for all at once.
	Namespaces []string
	// Flags may name another credential than the installation's.
	Flags *client.Flags
}

// Connection is open until it is closed.
type Connection struct {
	*client.Client
	// Note is a sentence on which of several control planes is asked, empty where there is one.
	Note   string
	tunnel *tunnel
}

// Close ends it, and waits until it has ended.
func (c *Connection) Close() { c.tunnel.close() }

// Open finds the control plane, reads its credential and connects to it. An error is a sentence, with what to do.
func Open(ctx context.Context, w Where) (*Connection, error) {
	api, err := kubernetes.NewForConfig(w.Config)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", w.Config.Host, err)
	}
	pods, err := w.list(ctx, api)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(pods)
	if err != nil {
		return nil, err
	}
	login, err := w.login(ctx, api, chosen.pod)
	if err != nil {
		return nil, err
	}
	t, err := open(ctx, w.Config, api, chosen)
	if err != nil {
		return nil, err
	}
	asked, err := w.Flags.Through(client.Tunnel{Begin: t.begin, Server: chosen.String(), Login: login, Broken: t.faults.first})
	if err != nil {
		t.close()
		return nil, err
	}
	return &Connection{Client: asked, Note: chosen.note, tunnel: t}, nil
}

// selector are the labels of the control plane's pods, as the chart writes them.
const selector = "app.kubernetes.io/name=postern,app.kubernetes.io/component=controlplane"

// list is of the pods of control planes, of which there is one at least.
func (w Where) list(ctx context.Context, api kubernetes.Interface) ([]corev1.Pod, error) {
	var denied error
	for _, namespace := range w.Namespaces {
		list, err := api.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		switch {
		case apierrors.IsForbidden(err):
			denied = err
			continue
		case apierrors.IsUnauthorized(err):
			return nil, fmt.Errorf("%w\nyou must be logged in to the server", err)
		case err != nil:
			return nil, fmt.Errorf("look for the control plane: %w", err)
		case len(list.Items) > 0:
			return list.Items, nil
		case namespace == "":
			return nil, errors.New("no control plane of Postern runs in the cluster, for no pod is labelled " + selector + "; one elsewhere is named by its URL, as --server or a side of diff")
		}
		return nil, fmt.Errorf("no control plane of Postern runs in namespace %s, for no pod of it is labelled %s: name its namespace by -n NAMESPACE, or -A to look in all", namespace, selector)
	}
	return nil, fmt.Errorf("%w\nname the control plane's namespace by -n NAMESPACE; there you must be allowed to list pods, to create pods/portforward, and to get the Secret with the credential", denied)
}

// volumeName is the volume with the credentials that a control plane takes, as the chart names it.
const volumeName = "inspect"

// login is the credential in the Secret that a pod has its own from. Without such a volume it takes none, or what it takes is
// not known here.
func (w Where) login(ctx context.Context, api kubernetes.Interface, pod corev1.Pod) (*client.Login, error) {
	if w.Flags.HasCredential() {
		return nil, nil
	}
	name := ""
	for _, v := range pod.Spec.Volumes {
		if v.Name == volumeName && v.Secret != nil {
			name = v.Secret.SecretName
		}
	}
	if name == "" {
		return nil, nil
	}
	origin := "Secret " + pod.Namespace + "/" + name
	secret, err := api.CoreV1().Secrets(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the credential: %w\nname a file that holds NAME:PASSWORD by --server-auth FILE", err)
	}
	user, password := string(secret.Data[corev1.BasicAuthUsernameKey]), string(secret.Data[corev1.BasicAuthPasswordKey])
	if user == "" || password == "" {
		return nil, fmt.Errorf("%s has no %s and %s in clear: name a file that holds NAME:PASSWORD by --server-auth FILE", origin,
			corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
	}
	return &client.Login{Origin: origin, User: user, Password: password}, nil
}
