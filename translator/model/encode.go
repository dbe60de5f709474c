package model

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
)

// Encode writes a Gateway without its secrets as JSON, of the form FormVersion: without private keys and lines of users, and
// with digests in the place of what annotations give and nobody is shown (Concealed). All else is there, so that Decode gives
// a Gateway which answers every request alike, as far as may be shown; equal Gateways are equal bytes.
func Encode(g Gateway) []byte {
	e := encoder{}
	e.value(reflect.ValueOf(form{Form: FormVersion, Gateway: g.Concealed()}))
	return e.Bytes()
}

type encoder struct{ bytes.Buffer }

// value writes one value. A type that it does not know is a fault of ours.
func (e *encoder) value(v reflect.Value) {
	switch t := v.Type(); {
	case texts[t]:
		e.text(v.Interface().(encoding.TextMarshaler))
	case t.Kind() == reflect.Interface:
		e.union(v)
	case t.Kind() == reflect.Pointer:
		e.value(v.Elem())
	case t.Kind() == reflect.Struct:
		e.object(v)
	case t == reflect.TypeFor[[]byte]():
		e.string(base64.StdEncoding.EncodeToString(v.Bytes()))
	case t.Kind() == reflect.Slice:
		e.list(v)
	case t.Kind() == reflect.String:
		e.string(v.String())
	case t.Kind() == reflect.Bool:
		e.WriteString(strconv.FormatBool(v.Bool()))
	case v.CanInt():
		e.WriteString(strconv.FormatInt(v.Int(), 10))
	case v.CanUint():
		e.WriteString(strconv.FormatUint(v.Uint(), 10))
	default:
		panic("model: no form for a " + t.String())
	}
}

func (e *encoder) string(s string) {
	text, err := json.Marshal(s)
	if err != nil {
		panic("model: " + err.Error()) // Every string has a form.
	}
	e.Write(text)
}

func (e *encoder) text(m encoding.TextMarshaler) {
	text, err := m.MarshalText()
	if err != nil {
		panic("model: " + err.Error()) // A year beyond 9999, which no object has.
	}
	e.string(string(text))
}

// object writes the fields that say something.
func (e *encoder) object(v reflect.Value) {
	e.WriteByte('{')
	first := true
	for i := range v.NumField() {
		field := v.Field(i)
		if secrets[field.Type()] || empty(field) {
			continue
		}
		if !first {
			e.WriteByte(',')
		}
		first = false
		e.string(v.Type().Field(i).Name)
		e.WriteByte(':')
		e.value(field)
	}
	e.WriteByte('}')
}

// empty says whether a field is left out: a slice without elements means what none means.
func empty(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

func (e *encoder) list(v reflect.Value) {
	e.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			e.WriteByte(',')
		}
		e.value(v.Index(i))
	}
	e.WriteByte(']')
}

func (e *encoder) union(v reflect.Value) {
	held := v.Elem()
	for _, t := range unions[v.Type()] {
		if held.Type() == t {
			e.WriteByte('{')
			e.string(unionName(t))
			e.WriteByte(':')
			e.value(held)
			e.WriteByte('}')
			return
		}
	}
	panic("model: no form for " + held.Type().String() + " as " + v.Type().String())
}
