package manifests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/postern-gateway/postern/dataplane/envoyproc"
)

// TestImages: the images are what the pods take them for: their user, what is started, and what preStop runs; Envoy is of the
// version that is tested. Nothing but the binary is copied in.
func TestImages(t *testing.T) {
	t.Parallel()
	objects := render(t)
	for image, pod := range map[string]corev1.PodSpec{"controlplane": controlPlane(t, objects).Spec, "dataplane": dataPlane(t, objects).Spec} {
		lines := strings.Split(string(read(t, "images", image, "Containerfile")), "\n")
		user := *pod.SecurityContext.RunAsUser
		program := "/usr/local/bin/postern"
		want := []string{fmt.Sprintf("USER %d:%d", user, *pod.SecurityContext.RunAsGroup), "COPY bin/postern " + program, fmt.Sprintf("ENTRYPOINT [%q]", program)}
		if image == "dataplane" {
			want = append(want, "FROM docker.io/envoyproxy/envoy:distroless-v"+envoyproc.Version, "ENV ENVOY=/usr/local/bin/envoy")
			if command := pod.Containers[0].Lifecycle.PreStop.Exec.Command; command[0] != program {
				t.Errorf("preStop runs %v", command)
			}
		}
		for _, line := range want {
			if !slices.Contains(lines, line) {
				t.Errorf("%s: there is no line %q", image, line)
			}
		}
		if pod.Containers[0].Command != nil {
			t.Errorf("%s: the pod starts %v in the place of the image's program", image, pod.Containers[0].Command)
		}
		for _, line := range lines {
			if strings.HasPrefix(line, "COPY") && line != want[1] || strings.HasPrefix(line, "ADD") || strings.HasPrefix(line, "RUN") {
				t.Errorf("%s: %s", image, line)
			}
		}
	}
	if ignored := string(read(t, "..", ".dockerignore")); !strings.Contains(ignored, "\n*\n!bin/postern\n") {
		t.Errorf("a builder is sent more than the binary: %s", ignored)
	}
}
