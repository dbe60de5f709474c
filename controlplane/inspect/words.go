package inspect

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/postern-gateway/postern/translator/model"
)

// listedMax bounds how many items of a policy's list its words name.
const listedMax = 6

// policyWords say what a route does beside its backend, one short sentence for each policy. Values that may be credentials
// are left out (model, private.go).
func policyWords(r *model.Route) []string {
	var words []string
	words = append(words, redirectWords(r)...)
	words = append(words, accessWords(r)...)
	if f, ok := r.Action.(*model.Forward); ok {
		words = append(words, pathWords(r, f)...)
	}
	words = append(words, headerWords("request", r.RequestHeaders)...)
	words = append(words, headerWords("answer", r.ResponseHeaders)...)
	if r.HSTS != nil {
		words = append(words, "answers with Strict-Transport-Security: "+r.HSTS.String())
	}
	if r.ClientCertificate != nil {
		words = append(words, "tells the backend of the client's certificate")
	}
	for _, p := range r.ErrorPages {
		words = append(words, fmt.Sprintf("shows a page of %s for %s", serviceOf(p.Backend), statusWords(p.Statuses)))
	}
	return words
}

func redirectWords(r *model.Route) []string {
	var words []string
	status := func(s model.RedirectStatus) int {
		reading, _ := s.Statuses()
		return reading
	}
	if root := r.RootRedirect; root != nil {
		words = append(words, fmt.Sprintf("redirects / to %s (%d)", root.Path, status(root.Status)))
	}
	if u := r.URLRedirect; u != nil {
		words = append(words, fmt.Sprintf("redirects URLs that match %s (%d)", u.Pattern, status(u.Status)))
	}
	if s := r.HTTPSRedirect; s != nil {
		to := "HTTPS"
		if s.Host != "" {
			to = "https://" + s.Host
		}
		words = append(words, fmt.Sprintf("redirects to %s (%d)", to, status(s.Status)))
		for _, h := range s.Unless {
			words = append(words, "takes a known "+h.Name+" for HTTPS")
		}
	}
	if h := r.HostRedirect; h != nil {
		words = append(words, fmt.Sprintf("redirects other hosts to %s (%d)", h.Host, status(h.Status)))
	}
	return words
}

func accessWords(r *model.Route) []string {
	var words []string
	if a := r.Access; a != nil && a.Sources != nil {
		who := "connections"
		if a.Sources.Forwarded {
			who = "clients"
		}
		words = append(words, fmt.Sprintf("only %s from %s", who, listed(a.Sources.Ranges, netip.Prefix.String)))
	}
	if a := r.Access; a != nil && a.Hosts != nil {
		words = append(words, "only asked for as "+listed(a.Hosts.Names, func(s string) string { return s }))
	}
	if a := r.Auth; a != nil {
		words = append(words, authWords(*a))
	}
	if l := r.RateLimit; l != nil {
		for _, rate := range l.Rates {
			words = append(words, fmt.Sprintf("at most %d requests in %s, %d at once, for each %s", rate.Average, rate.Period, rate.Burst, keyWord(l.By)))
		}
	}
	if len(r.Restricted) > 0 && r.Path != model.Prefix("/") {
		words = append(words, "answers 503 to other spellings of its path")
	}
	if f, ok := r.Action.(*model.Forward); ok {
		for _, l := range f.InFlight.Limits {
			words = append(words, fmt.Sprintf("at most %s in flight for each %s", plural(int(l.Most), "request"), keyWord(l.By)))
		}
	}
	return words
}

func authWords(a model.Auth) string {
	if f := a.Forward; f != nil {
		return "asks " + f.ShownURL() + " who may"
	}
	return fmt.Sprintf("%s authentication by Secret %s/%s", a.Kind, a.Users.Namespace, strings.TrimPrefix(a.Users.Name, a.Users.Namespace+"/"))
}

func pathWords(r *model.Route, f *model.Forward) []string {
	var words []string
	if s := f.Strip; s != nil {
		words = append(words, "takes off "+s.Prefix)
		if s.RewriteBase {
			words = append(words, "puts the base of pages under "+s.Prefix)
		}
	}
	if f.ReplacePath != "" {
		words = append(words, "asks for "+f.ReplacePath+" whatever the path")
	}
	switch rewrite := r.Rewrite.(type) {
	case *model.AddPrefix:
		words = append(words, "puts "+rewrite.Prefix+" before the path")
	case *model.ReplacePrefix:
		words = append(words, fmt.Sprintf("puts %s/ in place of %s", rewrite.With, r.Path.Value))
	case *model.ReplaceRegex:
		words = append(words, "rewrites what matches "+rewrite.Pattern)
	}
	if m := f.Buffering.MaxRequest; m != nil {
		words = append(words, fmt.Sprintf("bodies up to %d bytes, held until whole", m.Value))
	}
	if n := f.Buffering.Retries; n != nil {
		words = append(words, fmt.Sprintf("tries up to %s", plural(int(n.Value)+1, "time")))
	}
	for _, t := range f.Targets {
		if t.Affinity != nil {
			words = append(words, "keeps a client at one endpoint by the cookie "+t.Affinity.Cookie)
		}
	}
	return words
}

// headerWords name the headers that are changed, without their values.
func headerWords(of string, changes []model.HeaderChange) []string {
	var set, removed []string
	for _, c := range changes {
		if c.Value == "" {
			removed = append(removed, c.Name)
		} else {
			set = append(set, c.Name)
		}
	}
	var words []string
	same := func(s string) string { return s }
	if len(set) > 0 {
		words = append(words, fmt.Sprintf("sets %s of the %s", listed(set, same), of))
	}
	if len(removed) > 0 {
		words = append(words, fmt.Sprintf("takes %s off the %s", listed(removed, same), of))
	}
	return words
}

func keyWord(by model.RateKey) string {
	switch key := by.(type) {
	case model.RateByHost:
		return "host"
	case model.RateByHeader:
		return "value of " + key.Name
	default:
		return "client"
	}
}

func statusWords(of []model.StatusRange) string {
	return listed(of, func(s model.StatusRange) string {
		if s.From == s.To {
			return strconv.Itoa(s.From)
		}
		return fmt.Sprintf("%d–%d", s.From, s.To)
	})
}

// tlsWords say how a backend is spoken to.
func tlsWords(b *model.Backend) string {
	t := b.TLS
	switch {
	case t == nil && b.Protocol == model.ProtocolH2C:
		return "HTTP/2 without TLS"
	case t == nil:
		return "HTTP"
	case t.SkipVerify:
		return "HTTPS, the certificate is not verified"
	}
	words := "HTTPS, verified as " + listed(t.Names, func(s string) string { return s })
	if t.Trust != "" {
		words += " by the CAs of " + t.Trust
	}
	if t.Client != "" {
		words += ", with the client certificate of Secret " + t.Client
	}
	if t.MinVersion != "" {
		words += ", TLS " + string(t.MinVersion) + " or later"
	}
	return words
}

// shareOf is a target's part of the requests, in percent where there are several.
func shareOf(t model.Target, of []model.Target) string {
	if len(of) == 1 {
		return ""
	}
	var total uint64
	for _, one := range of {
		total += uint64(one.Weight)
	}
	return strconv.FormatFloat(float64(t.Weight)*100/float64(total), 'g', 3, 64) + "%"
}

// listed are the first items with commas, and how many more there are.
func listed[T any](items []T, word func(T) string) string {
	var out []string
	for i, item := range items {
		if i == listedMax {
			return strings.Join(out, ", ") + fmt.Sprintf(" and %d more", len(items)-i)
		}
		out = append(out, word(item))
	}
	return strings.Join(out, ", ")
}

func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "ay"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}

// ageWords is how long ago something was, to the unit that matters.
func ageWords(d time.Duration) string {
	switch {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return plural(int(d/time.Second), "second") + " ago"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour") + " ago"
	default:
		return plural(int(d/(24*time.Hour)), "day") + " ago"
	}
}
