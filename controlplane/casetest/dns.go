package casetest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/source"
)

// parseNames reads dns.txt: a name outside of the cluster, then its addresses, alias=NAME for each alias on the way, and
// fault=WORDS, to the end of the line, where there is no fresh answer.
func parseNames(file string, data []byte) ([]source.ResolvedName, error) {
	var out []source.ResolvedName
	for line := range strings.Lines(string(data)) {
		line, fault, _ := strings.Cut(line, " fault=")
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		n := source.ResolvedName{Name: words[0], Fault: strings.TrimSpace(fault)}
		for _, w := range words[1:] {
			if alias, ok := strings.CutPrefix(w, "alias="); ok {
				n.Aliases = append(n.Aliases, alias)
				continue
			}
			addr, err := netip.ParseAddr(w)
			if err != nil {
				return nil, fmt.Errorf("%s: %q: write NAME, then addresses, alias=NAME and fault=WORDS", file, w)
			}
			n.Addresses = append(n.Addresses, addr)
		}
		if slices.ContainsFunc(out, func(o source.ResolvedName) bool { return o.Name == n.Name }) {
			return nil, fmt.Errorf("%s: %s stands there twice", file, n.Name)
		}
		out = append(out, n)
	}
	return out, nil
}

// checkNames finds names in dns.txt that no step asks for.
func (c *Case) checkNames(results []translator.Result) error {
	for _, s := range c.Steps {
		for _, n := range s.names {
			if !slices.ContainsFunc(results, func(r translator.Result) bool { return slices.Contains(r.Gateway.OutsideNames, n.Name) }) {
				return fmt.Errorf("%s: nothing asks for %s", dnsFile, n.Name)
			}
		}
	}
	return nil
}
