package names

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// udpSizeMax is the largest answer asked for over UDP: what passes every usual network in one piece (DNS flag day 2020).
	udpSizeMax = 1232
	// recordsMax, addressesMax and aliasesMax bound what an answer is taken for.
	recordsMax   = 512
	addressesMax = 64
	aliasesMax   = 8
)

// answer is what DNS says of one name and one type of address.
type answer struct {
	addresses []netip.Addr
	// aliases is the chain of CNAME records from the name on.
	aliases []string
	// ttl is the shortest time to live on the way; it means nothing without addresses.
	ttl time.Duration
	// none says that there is no such name.
	none bool
}

// refusal is a server's answer that is none: another may have one.
type refusal struct{ code dnsmessage.RCode }

func (r refusal) Error() string {
	words := map[dnsmessage.RCode]string{
		dnsmessage.RCodeServerFailure: "SERVFAIL", dnsmessage.RCodeRefused: "REFUSED",
		dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeNotImplemented: "NOTIMP",
	}
	if word, ok := words[r.code]; ok {
		return "the DNS servers answer " + word
	}
	return fmt.Sprintf("the DNS servers answer with code %d", r.code)
}

// unusable is an answer that nothing can be made of.
type unusable string

func (u unusable) Error() string { return "the answer of DNS is of no use: " + string(u) }

// question is a question and the number by which its answer is known.
type question struct {
	id uint16
	// name is whole, with a dot at its end: no search list is ever added to it.
	name string
	kind dnsmessage.Type
}

// pack is the question as a message.
func (q question) pack() ([]byte, error) {
	name, err := dnsmessage.NewName(q.name)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", q.name, err)
	}
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(udpSizeMax, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", q.name, err)
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: q.id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{{Name: name, Type: q.kind, Class: dnsmessage.ClassINET}},
		Additionals: []dnsmessage.Resource{{Header: edns, Body: &dnsmessage.OPTResource{}}},
	}
	return m.Pack()
}

// errTruncated asks for the same over TCP.
var errTruncated = errors.New("the answer is truncated")

// errForeign is a message that answers another question; over UDP anybody may send one.
var errForeign = errors.New("the message answers another question")

// read is the answer in a message.
func (q question) read(message []byte) (answer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil {
		return answer{}, errForeign
	}
	asked, err := p.Question()
	if err != nil || !h.Response || h.ID != q.id || asked.Type != q.kind || asked.Class != dnsmessage.ClassINET || !strings.EqualFold(asked.Name.String(), q.name) {
		return answer{}, errForeign
	}
	if h.Truncated {
		return answer{}, errTruncated
	}
	var m dnsmessage.Message
	if err := m.Unpack(message); err != nil {
		return answer{}, unusable("it does not parse")
	}
	code := h.RCode
	for _, r := range m.Additionals {
		if r.Header.Type == dnsmessage.TypeOPT {
			code = r.Header.ExtendedRCode(code)
		}
	}
	switch code {
	case dnsmessage.RCodeSuccess:
		return q.follow(m.Answers)
	case dnsmessage.RCodeNameError:
		return answer{none: true}, nil
	default:
		return answer{}, refusal{code}
	}
}

// follow goes from the name along its aliases to the addresses. Records of other names count for nothing.
func (q question) follow(records []dnsmessage.Resource) (answer, error) {
	if len(records) > recordsMax {
		return answer{}, unusable(fmt.Sprintf("it has more than %d records", recordsMax))
	}
	aliases := map[string]dnsmessage.Resource{}
	for _, r := range records {
		if _, ok := r.Body.(*dnsmessage.CNAMEResource); ok {
			aliases[strings.ToLower(r.Header.Name.String())] = r
		}
	}
	out := answer{ttl: ttlMax}
	at := strings.ToLower(q.name)
	for {
		r, ok := aliases[at]
		if !ok {
			break
		}
		if len(out.aliases) == aliasesMax {
			return answer{}, unusable(fmt.Sprintf("it has more than %d aliases one behind the other", aliasesMax))
		}
		at = strings.ToLower(r.Body.(*dnsmessage.CNAMEResource).CNAME.String())
		out.aliases = append(out.aliases, strings.TrimSuffix(at, "."))
		out.ttl = min(out.ttl, seconds(r.Header.TTL))
	}
	for _, r := range records {
		if strings.ToLower(r.Header.Name.String()) != at {
			continue
		}
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			out.addresses = append(out.addresses, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			out.addresses = append(out.addresses, netip.AddrFrom16(body.AAAA))
		default:
			continue
		}
		out.ttl = min(out.ttl, seconds(r.Header.TTL))
	}
	if len(out.addresses) > addressesMax {
		return answer{}, unusable(fmt.Sprintf("it has more than %d addresses", addressesMax))
	}
	return out, nil
}

// seconds is a time to live; one with the highest bit set counts as 0 (RFC 2181, 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
