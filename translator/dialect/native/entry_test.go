package native

import (
	"testing"
)

// TestParseHSTS: what is read is written anew in one form; what RFC 6797 does not know is an error.
func TestParseHSTS(t *testing.T) {
	for text, want := range map[string]string{
		"max-age=0": "max-age=0", "MAX-AGE=1;IncludeSubDomains": "max-age=1; includeSubDomains",
		"preload ; max-age = \"031536000\";; includesubdomains;": "max-age=31536000; includeSubDomains; preload",
		"\tmax-age=2147483647": "max-age=2147483647",
	} {
		h, err := parseHSTS(text)
		if err != nil || h.String() != want {
			t.Errorf("%q is %q, %v; want %q", text, h, err, want)
		}
	}
	for _, text := range []string{
		"", ";", "max-age", "max-age=", "max-age=\"\"", "max-age=\"1", "max-age=1\"", "max-age=-1", "max-age=+1", "max-age=1.5", "max-age=0x1", "max-age=1_0",
		"max-age=2147483648", "max-age=99999999999999999999", "max-age=1; max-age=1", "max-age=1; preload; PRELOAD", "max-age=1; preload=", "max-age=1; =",
		"max-age=1, includeSubDomains", "max-age=1; includeSubDomain", "max-age=1\r\nSet-Cookie: a", "max-age=1 includeSubDomains", "max-age=1;\u00a0preload",
	} {
		if h, err := parseHSTS(text); err == nil {
			t.Errorf("%q is %q, want an error", text, h)
		}
	}
}
