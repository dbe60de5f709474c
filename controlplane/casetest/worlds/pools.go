package worlds

import networkingv1 "k8s.io/api/networking/v1"

// hosts are those of rules: few names, so that exact hosts, wildcards and rules without a host meet.
var hosts = []string{
	"", "", "a.test", "a.test", "b.test", "A.Test", "www.a.test", "x.www.a.test", "*.a.test", "*.test", "*.www.a.test",
	"x", "node", "10.0.0.9", "::1", "my_host.test", "b.test.", "a.test:80", "*", "b..test",
}

// paths are those of rules: nested, and with whatever people write into them.
var paths = []string{
	"/", "/", "/a", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/ab", "/A", "/a/b/c/d", "/k8s", "/k8s/", "/k8s/app", "", "/b", "/a.b", "/a-b_c~d",
	"/a%20b", "/a b", "/é", "/%c3%a9", "/a%2Fb", "/%61", "/a//b", "/a/../b", "/a/.", "/a?b=c", "/a#b", "a/b",
	"/a+b", "/a;x", "/a(b)", "/a[b]", "/a/*", "/a.*", "/^a$", "/a|b", "/a$1", `/a\1`, "/{id:[0-9]+}", "/a/{x}", "/a,/b", "/100%", "/a:b@c", "/a=b&c",
	"/..a", "/a..", "/~user", "/.well-known/acme", "/a'b", `/a"b`, "/<a>", "/a%3Bb", "/a%",
}

var pathTypes = []networkingv1.PathType{
	"", networkingv1.PathTypePrefix, networkingv1.PathTypePrefix, networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific,
	networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypeImplementationSpecific,
}
