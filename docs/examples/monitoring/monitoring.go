// Package monitoring holds the example's alert rules for the tests that read them: go test's cache does not see a change of a
// file of another module, but one of an embedded file.
package monitoring

import _ "embed"

// Alerts is alerts.yaml.
//
//go:embed alerts.yaml
var Alerts []byte
