package forward

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// portName is the container port at which a control plane answers, as the chart names it.
const portName = "inspect"

// namesMax bounds how many pods a sentence names.
const namesMax = 10

// chosen is the pod that is asked.
type chosen struct {
	pod  corev1.Pod
	port int32
	// note says which it is of several.
	note string
}

// String names the pod.
func (c chosen) String() string { return "the control plane in pod " + name(c.pod) }

func name(p corev1.Pod) string { return p.Namespace + "/" + p.Name }

// choose takes the newest ready pod that answers questions: each replica tells of its own proxies, and an older one may be
// about to go.
func choose(pods []corev1.Pod) (chosen, error) {
	pods = slices.Clone(pods)
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(name(a), name(b)))
	})
	ready := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return !isReady(p) })
	if len(ready) == 0 {
		return chosen{}, fmt.Errorf("no control plane is ready, of %s: kubectl describe pod -n %s %s says why", names(pods), pods[0].Namespace, pods[0].Name)
	}
	asked := slices.DeleteFunc(slices.Clone(ready), func(p corev1.Pod) bool { return inspectPort(p) == 0 })
	if len(asked) == 0 {
		return chosen{}, errors.New("the control plane answers no questions, for no container port of " + names(ready) + " is named " + portName +
			": install the chart with dashboard.enabled=true; if it was started with --inspect by other means, make a tunnel by kubectl port-forward and name its beginning as --server or a side of diff")
	}
	out := chosen{pod: asked[0], port: inspectPort(asked[0])}
	if len(asked) > 1 {
		out.note = fmt.Sprintf("Of %s the newest is asked, %s.", names(asked), name(out.pod))
		if first := asked[0].Namespace; slices.ContainsFunc(asked, func(p corev1.Pod) bool { return p.Namespace != first }) {
			out.note += " -n NAMESPACE names another."
		}
	}
	return out, nil
}

func isReady(p corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// inspectPort is 0 where there is none.
func inspectPort(p corev1.Pod) int32 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == portName {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func names(pods []corev1.Pod) string {
	var out []string
	for _, p := range pods[:min(len(pods), namesMax)] {
		out = append(out, name(p))
	}
	if more := len(pods) - namesMax; more > 0 {
		out = append(out, fmt.Sprintf("%d others", more))
	}
	return strings.Join(out, ", ")
}
