package config

import (
	"fmt"
	"regexp"
	"strings"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"golang.org/x/net/http/httpguts"
)

// An Append is how a header is added; the names are Envoy's HeaderValueOption.append_action.
type Append int

// What Append does where the header is there already: add a value (one comma-separated list for the headers that
// Envoy keeps so), leave it, or put the value in its place.
const (
	AppendIfExistsOrAdd Append = iota
	AddIfAbsent
	OverwriteIfExistsOrAdd
	OverwriteIfExists
)

// A HeaderValue adds one header.
type HeaderValue struct {
	Name   string // lower case
	Value  Format
	Append Append
}

// A HeaderMutation is one step of an early header mutation: exactly one of its fields is set.
type HeaderMutation struct {
	Remove        string       // header name, lower case
	RemoveOnMatch *StringMatch // of the header's name, lower case
	Add           *HeaderValue
}

// A StringKind is how a StringMatch compares.
type StringKind int

// The kinds are the members of Envoy's StringMatcher.
const (
	Exact StringKind = iota
	Prefix
	Suffix
	Contains
	SafeRegex
)

// A StringMatch is Envoy's StringMatcher. With IgnoreCase, Text is in lower case.
type StringMatch struct {
	Kind       StringKind
	Text       string
	Regexp     *regexp.Regexp // for SafeRegex; anchored at both ends
	IgnoreCase bool
}

func decodeStringMatch(m *matcherv3.StringMatcher, at string) (StringMatch, error) {
	match := StringMatch{IgnoreCase: m.GetIgnoreCase()}
	switch pattern := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		match.Kind, match.Text = Exact, pattern.Exact
	case *matcherv3.StringMatcher_Prefix:
		match.Kind, match.Text = Prefix, pattern.Prefix
	case *matcherv3.StringMatcher_Suffix:
		match.Kind, match.Text = Suffix, pattern.Suffix
	case *matcherv3.StringMatcher_Contains:
		match.Kind, match.Text = Contains, pattern.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		re, err := decodeRegex(pattern.SafeRegex, join(at, "safe_regex"))
		if err != nil {
			return StringMatch{}, err
		}
		if match.IgnoreCase {
			return StringMatch{}, only(at, "ignore_case", "false beside safe_regex")
		}
		match.Kind, match.Regexp = SafeRegex, re
	default:
		return StringMatch{}, fmt.Errorf("%s: no match pattern", at)
	}
	if match.IgnoreCase {
		match.Text = strings.ToLower(match.Text)
	}
	return match, nil
}

// decodeRegex compiles a regex that must match the whole value, as Envoy's RegexMatcher says.
func decodeRegex(m *matcherv3.RegexMatcher, at string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(m.GetRegex()); err != nil { // first alone: "a)(b" must not pass by the group below
		return nil, fmt.Errorf("%s: %w", join(at, "regex"), err)
	}
	return regexp.Compile(`\A(?:` + m.GetRegex() + `)\z`)
}

func decodeEarlyMutations(mutations []*mutationv3.HeaderMutation, at string) ([]HeaderMutation, error) {
	var out []HeaderMutation
	for i, m := range mutations {
		at := index(at, "mutations", i)
		switch action := m.GetAction().(type) {
		case *mutationv3.HeaderMutation_Remove:
			name, err := headerName(action.Remove, join(at, "remove"))
			if err != nil {
				return nil, err
			}
			out = append(out, HeaderMutation{Remove: name})
		case *mutationv3.HeaderMutation_RemoveOnMatch_:
			match, err := decodeStringMatch(action.RemoveOnMatch.GetKeyMatcher(), join(at, "remove_on_match.key_matcher"))
			if err != nil {
				return nil, err
			}
			out = append(out, HeaderMutation{RemoveOnMatch: &match})
		case *mutationv3.HeaderMutation_Append:
			add, err := decodeHeaderValue(action.Append, join(at, "append"))
			if err != nil {
				return nil, err
			}
			out = append(out, HeaderMutation{Add: &add})
		default:
			return nil, fmt.Errorf("%s: no action", at)
		}
	}
	return out, nil
}

func decodeHeaderValues(options []*corev3.HeaderValueOption, at, field string) ([]HeaderValue, error) {
	var out []HeaderValue
	for i, o := range options {
		value, err := decodeHeaderValue(o, index(at, field, i))
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}

func decodeHeaderValue(o *corev3.HeaderValueOption, at string) (HeaderValue, error) {
	name, err := headerName(o.GetHeader().GetKey(), join(at, "header.key"))
	if err != nil {
		return HeaderValue{}, err
	}
	value, err := parseFormat(o.GetHeader().GetValue(), join(at, "header.value"))
	if err != nil {
		return HeaderValue{}, err
	}
	action := Append(o.GetAppendAction())
	if action < AppendIfExistsOrAdd || action > OverwriteIfExists {
		return HeaderValue{}, fmt.Errorf("%s: unknown value %d", join(at, "append_action"), action)
	}
	return HeaderValue{Name: name, Value: value, Append: action}, nil
}

// headerName checks a header that a mutation may touch. Host and the pseudo-headers have fields of their own.
func headerName(name, at string) (string, error) {
	lower := strings.ToLower(name)
	if !httpguts.ValidHeaderFieldName(lower) || lower == "host" {
		return "", fmt.Errorf("%s: %q is not a header that may be changed", at, name)
	}
	return lower, nil
}

func headerNames(names []string, at, field string) ([]string, error) {
	var out []string
	for i, n := range names {
		name, err := headerName(n, index(at, field, i))
		if err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, nil
}
