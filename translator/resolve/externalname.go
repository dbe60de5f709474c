package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator/diag"
)

// Scope says which Services of the cluster an ExternalName may lead to.
type Scope int

const (
	// ScopeNone is no Service.
	ScopeNone Scope = iota
	// ScopeSameNamespace is those of the ExternalName's own namespace, and those that let that namespace in: see
	// allowAnnotation.
	ScopeSameNamespace
	// ScopeCluster is any.
	ScopeCluster
)

// The words of --external-name; every other entry is a DNS suffix.
const (
	externalNameOff           = "off"
	externalNameSameNamespace = "same-namespace"
	externalNameCluster       = "cluster"
)

// allowAnnotation is the annotation by which a Service or Namespace lets ExternalNames of other namespaces in.
const allowAnnotation = "postern.dev/allow-external-name-from"

// ExternalNames says where ExternalName Services may lead. The zero value lets them lead nowhere.
type ExternalNames struct {
	Scope Scope
	// Suffixes are the DNS suffixes, as written, of the names outside of the cluster that are allowed. One that is no
	// such suffix allows nothing and is told of.
	Suffixes []string
	// Deny are ranges in which no name outside of the cluster may have its address.
	Deny []netip.Prefix
	// Own are the addresses of the machine, or pod, that the gateway runs in.
	Own []netip.Addr
	// OwnServices are Postern's own Services; those that carry its label need not be named.
	OwnServices []ServiceKey
}

// ParseExternalNames reads the entries of --external-name.
func ParseExternalNames(entries []string) (ExternalNames, error) {
	var out ExternalNames
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		switch strings.ToLower(entry) {
		case externalNameOff:
			if len(entries) > 1 {
				return out, errors.New("off stands alone")
			}
		case externalNameSameNamespace:
			out.Scope = max(out.Scope, ScopeSameNamespace)
		case externalNameCluster:
			out.Scope = ScopeCluster
		default:
			out.Suffixes = append(out.Suffixes, entry)
		}
	}
	return out, nil
}

// String is the policy as --external-name has it.
func (e ExternalNames) String() string {
	var out []string
	switch e.Scope {
	case ScopeCluster:
		out = append(out, externalNameCluster)
	case ScopeSameNamespace:
		out = append(out, externalNameSameNamespace)
	case ScopeNone:
	}
	out = append(out, e.Suffixes...)
	if len(out) == 0 {
		return externalNameOff
	}
	return strings.Join(out, ",")
}

// with is the policy with one entry more, for what would help.
func (e ExternalNames) with(entry string) string {
	if e.String() == externalNameOff {
		return "--external-name " + entry
	}
	return "--external-name " + e.String() + "," + entry
}

// nameRules are what is known of names whatever the policy.
type nameRules struct {
	clusterDomain string
	// known are names by which something inside is known, and what that is.
	known map[string]string
}

// canonicalName is a name as it is compared and asked for: in lower case, without the dot at its end.
func canonicalName(text string) string { return strings.ToLower(strings.TrimSuffix(text, ".")) }

// The longest name and label (RFC 1035, 2.3.4), without the dot at the end.
const (
	nameLengthMax  = 253
	labelLengthMax = 63
)

// syntaxFault says why a text is no DNS name with which a host can be found, empty where it is one. The underscore is let
// through, as some old names, and targets of aliases, carry it.
func syntaxFault(text string) string {
	name := strings.TrimSuffix(text, ".")
	switch {
	case name == "":
		return "it is empty"
	case strings.ContainsAny(name, ":[]%/"):
		return "it is an address or a URL, and no DNS name"
	case len(name) > nameLengthMax:
		return fmt.Sprintf("it is longer than the %d characters of a DNS name", nameLengthMax)
	}
	labels := strings.Split(name, ".")
	if slices.ContainsFunc(labels, func(l string) bool { return !isLabel(l) }) {
		return "it is not a DNS name"
	}
	if isNumber(labels[len(labels)-1]) {
		return "it is a spelling of an IP address, and no DNS name"
	}
	return ""
}

func isLabel(label string) bool {
	if label == "" || len(label) > labelLengthMax || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	// Bytes, so that nothing beyond ASCII is a letter: some such runes have an ASCII letter as their lower case.
	for i := range len(label) {
		c := label[i] | 0x20
		if (c < 'a' || c > 'z') && (label[i] < '0' || label[i] > '9') && label[i] != '-' && label[i] != '_' {
			return false
		}
	}
	return true
}

// isNumber says whether a host whose last label this is would be read as an IPv4 address by someone (WHATWG URL, "ends in
// a number"; inet_aton): decimal, octal or hexadecimal, of any length. No top-level domain is a number.
func isNumber(label string) bool {
	digits := "0123456789"
	if rest, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		label, digits = rest, "0123456789abcdefABCDEF"
	}
	return strings.Trim(label, digits) == ""
}

// inside says whether a name belongs to the cluster's DNS: its domain and, as clients have it by a search list, svc.
func (n nameRules) inside(name string) bool {
	return hasSuffix(name, n.clusterDomain) || hasSuffix(name, "svc")
}

// hasSuffix compares by whole labels.
func hasSuffix(name, suffix string) bool {
	return name == suffix || strings.HasSuffix(name, "."+suffix)
}

// metadataNames are where clouds keep what their machines may know, tokens included. Whatever they resolve to, nobody but
// the machine itself is to ask there.
var metadataNames = []string{
	"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal", "metadata.tencentyun.com", "metadata.azure.internal",
	"metadata.platformequinix.com", "metadata.packet.net",
}

// outsideFault says why no policy lets a name stand for a host outside of the cluster, empty where one may. It is asked
// of aliases too. The name is canonical and its syntax is right.
func (n nameRules) outsideFault(name string) string {
	first, rest, dotted := strings.Cut(name, ".")
	switch {
	case hasSuffix(name, "localhost") || hasSuffix(name, "localdomain"):
		return "it is the gateway's own machine"
	case n.inside(name):
		return "it belongs to the cluster's DNS"
	case !dotted:
		return "a single label is no whole name: search lists are not followed"
	case slices.ContainsFunc(metadataNames, func(m string) bool { return hasSuffix(name, m) }),
		hasSuffix(rest, "internal") && (first == "metadata" || first == "instance-data"):
		return "it is a cloud's metadata service"
	}
	return n.known[name]
}

// suffixFault says why an entry of the list allows nothing, empty where it is a DNS suffix.
func (n nameRules) suffixFault(entry string) (fault, fix string) {
	const write = "write a DNS suffix, as example.com, or remove the entry"
	if rest, ok := strings.CutPrefix(entry, "*."); ok && syntaxFault(rest) == "" {
		return "it is not a DNS suffix", "write " + canonicalName(rest) + ", which allows every name below it"
	}
	suffix := suffixOf(entry)
	if fault := syntaxFault(suffix); fault != "" {
		return fault, write
	}
	if n.inside(suffix) {
		return "it belongs to the cluster's DNS", "write cluster or same-namespace for Services of the cluster"
	}
	if !strings.Contains(suffix, ".") && suffix != "localhost" {
		words := []string{externalNameOff, externalNameSameNamespace, externalNameCluster}
		if word, ok := diag.Nearest(suffix, words); ok {
			return "it is a single label that is nearly a word of the flag", "did you mean " + word + "?"
		}
		return "", "" // A top-level domain.
	}
	return n.outsideFault(suffix), write
}

// suffixOf is an entry without the dots at its ends.
func suffixOf(entry string) string { return canonicalName(strings.TrimPrefix(entry, ".")) }

// allows says whether the list has a suffix of the name.
func (e ExternalNames) allows(n nameRules, name string) bool {
	return slices.ContainsFunc(e.Suffixes, func(entry string) bool {
		fault, _ := n.suffixFault(entry)
		return fault == "" && hasSuffix(name, suffixOf(entry))
	})
}

// entryDiagnostics tells of the entries that allow nothing.
func (e ExternalNames) entryDiagnostics(n nameRules) []diag.D {
	var ds []diag.D
	for _, entry := range e.Suffixes {
		if fault, fix := n.suffixFault(entry); fault != "" {
			ds = append(ds, diag.New(diag.CodeNameEntry, diag.Origin{Kind: "flag", Name: "--external-name"},
				fmt.Sprintf("the entry %q is no use: %s", entry, fault), "it allows nothing", fix))
		}
	}
	return ds
}
