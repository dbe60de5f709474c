package model

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
)

// Decode reads what Encode writes. The error says why it cannot: no JSON of this form, of another Postern's form, or a
// Gateway that does not hold together. The result has no secrets, which Encode leaves out.
func Decode(text []byte) (Gateway, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return Gateway{}, fmt.Errorf("read the model: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Gateway{}, errors.New("read the model: something follows it")
	}
	fields, ok := tree.(map[string]any)
	if number, is := fields["Form"].(json.Number); !ok || !is {
		return Gateway{}, errors.New("read the model: it has no Form, so it is none")
	} else if number.String() != fmt.Sprint(FormVersion) {
		return Gateway{}, fmt.Errorf("the model is of form %s, and this Postern reads form %d: compare by the version that wrote it", number, FormVersion)
	}
	var out form
	if err := decode(reflect.ValueOf(&out).Elem(), tree, "model"); err != nil {
		return Gateway{}, err
	}
	if err := out.Gateway.whole(); err != nil {
		return Gateway{}, fmt.Errorf("read the model: %w", err)
	}
	return out.Gateway, nil
}

// decode fills in a value; at is where it stands.
func decode(v reflect.Value, tree any, at string) error {
	t := v.Type()
	switch {
	case texts[t]:
		text, ok := tree.(string)
		if !ok {
			return misfit(t, at)
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("read %s: %w", at, err)
		}
		return nil
	case t.Kind() == reflect.Interface:
		return decodeUnion(v, tree, at)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		return decode(v.Elem(), tree, at)
	case t.Kind() == reflect.Struct:
		return decodeObject(v, tree, at)
	case t == reflect.TypeFor[[]byte]():
		text, _ := tree.(string)
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) == 0 {
			return misfit(t, at)
		}
		v.SetBytes(b)
		return nil
	case t.Kind() == reflect.Slice:
		return decodeList(v, tree, at)
	default:
		return decodeScalar(v, tree, at)
	}
}

func decodeObject(v reflect.Value, tree any, at string) error {
	fields, ok := tree.(map[string]any)
	if !ok {
		return misfit(v.Type(), at)
	}
	known := 0
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		value, there := fields[name]
		if !there || secrets[v.Field(i).Type()] {
			continue
		}
		known++
		if err := decode(v.Field(i), value, at+"."+name); err != nil {
			return err
		}
	}
	if known < len(fields) {
		return fmt.Errorf("%s has a field that this Postern does not know: it was written by a newer one, or by hand", at)
	}
	return nil
}

func decodeList(v reflect.Value, tree any, at string) error {
	elements, ok := tree.([]any)
	if !ok {
		return misfit(v.Type(), at)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(elements), len(elements)))
	for i, element := range elements {
		if err := decode(v.Index(i), element, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func decodeUnion(v reflect.Value, tree any, at string) error {
	fields, ok := tree.(map[string]any)
	if !ok || len(fields) != 1 {
		return misfit(v.Type(), at)
	}
	for name, value := range fields {
		i := slices.IndexFunc(unions[v.Type()], func(t reflect.Type) bool { return unionName(t) == name })
		if i < 0 {
			return fmt.Errorf("%s is a %s, which this Postern does not know: it was written by a newer one, or by hand", at, name)
		}
		held := reflect.New(unions[v.Type()][i]).Elem()
		if err := decode(held, value, at+"."+name); err != nil {
			return err
		}
		v.Set(held)
	}
	return nil
}

func decodeScalar(v reflect.Value, tree any, at string) error {
	number, isNumber := tree.(json.Number)
	switch value := tree.(type) {
	case string:
		if v.Kind() == reflect.String {
			v.SetString(value)
			return nil
		}
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(value)
			return nil
		}
	}
	if !isNumber {
		return misfit(v.Type(), at)
	}
	if !v.CanInt() && !v.CanUint() {
		return misfit(v.Type(), at)
	}
	if err := json.Unmarshal([]byte(number), v.Addr().Interface()); err != nil {
		return misfit(v.Type(), at)
	}
	if most, words := wordCounts[v.Type()]; words && (v.Int() < 0 || v.Int() >= most) {
		return fmt.Errorf("%s is %s, which this Postern does not know: it was written by a newer one, or by hand", at, number)
	}
	return nil
}

func misfit(t reflect.Type, at string) error { return fmt.Errorf("%s is no %s", at, t) }
