package names

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/postern-gateway/postern/controlplane/names/dnstest"
	"github.com/postern-gateway/postern/translator/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// TestAsk: what a lookup makes of what servers answer.
func TestAsk(t *testing.T) {
	server := dnstest.Start(t)
	many := make([]netip.Addr, addressesMax+1)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
	}
	server.Set("plain.test", dnstest.Record{Addresses: addrs("192.0.2.2", "192.0.2.1", "2001:db8::1"), TTL: 300})
	server.Set("alias.test", dnstest.Record{Alias: "Middle.test", TTL: 20})
	server.Set("middle.test", dnstest.Record{Alias: "plain.test", TTL: 60})
	server.Set("circle.test", dnstest.Record{Alias: "circle.test"})
	server.Set("dangling.test", dnstest.Record{Alias: "nowhere.test"})
	server.Set("empty.test", dnstest.Record{})
	server.Set("broken.test", dnstest.Record{Code: dnsmessage.RCodeServerFailure})
	server.Set("refused.test", dnstest.Record{Code: dnsmessage.RCodeRefused})
	server.Set("large.test", dnstest.Record{Addresses: many[:addressesMax], Truncated: true})
	server.Set("many.test", dnstest.Record{Addresses: many, Truncated: true})
	server.Set("forged.test", dnstest.Record{Addresses: addrs("192.0.2.1"), Forged: addrs("127.0.0.1")})
	server.Set("eternal.test", dnstest.Record{Addresses: addrs("192.0.2.1"), TTL: 1 << 31})
	c := client{servers: server.Servers}
	for name, want := range map[string]struct {
		addresses int
		aliases   string
		ttl       time.Duration
		none      bool
		err       string
	}{
		"plain.test":    {addresses: 2, ttl: 300 * time.Second},
		"PLAIN.test":    {addresses: 2, ttl: 300 * time.Second},
		"alias.test":    {addresses: 2, aliases: "middle.test plain.test", ttl: 20 * time.Second},
		"nowhere.test":  {none: true},
		"dangling.test": {none: true},
		"empty.test":    {ttl: ttlMax},
		"circle.test":   {err: "aliases"},
		"broken.test":   {err: "SERVFAIL"},
		"refused.test":  {err: "REFUSED"},
		"large.test":    {addresses: addressesMax},
		"many.test":     {err: "more than 64 addresses"},
		"forged.test":   {addresses: 1},
		"eternal.test":  {addresses: 1},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := c.ask(t.Context(), name, dnsmessage.TypeA)
			if want.err != "" {
				if err == nil || !strings.Contains(err.Error(), want.err) {
					t.Fatalf("%v, want an error with %q", err, want.err)
				}
				return
			}
			if err != nil || len(a.addresses) != want.addresses || strings.Join(a.aliases, " ") != want.aliases || a.ttl != want.ttl || a.none != want.none {
				t.Errorf("%+v, %v; want %+v", a, err, want)
			}
			if slices.Contains(a.addresses, netip.MustParseAddr("127.0.0.1")) {
				t.Error("a forged message is taken for the answer")
			}
		})
	}
}

// TestServersInTurn: a server that is not there, or fails, has the next one asked; one that knows the name ends it.
func TestServersInTurn(t *testing.T) {
	broken, good, silent := dnstest.Start(t), dnstest.Start(t), netip.MustParseAddrPort("127.0.0.1:9")
	broken.Set("a.test", dnstest.Record{Code: dnsmessage.RCodeServerFailure})
	good.Set("a.test", dnstest.Record{Addresses: addrs("192.0.2.1")})
	of := func(servers ...netip.AddrPort) client {
		return client{servers: func() ([]netip.AddrPort, error) { return servers, nil }}
	}
	if a, err := of(silent, broken.Address, good.Address).ask(t.Context(), "a.test", dnsmessage.TypeA); err != nil || len(a.addresses) != 1 {
		t.Errorf("%+v, %v; want the third server's address", a, err)
	}
	if _, err := of(silent).ask(t.Context(), "a.test", dnsmessage.TypeA); !errors.Is(err, errSilent) {
		t.Errorf("%v, want %v", err, errSilent)
	}
	if a, err := of(good.Address, broken.Address).ask(t.Context(), "none.test", dnsmessage.TypeA); err != nil || !a.none || broken.Asked("none.test") > 0 {
		t.Errorf("%+v, %v, and the second server was asked %d times; a name that does not exist is an answer", a, err, broken.Asked("none.test"))
	}
}

func TestServers(t *testing.T) {
	got, err := ParseServers([]string{"192.0.2.1", " 192.0.2.1:5353", "[2001:db8::1]:53", "2001:db8::1"})
	if want := "[192.0.2.1:53 192.0.2.1:5353 [2001:db8::1]:53 [2001:db8::1]:53]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"", "dns.test", "192.0.2.1:0", "192.0.2.1:x"} {
		if got, err := ParseServers([]string{bad}); err == nil {
			t.Errorf("%q gives %v, want an error", bad, got)
		}
	}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	for text, want := range map[string]string{
		"# nameserver 192.0.2.9\nnameserver 192.0.2.1\nsearch a.test\nnameserver 2001:db8::1 # two\n": "[192.0.2.1:53 [2001:db8::1]:53]",
		"nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n":            "[1.1.1.1:53 1.1.1.2:53 1.1.1.3:53]",
		"search a.test\nnameserver x\n": "names no server",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readServers(file)
		if fmt.Sprint(got) != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}

// script is what DNS answers in a test of time, and what the Resolver tells.
type script struct {
	mu     sync.Mutex
	now    map[string]lookup
	asked  map[string]int
	atOnce int
	most   int
	told   []source.ResolvedName
	times  int
}

func (s *script) set(name string, l lookup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now[name] = l
}

func (s *script) look(ctx context.Context, name string) lookup {
	s.mu.Lock()
	s.atOnce++
	s.most = max(s.most, s.atOnce)
	s.asked[name]++
	s.mu.Unlock()
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atOnce--
	return s.now[name]
}

func (s *script) tell(all []source.ResolvedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = all
	s.times++
}

// line is what was told of a name last.
func (s *script) line(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.told {
		if n.Name == name {
			return strings.TrimSpace(fmt.Sprint(n.Addresses, " ", n.Fault))
		}
	}
	return "nothing"
}

func good(ttl time.Duration, addresses ...string) lookup {
	var l lookup
	for _, a := range addrs(addresses...) {
		f := family4
		if a.Is6() {
			f = family6
		}
		l.answers[f].addresses = append(l.answers[f].addresses, a)
		l.answers[f].ttl = ttl
	}
	return l
}

var (
	silence = lookup{errs: [families]error{errSilent, errSilent}}
	nowhere = lookup{answers: [families]answer{{none: true}, {none: true}}}
)

// resolve runs a Resolver on the script, in the time of the bubble.
func resolve(t *testing.T, s *script) *Resolver {
	s.now, s.asked = map[string]lookup{}, map[string]int{}
	r := New(Options{})
	r.look = s.look
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx, s.tell)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

// after lets time pass and says what is told of a name then.
func (s *script) after(d time.Duration, name string) string {
	time.Sleep(d) // In a bubble: no time passes but this.
	synctest.Wait()
	return s.line(name)
}

// until lets time pass, at most so much, until that is told of a name.
func (s *script) until(t *testing.T, name, want string, most time.Duration) {
	t.Helper()
	got := ""
	for passed := time.Duration(0); passed < most; passed += time.Second {
		if got = s.after(time.Second, name); got == want {
			return
		}
	}
	t.Errorf("after %s: %s, want %s", most, got, want)
}

// TestTimes: an answer is used for its time to live; without a fresh one the last is kept for as long as it says.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s script
		r := resolve(t, &s)
		want := func(d time.Duration, want string) {
			t.Helper()
			if got := s.after(d, "a.test"); got != want {
				t.Errorf("after %s: %s, want %s", d, got, want)
			}
		}
		s.set("a.test", good(time.Minute, "192.0.2.1", "2001:db8::1"))
		r.Want([]string{"a.test"})
		want(time.Second, "[192.0.2.1 2001:db8::1]")
		s.set("a.test", good(time.Minute, "192.0.2.2", "2001:db8::2"))
		want(50*time.Second, "[192.0.2.1 2001:db8::1]")
		want(10*time.Second, "[192.0.2.2 2001:db8::2]")
		// One family fails: the other is fresh, and the failing one keeps what it had.
		partly := good(time.Minute, "192.0.2.3")
		partly.errs[family6] = errSilent
		s.set("a.test", partly)
		want(time.Minute, "[192.0.2.3 2001:db8::2]")
		// Nobody answers: for a day the last good answer stays.
		s.set("a.test", silence)
		want(2*time.Minute, "[192.0.2.3 2001:db8::2] the DNS servers do not answer")
		want(23*time.Hour, "[192.0.2.3 2001:db8::2] the DNS servers do not answer")
		want(2*time.Hour, "[] the DNS servers do not answer")
		// It comes back within the longest wait between two tries.
		s.set("a.test", good(time.Minute, "192.0.2.4"))
		s.until(t, "a.test", "[192.0.2.4]", retryMax*5/4+time.Second)
		// It is gone: for half a minute the last good answer stays.
		s.set("a.test", nowhere)
		s.until(t, "a.test", "[192.0.2.4] there is no such name", time.Minute+time.Second)
		want(goneKept-5*time.Second, "[192.0.2.4] there is no such name")
		s.until(t, "a.test", "[] there is no such name", retryMax)
		r.Want(nil)
		want(time.Second, "nothing")
	})
}

// TestShortAndLong: a time to live of nothing is five seconds, one of a week an hour.
func TestShortAndLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s script
		r := resolve(t, &s)
		s.set("short.test", good(0, "192.0.2.1"))
		s.set("long.test", good(7*24*time.Hour, "192.0.2.2"))
		r.Want([]string{"long.test", "short.test"})
		s.after(time.Hour+time.Second, "")
		if n := s.asked["short.test"]; n < 720 || n > 801 {
			t.Errorf("a name without time to live is asked for %d times in an hour, want 720 to 800", n)
		}
		if n := s.asked["long.test"]; n != 2 {
			t.Errorf("a name that lives for a week is asked for %d times in an hour, want twice", n)
		}
		if s.times != 1 {
			t.Errorf("%d changes are told, want the first alone", s.times)
		}
	})
}

// TestBackoff: a name that fails is asked for less and less.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s script
		r := resolve(t, &s)
		s.set("a.test", silence)
		r.Want([]string{"a.test"})
		if got := s.after(time.Hour, "a.test"); got != "[] the DNS servers do not answer" {
			t.Error(got)
		}
		if n := s.asked["a.test"]; n < 48 || n > 90 {
			t.Errorf("it is asked for %d times in an hour, want about 65", n)
		}
	})
}

// TestManyNames: only so many are asked for at a time, only so many at all, and all that answer together are few changes.
func TestManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s script
		r := resolve(t, &s)
		var all []string
		for i := range namesMax + 2 {
			all = append(all, fmt.Sprintf("n%04d.test", i))
			s.set(all[i], good(time.Hour, "192.0.2.1"))
		}
		r.Want(all)
		if got := s.after(time.Minute, all[namesMax]); !strings.Contains(got, "more than 1000 names") {
			t.Errorf("of a name too many is told: %s", got)
		}
		if got := s.line(all[namesMax-1]); got != "[192.0.2.1]" {
			t.Errorf("of the last name that is in is told: %s", got)
		}
		if s.most > askingMax {
			t.Errorf("%d names are asked for at once, want at most %d", s.most, askingMax)
		}
		if s.times > 5 {
			t.Errorf("%d changes are told for names that are first asked for together", s.times)
		}
		if s.asked[all[namesMax]] > 0 {
			t.Error("a name too many is asked for")
		}
	})
}
