package incluster

import (
	"errors"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/processes"
	"github.com/postern-gateway/postern/manifests"
	"github.com/postern-gateway/postern/translator"
)

// rights are what a control plane in the test's own process connects with: the account and the roles of a chart that has been
// installed in a namespace of its own, and nothing else of it.
type rights struct {
	namespace string
	set       []string
}

// The roles that the chart ships: without values, and where ExternalNames may lead to hosts outside, whose addresses must not
// be a node's.
var (
	byDefault = rights{namespace: "postern-rights"}
	outside   = rights{namespace: "postern-rights-outside", set: []string{`upstream.externalName=["example.com"]`}}
)

// rightsFor are those of a control plane with these settings.
func rightsFor(s translator.Settings) rights {
	if watchesNodes(s) {
		return outside
	}
	return byDefault
}

// watchesNodes says whether a control plane with these settings does, as controlplane/cluster has it.
func watchesNodes(s translator.Settings) bool { return len(s.Resolve.ExternalNames.Suffixes) > 0 }

// start gives the API server as cluster.Start does, with the rights, which later tests find there, too, and what whoever has
// them connects with; the test fails where that is refused anything. The rights are in force: an API server reads its own
// roles a moment after they are written.
func (r rights) start(t *testing.T) (*cluster.Cluster, *rest.Config) {
	t.Helper()
	c := cluster.Start(t)
	kinds := []string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
	objects := slices.DeleteFunc(render(t, manifests.Release{Namespace: r.namespace, Set: r.set}), func(o manifests.Object) bool {
		return !slices.Contains(kinds, o.Kind)
	})
	c.Apply(t, asList(objects))
	c.Keep(t)
	c.CheckRights(t, r.namespace, account)
	reviews := c.Client(t).AuthorizationV1().SubjectAccessReviews()
	processes.Eventually(t, "the rights of "+r.namespace, func() error {
		answer, err := reviews.Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               cluster.User(r.namespace, account),
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "watch", Resource: "services"},
		}}, metav1.CreateOptions{})
		if err == nil && !answer.Status.Allowed {
			err = errors.New("not yet in force")
		}
		return err
	})
	return c, c.As(t, r.namespace, account)
}
