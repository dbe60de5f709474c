module github.com/postern-gateway/postern/integration/chart

go 1.26.0

// Nothing is built of these: of each the CRDs are read (crds_test.go).
require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
