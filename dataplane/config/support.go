package config

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// use says what the Go data plane does with a field.
type use int

const (
	refused use = iota // not in the table
	read
	accepted // harmless to leave out; fields.go says why
)

const anyName = "google.protobuf.Any"

// check walks every field that is set in m and refuses the first, in the order of the proto, that is not in the table.
func check(m protoreflect.Message, path string) error {
	name := m.Descriptor().FullName()
	if leaf(name) {
		return nil
	}
	if name == anyName {
		return checkAny(m, path)
	}
	table, known := supported[name]
	if !known {
		return fmt.Errorf("%s: %s is not supported by the Go data plane", path, name)
	}
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s: a field that this version of %s does not know", path, name)
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		at := join(path, string(field.Name()))
		switch table[field.Name()] {
		case refused:
			return unsupported(at)
		case read:
			if err := checkField(field, m.Get(field), at); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkField walks into what a field holds.
func checkField(field protoreflect.FieldDescriptor, value protoreflect.Value, path string) error {
	switch {
	case field.IsMap():
		if field.MapValue().Message() == nil {
			return nil
		}
		var first error
		value.Map().Range(func(key protoreflect.MapKey, entry protoreflect.Value) bool {
			err := check(entry.Message(), fmt.Sprintf("%s[%q]", path, key.String()))
			if err != nil && (first == nil || err.Error() < first.Error()) {
				first = err // the least, so that the order of the map does not show
			}
			return true
		})
		return first
	case field.Message() == nil:
		return nil
	case field.IsList():
		for i := range value.List().Len() {
			if err := check(value.List().Get(i).Message(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	default:
		return check(value.Message(), path)
	}
}

// checkAny walks into a typed config. A type that this program does not hold is refused by its name.
func checkAny(m protoreflect.Message, path string) error {
	body := m.Interface().(*anypb.Any)
	if _, known := supported[body.MessageName()]; !known {
		return fmt.Errorf("%s: %s is not supported by the Go data plane", path, body.MessageName())
	}
	typed, err := body.UnmarshalNew()
	if err != nil {
		return fmt.Errorf("%s: read %s: %w", path, body.MessageName(), err)
	}
	return check(typed.ProtoReflect(), join(path, shortName(body)))
}

// leaf tells the well-known types that hold a plain value.
func leaf(name protoreflect.FullName) bool {
	return name.Parent() == "google.protobuf" && name != anyName
}
