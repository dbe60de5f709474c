package traefik

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/source"
)

// weightForms are what service-weights takes.
const weightForms = "YAML with a line SERVICE: PERCENTAGE for each Service, such as web: 12.5%"

// readWeights reads service-weights, for the paths that have several backends.
func readWeights(r *dialect.Reader, ing source.Ingress, shape *dialect.Shape) {
	text, at, ok := r.Value("service-weights")
	if !ok {
		return
	}
	shape.Annotations = append(shape.Annotations, at)
	shape.SharesPaths = true
	const effect = "the paths that share requests with it answer 503"
	weights := &dialect.Weights{Of: map[string]int64{}, Unread: map[string]string{}, Origin: at}
	shape.Weights = weights
	var written map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &written); err != nil {
		r.Bad(at, text, weightForms, "the paths with several Services answer 503")
		weights.Unread[""] = "service-weights is not " + weightForms
		return
	}
	for _, service := range slices.Sorted(maps.Keys(written)) {
		if !names(ing, service) {
			r.Say(diag.New(diag.CodeWithoutEffect, at, "no path leads to a Service "+service, "its weight has no effect", "correct the name, or remove it"))
			continue
		}
		weight, ok := percentage(written[service])
		if !ok {
			value := fmt.Sprint(written[service])
			r.Bad(at, value, "a percentage from 0 to 100", effect)
			weights.Unread[service] = fmt.Sprintf("%q is not a percentage", value)
			continue
		}
		weights.Of[service] = weight
	}
}

// names says whether a path of an Ingress leads to a Service.
func names(ing source.Ingress, service string) bool {
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			if path.Backend.Service != nil && path.Backend.Service.Name == service {
				return true
			}
		}
	}
	return false
}

// percentage reads a number with or without a percent sign, in thousandths of a percent; more decimals are left out
// (provider/kubernetes/percentage.go).
func percentage(value any) (int64, bool) {
	var n float64
	switch v := value.(type) {
	case float64:
		n = v
	case string:
		parsed, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), "%"), 64)
		if err != nil {
			return 0, false
		}
		n = parsed
	default:
		return 0, false
	}
	if math.IsNaN(n) || n < 0 || n > 100 {
		return 0, false
	}
	// A number such as 0.29 is a little less than it reads.
	return int64(n*1000 + 1e-6), true
}
