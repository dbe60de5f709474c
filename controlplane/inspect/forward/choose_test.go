package forward

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// podOf makes a pod of a line: its name, how many hours old it is, and any of ready, leaving and mute (without the port).
func podOf(t *testing.T, line string) corev1.Pod {
	t.Helper()
	fields := strings.Fields(line)
	namespace, name, _ := strings.Cut(fields[0], "/")
	age, err := time.ParseDuration(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))}}
	container := corev1.Container{Ports: []corev1.ContainerPort{{Name: "xds", ContainerPort: 18000}, {Name: "inspect", ContainerPort: 8083}}}
	ready := corev1.ConditionFalse
	for _, word := range fields[2:] {
		switch word {
		case "ready":
			ready = corev1.ConditionTrue
		case "leaving":
			p.DeletionTimestamp = &metav1.Time{Time: now}
		case "mute":
			container.Ports = container.Ports[:1]
		default:
			t.Fatalf("what is %q?", word)
		}
	}
	p.Spec.Containers = []corev1.Container{{}, container}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: ready}}
	return p
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		pods string
		want string
		note string // or the error
	}{
		{"a/x 1h ready", "a/x", ""},
		{"a/x 1h ready; a/y 2h", "a/x", ""},
		{"a/x 2h ready; a/y 1h ready", "a/y", "Of a/y, a/x the newest is asked, a/y."},
		{"a/y 1h ready; a/x 1h ready", "a/x", "Of a/x, a/y the newest is asked, a/x."},
		{"a/x 1h ready; b/x 2h ready", "a/x", "-n NAMESPACE names another."},
		{"a/x 1h ready leaving; a/y 2h ready", "a/y", ""},
		{"a/x 1h ready mute; a/y 2h ready", "a/y", ""},
		{"a/x 1h; a/y 2h ready leaving", "", "no control plane is ready, of a/x, a/y: kubectl describe pod -n a x says why"},
		{"a/x 1h ready mute; a/y 2h", "", "no container port of a/x is named inspect: install the chart with dashboard.enabled=true"},
	} {
		var pods []corev1.Pod
		for _, line := range strings.Split(test.pods, ";") {
			pods = append(pods, podOf(t, line))
		}
		got, err := choose(pods)
		if test.want == "" {
			if err == nil || !strings.Contains(err.Error(), test.note) {
				t.Errorf("%s: %v, want %q", test.pods, err, test.note)
			}
			continue
		}
		if err != nil || name(got.pod) != test.want || got.port != 8083 || (test.note == "") != (got.note == "") || !strings.Contains(got.note, test.note) {
			t.Errorf("%s: %s at %d, %q, %v; want %s, %q", test.pods, name(got.pod), got.port, got.note, err, test.want, test.note)
		}
	}
}

// TestNames: a sentence stays one however many pods there are.
func TestNames(t *testing.T) {
	var pods []corev1.Pod
	for i := range namesMax + 2 {
		pods = append(pods, podOf(t, fmt.Sprintf("a/%02d 1h", i)))
	}
	if got := names(pods); !strings.HasSuffix(got, "a/09, 2 others") {
		t.Error(got)
	}
}
