package model

import (
	"net/netip"
	"reflect"
	"time"
)

// FormVersion is the number of the form in which Encode writes a Gateway. It goes up with every change of the model's types,
// because a reader refuses what it does not know: TestFormVersion; and with every change of what a value means.
const FormVersion = 2

// form is what Encode writes: the fields of the model by their names in Go, without those that are empty and without what
// is secret. A closed interface is an object with one field, the name of the type that it holds.
type form struct {
	Form    int
	Gateway Gateway
}

// unions are the types that each closed interface of the model may hold.
var unions = map[reflect.Type][]reflect.Type{
	reflect.TypeFor[Action]():  {reflect.TypeFor[*Forward](), reflect.TypeFor[*Closed]()},
	reflect.TypeFor[Rewrite](): {reflect.TypeFor[*AddPrefix](), reflect.TypeFor[*ReplacePrefix](), reflect.TypeFor[*ReplaceRegex]()},
	reflect.TypeFor[RateKey](): {reflect.TypeFor[RateByClient](), reflect.TypeFor[RateByHost](), reflect.TypeFor[RateByHeader]()},
}

// unionName is the name by which a type stands in a closed interface.
func unionName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// secrets are the types whose values are left out: private keys, and the lines of users. A Gateway without them answers as
// the whole one does, but for who has shown a right password: a Gateway with them has a User in every Users.
var secrets = map[reflect.Type]bool{
	reflect.TypeFor[Sensitive](): true,
	reflect.TypeFor[[]User]():    true,
}

// texts are the types that are written as text, though they are no strings.
var texts = map[reflect.Type]bool{
	reflect.TypeFor[Host]():           true,
	reflect.TypeFor[netip.Addr]():     true,
	reflect.TypeFor[netip.AddrPort](): true,
	reflect.TypeFor[netip.Prefix]():   true,
	reflect.TypeFor[time.Time]():      true,
}

// wordCounts are how many values a type of numbers has.
var wordCounts = map[reflect.Type]int64{
	reflect.TypeFor[AccessLog]():      int64(AccessLogJSON) + 1,
	reflect.TypeFor[EscapedSlashes](): int64(SlashesKeep) + 1,
	reflect.TypeFor[PathKind]():       int64(PathStringPrefix) + 1,
	reflect.TypeFor[RedirectStatus](): int64(RedirectTemporary) + 1,
}
