package static

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// Edit calls change for every message within m, those packed in an Any included, and then for m itself. What change puts
// into a message is not visited.
func Edit(m proto.Message, change func(proto.Message)) {
	if packed, ok := m.(*anypb.Any); ok {
		editPacked(packed, change)
		return
	}
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				Edit(value.List().Get(i).Message().Interface(), change)
			}
		case field.IsMap() && field.MapValue().Message() != nil:
			value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				Edit(v.Message().Interface(), change)
				return true
			})
		case !field.IsList() && !field.IsMap() && field.Message() != nil:
			Edit(value.Message().Interface(), change)
		}
		return true
	})
	change(m)
}

func editPacked(packed *anypb.Any, change func(proto.Message)) {
	if packed.GetTypeUrl() == "" {
		return
	}
	inner, err := packed.UnmarshalNew()
	if err != nil {
		panic(fmt.Sprintf("static: read a %s: %v", packed.GetTypeUrl(), err))
	}
	Edit(inner, change)
	pack(packed, inner)
}

// pack puts a message into an Any; that one of ours does not marshal is a fault of ours.
func pack(into *anypb.Any, m proto.Message) {
	if err := anypb.MarshalFrom(into, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic("static: " + err.Error())
	}
}
