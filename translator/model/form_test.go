package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// formShape is the fingerprint of the types that Encode writes in form FormVersion.
const formShape = "2:9e57e76aeadc72e7"

// TestFormVersion: a form has one number. Who changes a type that is written raises FormVersion and writes the new shape down
// here, so that an older Postern refuses by a sentence what it cannot read.
func TestFormVersion(t *testing.T) {
	var b strings.Builder
	shape(&b, reflect.TypeFor[form](), map[reflect.Type]bool{})
	sum := sha256.Sum256([]byte(b.String()))
	if got := fmt.Sprintf("%d:%s", FormVersion, hex.EncodeToString(sum[:8])); got != formShape {
		t.Errorf("the model's types are written as %s, and were as %s: raise FormVersion, and set formShape", got, formShape)
	}
}

// shape writes down all types that stand in a type, by their fields.
func shape(b *strings.Builder, t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] || secrets[t] || texts[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		if len(unions[t]) == 0 {
			panic("no types are known for " + t.String())
		}
		for _, held := range unions[t] {
			fmt.Fprintln(b, t, "holds", held)
			shape(b, held, seen)
		}
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			fmt.Fprintln(b, t, field.Name, field.Type)
			shape(b, field.Type, seen)
		}
	case reflect.Pointer, reflect.Slice:
		shape(b, t.Elem(), seen)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", `{`, "read the model: unexpected EOF"},
		{"another thing", `{"kind": "Ingress"}`, "it has no Form, so it is none"},
		{"two of them", `{"Form":2,"Gateway":{}} {}`, "something follows it"},
		{"a newer form", `{"Form":3,"Gateway":{}}`, "the model is of form 3, and this Postern reads form 2"},
		{"a field that is unknown", `{"Form":2,"Gateway":{"Edge":{"Shiny":true}}}`, "model.Gateway.Edge has a field that this Postern does not know"},
		{"an action that is unknown", `{"Form":2,"Gateway":{"Tables":[{"Any":[{"Action":{"Mirror":{}}}]}]}}`, "is a Mirror, which this Postern does not know"},
		{"a word that is unknown", `{"Form":2,"Gateway":{"Edge":{"AccessLog":7}}}`, "model.Gateway.Edge.AccessLog is 7, which this Postern does not know"},
		{"a secret", `{"Form":2,"Gateway":{"Default":{"Key":"cGVt"}}}`, "model.Gateway.Default has a field that this Postern does not know"},
		{"another type", `{"Form":2,"Gateway":{"Edge":{"HTTPSPublicPort":70000}}}`, "model.Gateway.Edge.HTTPSPublicPort is no uint16"},
		{"no such backend", `{"Form":2,"Gateway":{"Tables":[{"Entry":{"Name":"http"},"Any":[{"Path":{"Kind":1,"Value":"/"},"Action":{"Forward":{"Targets":[{"Backend":"a/b/80"}]}}}]}]}}`, `entry http: host *, path /*: there is no backend "a/b/80"`},
	} {
		if _, err := Decode([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
