package explain

import "testing"

func TestRewriteLocation(t *testing.T) {
	tests := []struct{ value, want string }{
		{"/", "/k8s/"},
		{"/x?y=1#z", "/k8s/x?y=1#z"},
		{"/k8s", "/k8s"},
		{"/k8s/x", "/k8s/x"},
		{"/k8s?x", "/k8s?x"},
		{"/k8s#x", "/k8s#x"},
		{"/k8sx", "/k8s/k8sx"},
		{"//other/x", "//other/x"},
		{"x/y", "x/y"},
		{"", ""},
		{"?x", "?x"},
		{"http://node/x", "http://node/k8s/x"},
		{"https://NODE:9443/x", "https://NODE:9443/k8s/x"},
		{"HTTP://node", "HTTP://node/k8s/"},
		{"http://node?x", "http://node/k8s/?x"},
		{"http://node#x", "http://node/k8s/#x"},
		{"http://node/k8s/x", "http://node/k8s/x"},
		{"http://node:/x", "http://node:/k8s/x"},
		{"http://node:x/y", "http://node:x/y"},
		{"http://other/x", "http://other/x"},
		{"http://node.other/x", "http://node.other/x"},
		{"ftp://node/x", "ftp://node/x"},
		{"http://user@node/x", "http://user@node/x"},
	}
	for _, tt := range tests {
		if got := RewriteLocation("/k8s", "node:8080", tt.value); got != tt.want {
			t.Errorf("RewriteLocation(%q) = %q, want %q", tt.value, got, tt.want)
		}
	}
	if got, want := RewriteLocation("/k8s", "[::1]:8080", "http://[::1]/x"), "http://[::1]/k8s/x"; got != want {
		t.Errorf("RewriteLocation of an IPv6 host = %q, want %q", got, want)
	}
}

func TestRewriteSetCookie(t *testing.T) {
	tests := []struct{ value, want string }{
		{"a=b", "a=b"},
		{"a=b; Path=/", "a=b; Path=/k8s"},
		{"a=b; path=/x; Secure", "a=b; path=/k8s/x; Secure"},
		{"a=b;PATH=/x", "a=b;PATH=/k8s/x"},
		{"a=b; Path=/k8s", "a=b; Path=/k8s"},
		{"a=b; Path=/k8s/x", "a=b; Path=/k8s/x"},
		{"a=b; Path=/k8sx", "a=b; Path=/k8s/k8sx"},
		{"a=b; Path=x", "a=b; Path=x"},
		{"a=b; Path", "a=b; Path"},
		{"__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"},
		{"__hOST-a=b; Path=/; Secure", "__hOST-a=b; Path=/; Secure"},
		{"a=b; Path = /x ; Secure", "a=b; Path = /k8s/x ; Secure"},
		{"Path=/; HttpOnly", "Path=/; HttpOnly"},
	}
	for _, tt := range tests {
		if got := RewriteSetCookie("/k8s", tt.value); got != tt.want {
			t.Errorf("RewriteSetCookie(%q) = %q, want %q", tt.value, got, tt.want)
		}
	}
}
