package names

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// attemptMax bounds the wait for one server, lookupMax that for all of them.
	attemptMax = 2 * time.Second
	lookupMax  = 10 * time.Second
	// rounds is how often each server is asked before a lookup fails.
	rounds = 2
	// serversMax is how many servers of /etc/resolv.conf are asked (resolv.conf(5): MAXNS).
	serversMax = 3
	dnsPort    = 53
)

// errSilent is every fault of the way to a server. What it was in detail changes from one time to the next, and the
// words end in a diagnostic.
var errSilent = errors.New("the DNS servers do not answer")

// ParseServers reads the addresses of DNS servers, each with or without a port.
func ParseServers(texts []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range texts {
		text = strings.TrimSpace(text)
		if addr, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.AddrPortFrom(addr, dnsPort))
			continue
		}
		at, err := netip.ParseAddrPort(text)
		if err != nil || at.Port() == 0 {
			return nil, fmt.Errorf("%s: write ADDRESS or ADDRESS:PORT, the address being an IP address", text)
		}
		out = append(out, at)
	}
	return out, nil
}

// systemFile is where a system names its DNS servers (resolv.conf(5)).
const systemFile = "/etc/resolv.conf"

// SystemServers are the DNS servers of this system now.
func SystemServers() ([]netip.AddrPort, error) { return readServers(systemFile) }

func readServers(file string) ([]netip.AddrPort, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read, and no --dns-server is given", file)
	}
	var out []netip.AddrPort
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" || len(out) == serversMax {
			continue
		}
		if addr, err := netip.ParseAddr(words[1]); err == nil {
			out = append(out, netip.AddrPortFrom(addr, dnsPort))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s names no server, and no --dns-server is given", file)
	}
	return out, nil
}

// client asks DNS servers.
type client struct {
	servers func() ([]netip.AddrPort, error)
}

// ask asks the servers one after the other until one knows an answer. Its error is words for a diagnostic.
func (c client) ask(ctx context.Context, name string, kind dnsmessage.Type) (answer, error) {
	servers, err := c.servers()
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupMax)
	defer cancel()
	err = errSilent
	for range rounds {
		for _, server := range servers {
			q := question{id: uint16(rand.Uint32()), name: name + ".", kind: kind}
			var a answer
			if a, err = exchange(ctx, server, q); err == nil {
				return a, nil
			}
			if ctx.Err() != nil {
				return answer{}, err
			}
		}
	}
	return answer{}, err
}

// exchange asks one server: over UDP, and over TCP where the answer does not fit.
func exchange(ctx context.Context, server netip.AddrPort, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptMax)
	defer cancel()
	a, err := overUDP(ctx, server, q)
	if errors.Is(err, errTruncated) {
		a, err = overTCP(ctx, server, q)
	}
	var no refusal
	var bad unusable
	if err == nil || errors.As(err, &no) || errors.As(err, &bad) {
		return a, err
	}
	return answer{}, errSilent
}

func dial(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// overUDP uses a socket of its own for each question, so that whoever would forge an answer has its port to guess too.
// Messages that answer something else are passed over.
func overUDP(ctx context.Context, server netip.AddrPort, q question) (answer, error) {
	message, err := q.pack()
	if err != nil {
		return answer{}, err
	}
	conn, err := dial(ctx, "udp", server)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(message); err != nil {
		return answer{}, err
	}
	buffer := make([]byte, udpSizeMax)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return answer{}, err
		}
		if a, err := q.read(buffer[:n]); !errors.Is(err, errForeign) {
			return a, err
		}
	}
}

func overTCP(ctx context.Context, server netip.AddrPort, q question) (answer, error) {
	message, err := q.pack()
	if err != nil {
		return answer{}, err
	}
	conn, err := dial(ctx, "tcp", server)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)); err != nil {
		return answer{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return answer{}, err
	}
	// Two bytes say the size, so that it is bounded (RFC 1035, 4.2.2).
	buffer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buffer); err != nil {
		return answer{}, err
	}
	return q.read(buffer)
}
