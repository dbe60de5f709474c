package inspect

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// nodeMatch says whether a proxy is one that is asked about.
type nodeMatch func(*corev3.Node) bool

// parseNodeMatchers reads the matchers of a request, of which one must match ("The match follows OR semantics"); none is nil.
func parseNodeMatchers(matchers []*matcherv3.NodeMatcher) (nodeMatch, error) {
	var each []nodeMatch
	for _, m := range matchers {
		match, err := parseNodeMatcher(m)
		if err != nil {
			return nil, err
		}
		each = append(each, match)
	}
	if len(each) == 0 {
		return nil, nil
	}
	return func(node *corev3.Node) bool {
		for _, match := range each {
			if match(node) {
				return true
			}
		}
		return false
	}, nil
}

// parseNodeMatcher reads one, of which every part must match.
func parseNodeMatcher(m *matcherv3.NodeMatcher) (nodeMatch, error) {
	id := func(string) bool { return true }
	var err error
	if m.GetNodeId() != nil {
		if id, err = parseStringMatcher(m.GetNodeId()); err != nil {
			return nil, err
		}
	}
	var values []func(*structpb.Value) bool
	for _, metadata := range m.GetNodeMetadatas() {
		match, err := parseValueMatcher(metadata.GetValue())
		if err != nil {
			return nil, err
		}
		values = append(values, func(root *structpb.Value) bool { return match(at(root, metadata.GetPath())) })
	}
	return func(node *corev3.Node) bool {
		if !id(node.GetId()) {
			return false
		}
		root := structpb.NewStructValue(node.GetMetadata())
		for _, match := range values {
			if !match(root) {
				return false
			}
		}
		return true
	}, nil
}

// at is the value at the end of a path, nil where there is none.
func at(v *structpb.Value, path []*matcherv3.StructMatcher_PathSegment) *structpb.Value {
	for _, segment := range path {
		v = v.GetStructValue().GetFields()[segment.GetKey()]
	}
	return v
}

func parseStringMatcher(m *matcherv3.StringMatcher) (func(string) bool, error) {
	fold := func(s string) string { return s }
	if m.GetIgnoreCase() {
		fold = strings.ToLower
	}
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return func(s string) bool { return fold(s) == fold(p.Exact) }, nil
	case *matcherv3.StringMatcher_Prefix:
		return func(s string) bool { return strings.HasPrefix(fold(s), fold(p.Prefix)) }, nil
	case *matcherv3.StringMatcher_Suffix:
		return func(s string) bool { return strings.HasSuffix(fold(s), fold(p.Suffix)) }, nil
	case *matcherv3.StringMatcher_Contains:
		return func(s string) bool { return strings.Contains(fold(s), fold(p.Contains)) }, nil
	case *matcherv3.StringMatcher_SafeRegex:
		// It matches the whole, and has no case of its own (envoy.type.matcher.v3.StringMatcher).
		pattern, err := regexp.Compile("^(?:" + p.SafeRegex.GetRegex() + ")$")
		if err != nil {
			return nil, fmt.Errorf("a matcher of nodes: %w", err)
		}
		return pattern.MatchString, nil
	default:
		return nil, errors.New("a matcher of nodes: strings are matched by exact, prefix, suffix, contains or safe_regex")
	}
}

func parseValueMatcher(m *matcherv3.ValueMatcher) (func(*structpb.Value) bool, error) {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_NullMatch_:
		return func(v *structpb.Value) bool { _, is := v.GetKind().(*structpb.Value_NullValue); return is }, nil
	case *matcherv3.ValueMatcher_BoolMatch:
		return func(v *structpb.Value) bool {
			b, is := v.GetKind().(*structpb.Value_BoolValue)
			return is && b.BoolValue == p.BoolMatch
		}, nil
	case *matcherv3.ValueMatcher_PresentMatch:
		return func(v *structpb.Value) bool { return (v != nil) == p.PresentMatch }, nil
	case *matcherv3.ValueMatcher_DoubleMatch:
		return parseDoubleMatcher(p.DoubleMatch), nil
	case *matcherv3.ValueMatcher_StringMatch:
		match, err := parseStringMatcher(p.StringMatch)
		return func(v *structpb.Value) bool {
			s, is := v.GetKind().(*structpb.Value_StringValue)
			return is && match(s.StringValue)
		}, err
	case *matcherv3.ValueMatcher_ListMatch:
		match, err := parseValueMatcher(p.ListMatch.GetOneOf())
		return func(v *structpb.Value) bool { return anyOf(v.GetListValue().GetValues(), match) }, err
	case *matcherv3.ValueMatcher_OrMatch:
		return parseOrMatcher(p.OrMatch)
	default:
		return nil, errors.New("a matcher of nodes: a value is matched by nothing that is known here")
	}
}

func parseDoubleMatcher(m *matcherv3.DoubleMatcher) func(*structpb.Value) bool {
	return func(v *structpb.Value) bool {
		n, is := v.GetKind().(*structpb.Value_NumberValue)
		if r := m.GetRange(); r != nil {
			return is && n.NumberValue >= r.GetStart() && n.NumberValue < r.GetEnd()
		}
		return is && n.NumberValue == m.GetExact()
	}
}

func parseOrMatcher(m *matcherv3.OrMatcher) (func(*structpb.Value) bool, error) {
	var each []func(*structpb.Value) bool
	for _, one := range m.GetValueMatchers() {
		match, err := parseValueMatcher(one)
		if err != nil {
			return nil, err
		}
		each = append(each, match)
	}
	return func(v *structpb.Value) bool {
		for _, match := range each {
			if match(v) {
				return true
			}
		}
		return false
	}, nil
}

func anyOf(values []*structpb.Value, match func(*structpb.Value) bool) bool {
	for _, v := range values {
		if match(v) {
			return true
		}
	}
	return false
}
