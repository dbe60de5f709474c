package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// annotatedHosts are the hosts whose annotations hold secrets, and at the end one whose users change. What is refused, which
// is the host refused, changes nothing.
var annotatedHosts = []string{"sets", "proxied", "asking", "pages", "changing"}

// plantAnnotations are Ingresses with secrets in the values of their annotations, and one with users; those of another edition
// differ in nothing but the secrets.
func (p *planted) plantAnnotations(edition string, hash []byte) string {
	p.t.Helper()
	var b strings.Builder
	secret := func(of string) string {
		name := fmt.Sprintf("%s (%s edition)", of, edition)
		p.annotated = append(p.annotated, name)
		return p.Random(name)
	}
	ingress := func(name string, annotations ...string) {
		fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  annotations:\n", name)
		for i := 0; i < len(annotations); i += 2 {
			fmt.Fprintf(&b, "    ingress.kubernetes.io/%s: %q\n", annotations[i], annotations[i+1])
		}
		fmt.Fprintf(&b, "spec:\n  rules: [{host: %s.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 443}}}}]}}]\n", name)
	}
	ingress("sets",
		"custom-request-headers", "Authorization:Bearer "+secret("request header Authorization")+"||X-Api-Key:"+secret("request header X-Api-Key")+
			"||X-Team:"+secret("request header X-Team")+"||X-Real-Ip:"+secret("request header X-Real-Ip"),
		"custom-response-headers", "X-Answer:"+secret("response header X-Answer")+"||Www-Authenticate:"+secret("response header Www-Authenticate"),
		"custom-frame-options-value", secret("X-Frame-Options"))
	ingress("proxied", "ssl-redirect", "true",
		"ssl-proxy-headers", "X-Forwarded-Proto:"+secret("accepted X-Forwarded-Proto")+"||X-Scheme:"+secret("accepted X-Scheme"))
	ingress("asking", "auth-type", "forward", "auth-url", "http://web.default.svc:443/check?key="+secret("query of auth-url"))
	ingress("pages", "error-pages", `{a: {status: ["500-599"], backend: "web:443", query: "/{status}.html?key=`+secret("query of error-pages")+`"}}`)
	ingress("refused", "auth-type", "forward", "auth-url", "http://someone:"+secret("refused user of auth-url")+"@web.default.svc/?key="+secret("refused query of auth-url"),
		"ssl-redirect", "true", "ssl-proxy-headers", "X-Any:"+secret("refused X-Any")+"||"+secret("refused without a name")+"||:"+secret("refused without a name but a colon"),
		"custom-request-headers", secret("refused without a colon")+"||X Y:"+secret("refused name")+"||Host:"+secret("refused Host"),
		"custom-response-headers", "Location:"+secret("refused Location"),
		"error-pages", `{a: {status: ["500"], backend: "web:443", query: "/x?key=`+secret("refused query of error-pages")+`#"}}`)
	user := p.Random("changing user of the " + edition + " edition")
	line := user + ":" + string(hash) + "\n"
	if p.Texts["changing user that stays"] == nil {
		p.Random("changing user that stays")
	}
	b.WriteString(secretObject("changing", "Opaque", map[string]string{"auth": line + p.Texts["changing user that stays"][0] + ":" + string(hash) + "\n"}))
	ingress("changing", "auth-type", "basic", "auth-secret", "changing")
	return b.String()
}

// checkDiffs compares the two editions, of which each change is told, in every way that needs no server.
func (p planted) checkDiffs() {
	p.t.Helper()
	bootstrap, _, err := run(p.t, "", append([]string{"translate", "-o", "bootstrap"}, p.flags()...)...)
	if err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		p.t.Fatal(err)
	}
	flags := p.flags()[2:]
	for _, args := range [][]string{
		{p.manifests, p.edited}, {p.edited, p.manifests, "-o", "json"}, {p.manifests, p.edited, "--apply"}, {p.manifests, p.edited, "--endpoints", "--ignore-endpoints"},
		{file, p.edited}, {p.edited, file}, {file, p.edited, "-o", "json"},
	} {
		if args[0] != file && args[1] != file {
			args = append(args, flags...)
		}
		hosts := annotatedHosts
		if slices.Contains(args, file) {
			hosts = hosts[:len(hosts)-1] // The users of a model that was written are not known.
		}
		p.checkDiff(args, hosts...)
	}
	out, errs, err := run(p.t, "", diffName, file, p.manifests)
	if err != nil || !strings.Contains(out, "no difference") {
		p.t.Errorf("the bootstrap differs from what it was made of: %v\n%s%s", err, out, errs)
	}
}

// checkDiff compares two sides that differ in some hosts.
func (p planted) checkDiff(args []string, hosts ...string) {
	p.t.Helper()
	out, errs, err := run(p.t, "", append([]string{diffName}, args...)...)
	for _, host := range hosts {
		if !strings.Contains(out, host+".test") {
			p.t.Errorf("diff %v says nothing of %s: %v\n%s%s", args, host, err, out, errs)
		}
	}
	p.Check(fmt.Sprint(diffName, args), fmt.Sprint(out, errs, err))
}
