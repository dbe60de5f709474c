package model

import (
	"slices"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	for text, want := range map[string]string{
		"": "*", "*": "*", "a.test": "a.test", "A.Test.": "a.test", "a": "a", "*.a.test": "*.a.test", "my_host.test": "my_host.test",
		"1.2.3.4": "1.2.3.4", "::1": "[::1]", "[::1]": "[::1]", strings.Repeat("a.", 126) + "b": strings.Repeat("a.", 126) + "b",
	} {
		h, err := ParseHost(text)
		if err != nil || h.String() != want {
			t.Errorf("ParseHost(%q) is %s, %v; want %s", text, h, err, want)
		}
		if address := text == "1.2.3.4" || strings.Contains(text, ":"); h.IsAddress() != address {
			t.Errorf("ParseHost(%q).IsAddress() is %v", text, !address)
		}
	}
	for _, text := range []string{"a.test:80", "a..b", "-a", "a-", "*a.test", "a.*.test", "*.", "a b", "a/b", "é.test", "::1%\n", "fe80::1%eth0", "[1.2.3.4", "[a.test]", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "b"} {
		if h, err := ParseHost(text); err == nil {
			t.Errorf("ParseHost(%q) is %s, want an error", text, h)
		}
	}
}

func TestCovers(t *testing.T) {
	parse := func(s string) Host {
		h, err := ParseHost(s)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	for _, c := range []struct {
		broad, narrow string
		want          bool
	}{
		{"", "a.test", true}, {"a.test", "a.test", true}, {"a.test", "b.test", false},
		{"*.test", "a.test", true}, {"*.test", "b.a.test", false}, {"*.test", "test", false}, {"*.a.test", "a.test", false}, {"*.test", "*.test", false},
	} {
		if got := parse(c.broad).Covers(parse(c.narrow)); got != c.want {
			t.Errorf("%s covers %s: %v, want %v", c.broad, c.narrow, got, c.want)
		}
	}
}

func TestHasServerName(t *testing.T) {
	for text, want := range map[string]bool{"a.test": true, "a": true, "*.a.test": true, "": false, "127.0.0.1": false, "::1": false, "1.2.3": true} {
		if h, err := ParseHost(text); err != nil || h.HasServerName() != want {
			t.Errorf("%q has a server name: %v, %v; want %v", text, h.HasServerName(), err, want)
		}
	}
}

func TestPathOrder(t *testing.T) {
	paths := []PathMatch{Prefix("/"), {PathExact, "/a"}, Prefix("/a/b/"), {PathStringPrefix, "/a/b/c"}, Prefix("/a"), {PathExact, "/a/b"}}
	slices.SortFunc(paths, PathMatch.Compare)
	var got []string
	for _, p := range paths {
		got = append(got, p.String())
	}
	if want := "= /a/b, = /a, /a/b/c*, /a/b/*, /a/*, /*"; strings.Join(got, ", ") != want {
		t.Errorf("the order is %s, want %s", strings.Join(got, ", "), want)
	}
}

func TestSensitive(t *testing.T) {
	key := Sensitive("canary")
	text, err := key.MarshalText()
	if err != nil || strings.Contains(key.String()+key.GoString()+string(text), "canary") {
		t.Error("the bytes are printed")
	}
}
