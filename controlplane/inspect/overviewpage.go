package inspect

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/diag"
)

// overviewRows is how many hosts and backends the overview lists, problemsShown how many problems.
const (
	overviewRows  = 12
	problemsShown = 8
)

// overviewPage is the gateway at a glance.
type overviewPage struct {
	Health    condition    `json:"health"`
	Version   string       `json:"version"`
	Revision  xds.Revision `json:"revision"`
	Published time.Time    `json:"published"`
	// Age is how long ago that was, in words.
	Age      string        `json:"age"`
	Took     time.Duration `json:"tookNanoseconds"`
	Entries  []entryRow    `json:"entries"`
	Counts   counts        `json:"counts"`
	Problems []problem     `json:"problems"`
	// MoreProblems is how many there are beside those.
	MoreProblems int          `json:"moreProblems,omitempty"`
	Hosts        []hostRow    `json:"hosts"`
	Backends     []backendRow `json:"backends"`
}

func (overviewPage) Title() string { return "Overview" }

// entryRow is a port of the gateway.
type entryRow struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	TLS     bool   `json:"tls"`
	Public  uint16 `json:"publicPort"`
	Hosts   int    `json:"hosts"`
	Routes  int    `json:"routes"`
}

// counts are what there is of everything; those of trouble are parts of those before them.
type counts struct {
	Hosts          int `json:"hosts"`
	HostsInTrouble int `json:"hostsInTrouble"`
	Ingresses      int `json:"ingresses"`
	// IngressesNotServed were read and not chosen; Ingresses does not count them.
	IngressesNotServed int `json:"ingressesNotServed"`
	Routes             int `json:"routes"`
	Backends           int `json:"backends"`
	BackendsInTrouble  int `json:"backendsInTrouble"`
	Certificates       int `json:"certificates"`
	// CertificatesEnding end soon, have ended, or are not valid yet.
	CertificatesEnding int `json:"certificatesEnding"`
	Proxies            int `json:"proxies"`
	ProxiesInSync      int `json:"proxiesInSync"`
	Errors             int `json:"errors"`
	Warnings           int `json:"warnings"`
	Infos              int `json:"infos"`
}

// problem is something that is not well, and where to read on.
type problem struct {
	State state  `json:"state"`
	What  string `json:"what"`
	// Why is a reason or more, in words.
	Why  []string `json:"why"`
	Link string   `json:"link"`
}

// worstFirst orders rows by state, as they were within one.
func worstFirst[T any](rows []T, of func(T) state) []T {
	out := slices.Clone(rows)
	slices.SortStableFunc(out, func(a, b T) int { return cmp.Compare(of(b), of(a)) })
	return out
}

func overviewData(v View, _ *http.Request) (any, error) {
	x := v.index()
	hosts, backends, certificates, connected := v.hostRows(), v.backendRows(), v.certificateRows(), v.proxyRows()
	proxies := answering(connected)
	p := overviewPage{
		Version: v.Version, Revision: v.Revision, Published: v.At, Age: ageWords(v.Now.Sub(v.At)), Took: v.Took,
		Counts: counts{
			Hosts: len(hosts), Ingresses: len(x.served), IngressesNotServed: len(x.unserved), Routes: x.routes, Backends: len(backends), Certificates: len(certificates),
			Proxies: len(proxies), Errors: x.severities[diag.Error], Warnings: x.severities[diag.Warning], Infos: x.severities[diag.Info],
		},
		Entries: v.entryRows(),
	}
	var problems []problem
	for _, c := range connected {
		switch {
		case c.Health.State == stateOK && c.Authorizer:
		case c.Health.State == stateOK:
			p.Counts.ProxiesInSync++
		case c.Authorizer:
			problems = append(problems, problem{c.Health.State, "Authorizer " + c.Node, c.Health.Reasons, c.Link})
		default:
			problems = append(problems, problem{c.Health.State, "Proxy " + c.Node, c.Health.Reasons, c.Link})
		}
	}
	silent := v.silentReplicas()
	switch {
	case len(proxies) == 0 && len(silent) > 0:
		problems = append(problems, problem{stateDegraded, "No proxy is connected to the replicas that answer", []string{"whether any answers requests is not known"}, "proxies"})
	case len(proxies) == 0:
		problems = append(problems, problem{stateFailing, "No proxy is connected", []string{"nothing answers requests by this configuration"}, "proxies"})
	}
	problems = append(problems, silent...)
	if len(x.served) == 0 && len(x.unserved) > 0 {
		problems = append(problems, problem{
			stateDegraded, "No Ingress is served", []string{fmt.Sprintf("of %s that were read", plural(len(x.unserved), "Ingress")), nameOf(x.unserved[0].objectID) + ": " + x.unserved[0].why}, link("ingresses", "state", stateNotServed),
		})
	}
	for _, b := range backends {
		if b.Health.State != stateOK {
			p.Counts.BackendsInTrouble++
			problems = append(problems, problem{b.Health.State, "Service " + b.Service + " port " + b.Port, b.Health.Reasons, b.Link})
		}
	}
	for _, c := range certificates {
		if c.Health.State != stateOK {
			p.Counts.CertificatesEnding++
			problems = append(problems, problem{c.Health.State, "Certificate " + c.Subject, c.Health.Reasons, c.Link})
		}
	}
	for _, h := range hosts {
		if h.Health.State != stateOK {
			p.Counts.HostsInTrouble++
		}
	}
	problems = append(problems, v.closedProblems()...)
	problems = worstFirst(problems, func(p problem) state { return p.State })
	for _, one := range problems {
		p.Health.State = max(p.Health.State, one.State)
	}
	p.Health.Reasons = []string{verdict(len(problems))}
	p.Problems, p.MoreProblems = problems[:min(len(problems), problemsShown)], max(len(problems)-problemsShown, 0)
	p.Hosts = worstFirst(hosts, func(h hostRow) state { return h.Health.State })[:min(len(hosts), overviewRows)]
	p.Backends = worstFirst(backends, func(b backendRow) state { return b.Health.State })[:min(len(backends), overviewRows)]
	return p, nil
}

func verdict(problems int) string {
	if problems == 0 {
		return "Every host, backend, certificate and proxy is well."
	}
	return plural(problems, "thing") + " to look at."
}

func (v View) entryRows() []entryRow {
	out := []entryRow{}
	for _, t := range v.Result.Gateway.Tables {
		row := entryRow{Name: t.Entry.Name, Address: t.Entry.Address.String(), TLS: t.Entry.TLS, Public: t.Entry.PublicPort}
		for _, h := range v.index().hosts {
			if h.entry == t.Entry.Name {
				row.Hosts++
				row.Routes += len(h.routes)
			}
		}
		out = append(out, row)
	}
	return out
}

// closedProblems are the Ingresses of which routes are closed, each once.
func (v View) closedProblems() []problem {
	x := v.index()
	var out []problem
	for _, of := range x.served {
		var why []string
		closed := 0
		for _, at := range x.routesOf[of] {
			if h := closedHealth(at.route()); h.State != stateOK {
				closed++
				for _, reason := range h.Reasons {
					if !slices.Contains(why, reason) && len(why) < hostReasonsMax {
						why = append(why, reason)
					}
				}
			}
		}
		if closed > 0 {
			out = append(out, problem{stateFailing, "Ingress " + nameOf(of), append([]string{fmt.Sprintf("%s closed (503)", plural(closed, "route"))}, why...), linkOf(of)})
		}
	}
	return out
}
