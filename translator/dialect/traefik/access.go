package traefik

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

// The annotations that limit who may use a route, but for auth-*.
const (
	sourceRange   = "whitelist-source-range"
	byForwarded   = "whitelist-x-forwarded-for"
	allowedHosts  = "allowed-hosts"
	proxyHeaders  = "proxy-headers"
	isDevelopment = "is-development"
)

var access = []dialect.Annotation{
	{
		Key: sourceRange, On: dialect.OnIngress, Type: "a list of addresses and CIDRs", Support: dialect.Approximated, Family: "access", Case: "access/whitelist",
		Note: "A list that is empty, or has something else in it, closes the routes; Traefik 1.7 took an empty one for no list, and answered 404 for the other. " +
			"Other spellings of the path (/admin;x) are closed to everyone.",
		Doc:     "Admits only requests from these addresses, 403 for the others, before any redirect.",
		Example: "10.0.0.0/8, 2001:db8::/32",
	},
	{
		Key: byForwarded, On: dialect.OnIngress, Type: "true or false", Support: dialect.Approximated, Family: "access", Case: "access/forwarded",
		Note: "Only what --trusted-proxies wrote counts: the address of the last hop in X-Forwarded-For that is not one of them, where Traefik 1.7 admitted a request " +
			"if any address of the list was in the ranges, whoever had written it. Without trusted proxies it is the peer. A list in which that address cannot be read (with a port, in brackets) is nobody's.",
		Doc:     "Compares whitelist-source-range with the client's address as trusted proxies tell it.",
		Example: "true",
	},
	{
		Key: allowedHosts, On: dialect.OnIngress, Type: "a list of hosts", Support: dialect.Approximated, Family: "access", Case: "access/hosts",
		Note: "Others are answered 403, where Traefik 1.7 answered 500; also in place of a redirect. A dot at the end of the request's host does not count. " +
			"Other spellings of the path are closed.",
		Doc:     "Admits only requests for these hosts, whatever their case; a port counts as it stands in Host: a.test:8080 must be listed with it.",
		Example: "a.test,a.test:8080",
	},
	{
		Key: proxyHeaders, On: dialect.OnIngress, Type: "a list of header names", Support: dialect.Approximated, Family: "access", Case: "access/hosts",
		Note: "Only " + strings.Join(hostHeaders, ", ") + ", and only from trusted proxies: clients could send any other, and one that is named closes the routes. " +
			"A header that stands twice names no host. Redirects do not read them.",
		Doc:     "Headers of which allowed-hosts reads the host, the first that is not empty, before Host.",
		Example: "X-Forwarded-Host",
	},
}

// hostHeaders are those by which a proxy tells the host that it was asked for, and which are taken off what comes from
// anybody else (docs/operate/security.md, Headers).
var hostHeaders = []string{"X-Forwarded-Host", "X-Original-Host", "X-Host", "X-Http-Host-Override"}

// readAccess reads who may use the routes. What cannot be read closes them.
func readAccess(r *dialect.Reader, shape *dialect.Shape) {
	limits := model.Access{Sources: readSources(r), Hosts: readAllowedHosts(r)}
	if limits.Sources != nil {
		shape.Policies.Restricted = append(shape.Policies.Restricted, limits.Sources.Origin)
	}
	if limits.Hosts != nil {
		shape.Policies.Restricted = append(shape.Policies.Restricted, limits.Hosts.Origin)
	}
	if limits != (model.Access{}) {
		shape.Policies.Access = &limits
		shape.Annotations = append(shape.Annotations, shape.Policies.Restricted...)
	}
}

// readSources is nil where every address is admitted, or the routes are closed.
func readSources(r *dialect.Reader) *model.Sources {
	text, at, ok := r.Value(sourceRange)
	forwarded, forwardedAt, told := r.Value(byForwarded)
	if !ok {
		if told {
			r.Say(diag.New(diag.CodeWithoutEffect, forwardedAt, "there is no "+sourceRange+" that it could be for", "it has no effect", "add one, or remove it"))
		}
		return nil
	}
	out := &model.Sources{Origin: at}
	var err error
	if told {
		if out.Forwarded, err = strconv.ParseBool(forwarded); err != nil {
			closeBad(r, forwardedAt, forwarded, "true or false")
			return nil
		}
	}
	for _, item := range items(text) {
		p, err := parseRange(item)
		if err != nil {
			closeBad(r, at, item, "an address or a CIDR")
			return nil
		}
		out.Ranges = append(out.Ranges, p)
	}
	if len(out.Ranges) == 0 {
		closeBad(r, at, text, "a list of addresses and CIDRs")
		return nil
	}
	if dialect.AdmitsEveryone(out.Ranges) {
		return nil
	}
	slices.SortFunc(out.Ranges, netip.Prefix.Compare)
	out.Ranges = slices.Compact(out.Ranges)
	return out
}

// parseRange reads an address or a range. IPv4 written as IPv6 (::ffff:10.0.0.0/104) means the same addresses as IPv4.
func parseRange(item string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(item)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(item); err != nil || addr.Zone() != "" {
			return netip.Prefix{}, cmp.Or(err, fmt.Errorf("%s has a zone", item))
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	const mapped = 96 // the bits before the IPv4 address
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), nil
}

// readAllowedHosts is nil where every host is admitted, or the routes are closed.
func readAllowedHosts(r *dialect.Reader) *model.AllowedHosts {
	text, at, ok := r.Value(allowedHosts)
	headers, headersAt, named := r.Value(proxyHeaders)
	if !ok {
		if named {
			r.Say(diag.New(diag.CodeWithoutEffect, headersAt, "there is no "+allowedHosts+" that would read them", "it has no effect", "add it, or remove this"))
		}
		return nil
	}
	// A value that is no bool counts as absent; the family that applies the annotation tells of it.
	word, developmentAt, _ := r.Value(isDevelopment)
	if off, err := strconv.ParseBool(word); err == nil && off {
		r.Say(diag.New(diag.CodeWithoutEffect, at, isDevelopment+" switches "+allowedHosts+" off", "requests for any host are served",
			"remove "+isDevelopment).With(developmentAt))
		return nil
	}
	out := &model.AllowedHosts{Origin: at}
	for _, item := range items(text) {
		name, ok := hostAndPort(item)
		if !ok {
			r.Bad(at, item, "a host, with a port or without", "it admits no request")
			continue
		}
		out.Names = append(out.Names, name)
	}
	if len(out.Names) == 0 {
		r.Close(diag.New(diag.CodeBadValue, at, "it names no host", "its routes answer 503, because it restricts access", "write a list of hosts"))
		return nil
	}
	slices.Sort(out.Names)
	out.Names = slices.Compact(out.Names)
	for _, item := range items(headers) {
		if !slices.ContainsFunc(hostHeaders, func(h string) bool { return strings.EqualFold(h, item) }) {
			closeBad(r, headersAt, item, "one of "+strings.Join(hostHeaders, ", "))
			return nil
		}
		out.Headers = append(out.Headers, strings.ToLower(item))
	}
	return out
}

// hostAndPort reads a host as it may stand in Host, in lower case.
func hostAndPort(item string) (string, bool) {
	name, port := item, ""
	if i := strings.LastIndexByte(item, ':'); i > strings.LastIndexByte(item, ']') {
		name, port = item[:i], item[i:]
		if _, err := strconv.ParseUint(port[1:], 10, 16); err != nil {
			return "", false
		}
	}
	host, err := model.ParseHost(name)
	if err != nil || host.Kind() != model.HostExact {
		return "", false
	}
	return host.Name() + port, true
}

// items splits a list at its commas and leaves out blanks and empty items, as Traefik 1.7 did
// (provider/label/label.go, SplitAndTrimString).
func items(text string) []string {
	var out []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// closeBad tells of a value by which access cannot be limited as is meant.
func closeBad(r *dialect.Reader, at diag.Origin, value, accepted string) {
	r.Close(diag.New(diag.CodeBadValue, at, fmt.Sprintf("%q is not %s", value, accepted),
		"its routes answer 503, because it restricts access", "write "+accepted))
}
