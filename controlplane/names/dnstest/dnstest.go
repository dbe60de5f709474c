// Package dnstest is a DNS server on loopback for tests.
package dnstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Record is what a name has: other names, or addresses, or a way of its own to answer.
type Record struct {
	// Alias is the name that this one stands for, empty for none.
	Alias string
	// Addresses are answered as A or AAAA, each as it is written: ::ffff:127.0.0.1 is an AAAA.
	Addresses []netip.Addr
	// TTL is in seconds.
	TTL uint32
	// Code is answered where it is not success.
	Code dnsmessage.RCode
	// Truncated has nothing but the header answered over UDP.
	Truncated bool
	// Forged has a message with another number, and one with another question, sent before the answer over UDP.
	Forged []netip.Addr
}

// Server answers for the names that it was told of; of others it says that they do not exist.
type Server struct {
	Address netip.AddrPort

	mu sync.Mutex
	// records and asked are by canonical name, guarded by mu.
	records map[string]Record
	asked   map[string]int
}

// portTries bounds the search for a port that is free over both UDP and TCP.
const portTries = 16

// Start runs a server until the test ends, at a port that is free.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartAt(t, 0)
}

// StartAt runs a server at a port, as one that /etc/resolv.conf is to name must be at 53.
func StartAt(t testing.TB, port int) *Server {
	t.Helper()
	udp, tcp, err := listen(port)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: udp.LocalAddr().(*net.UDPAddr).AddrPort(), records: map[string]Record{}, asked: map[string]int{}}
	var running sync.WaitGroup
	running.Go(func() { s.serveUDP(udp) })
	running.Go(func() { s.serveTCP(tcp, &running) })
	t.Cleanup(func() {
		if err := errors.Join(udp.Close(), tcp.Close()); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	return s
}

func listen(port int) (*net.UDPConn, net.Listener, error) {
	var last error
	for range portTries {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			return nil, nil, fmt.Errorf("listen for DNS: %w", err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		last = errors.Join(err, udp.Close())
	}
	return nil, nil, fmt.Errorf("listen for DNS: %w", last)
}

// Set says what a name has from now on.
func (s *Server) Set(name string, r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[canonical(name)] = r
}

// Asked is how often a name was asked for, whatever the type.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[canonical(name)]
}

// AskedFor are all names that were asked for.
func (s *Server) AskedFor() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for name := range s.asked {
		out = append(out, name)
	}
	return out
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Servers is the server as a resolver takes it.
func (s *Server) Servers() ([]netip.AddrPort, error) { return []netip.AddrPort{s.Address}, nil }

func (s *Server) record(name string) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[canonical(name)]
	return r, ok
}

func (s *Server) serveUDP(conn *net.UDPConn) {
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		q, ok := s.question(buffer[:n])
		if !ok {
			continue
		}
		r, _ := s.record(q.Questions[0].Name.String())
		var messages []dnsmessage.Message
		if r.Forged != nil {
			messages = forged(q, r)
		}
		m := s.answer(q)
		if r.Truncated {
			m.Truncated, m.Answers = true, nil
		}
		for _, m := range append(messages, m) {
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteToUDPAddrPort(packed, from)
			}
		}
	}
}

// forged are what somebody who does not see the question might send: another number, another question.
func forged(q dnsmessage.Message, r Record) []dnsmessage.Message {
	name := q.Questions[0].Name
	number := q
	number.Header = dnsmessage.Header{ID: q.ID + 1, Response: true}
	number.Answers = resources(name, r.Forged, r.TTL)
	number.Additionals = nil
	other := number
	other.ID = q.ID
	other.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.test."), Type: q.Questions[0].Type, Class: q.Questions[0].Class}}
	return []dnsmessage.Message{number, other}
}

func (s *Server) serveTCP(listener net.Listener, running *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer conn.Close()
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			buffer := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, buffer); err != nil {
				return
			}
			q, ok := s.question(buffer)
			if !ok {
				return
			}
			m := s.answer(q)
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
			}
		})
	}
}

// question reads a question and notes that it was asked.
func (s *Server) question(message []byte) (dnsmessage.Message, bool) {
	var q dnsmessage.Message
	if err := q.Unpack(message); err != nil || len(q.Questions) != 1 {
		return q, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[canonical(q.Questions[0].Name.String())]++
	return q, true
}

// chainMax ends the following of aliases that go round in a circle, as a recursive server ends it.
const chainMax = 16

func (s *Server) answer(q dnsmessage.Message) dnsmessage.Message {
	asked := q.Questions[0]
	out := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: q.Questions,
	}
	name := asked.Name
	for range chainMax {
		r, ok := s.record(name.String())
		switch {
		case !ok:
			out.RCode = dnsmessage.RCodeNameError
			return out
		case r.Code != dnsmessage.RCodeSuccess:
			out.RCode = r.Code
			return out
		case r.Alias != "":
			target := dnsmessage.MustNewName(canonical(r.Alias) + ".")
			out.Answers = append(out.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: r.TTL}, Body: &dnsmessage.CNAMEResource{CNAME: target},
			})
			if asked.Type == dnsmessage.TypeA || asked.Type == dnsmessage.TypeAAAA {
				name = target
				continue
			}
			return out
		}
		var matching []netip.Addr
		for _, addr := range r.Addresses {
			if addr.Is4() == (asked.Type == dnsmessage.TypeA) {
				matching = append(matching, addr)
			}
		}
		out.Answers = append(out.Answers, resources(name, matching, r.TTL)...)
		return out
	}
	return out
}

func resources(name dnsmessage.Name, addresses []netip.Addr, ttl uint32) []dnsmessage.Resource {
	var out []dnsmessage.Resource
	for _, addr := range addresses {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl}}
		if addr.Is4() {
			r.Body = &dnsmessage.AResource{A: addr.As4()}
		} else {
			r.Body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
		}
		out = append(out, r)
	}
	return out
}
