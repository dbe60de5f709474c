package inspect

import (
	"bytes"
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/postern-gateway/postern/dataplane/authorize"
	"github.com/postern-gateway/postern/dataplane/config"
	"github.com/postern-gateway/postern/translator/resolve"
)

const (
	// usersBytesMax and tokenBytesMax bound the files, tokenBytesMin is the shortest token: 128 bits, if it is random.
	usersBytesMax = 1 << 20
	tokenBytesMax = 4 << 10
	tokenBytesMin = 16
	// authorizationBytesMax bounds the header: a token, or a user with a password of the length that is checked.
	authorizationBytesMax = 8 << 10
	// failuresBurst wrong passwords may come from one address at once, and then one in failureInterval.
	failuresBurst   = 10
	failureInterval = time.Second
	// peersMax is how many addresses are remembered for their failures, knownMax how many headers as right.
	peersMax = 4096
	knownMax = 256
	// faultsTold is how many lines of a file are named that cannot be used.
	faultsTold = 3
	// tellInterval is how often the log tells of refused credentials: anybody who reaches the port can send some.
	tellInterval = time.Second
)

// credentials decide who may look. The files are read again at every request, which are few; one that is gone or has nobody in
// it lets nobody in.
type credentials struct {
	users, token watched
	passwords    *authorize.Passwords
	log          *slog.Logger
	now          func() time.Time
	// key is of the memory of what was right.
	key []byte

	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{} // guarded by mu
	peers map[netip.Prefix]*list.Element // guarded by mu
	order *list.List                     // of peers, latest use first; guarded by mu
	told  time.Time                      // guarded by mu
}

// peer is an address that passwords came from: failures are those that still count at that time, one less for each
// failureInterval.
type peer struct {
	from     netip.Prefix
	failures float64
	at       time.Time
}

// try counts a failure before it is known to be one, or says how long to wait.
func (p *peer) try(now time.Time) (wait time.Duration) {
	p.failures = max(0, p.failures-float64(now.Sub(p.at))/float64(failureInterval))
	p.at = now
	if over := p.failures + 1 - failuresBurst; over > 0 {
		return time.Duration(over * float64(failureInterval))
	}
	p.failures++
	return 0
}

// openCredentials reads the files; without any there are no credentials, nil. What a file lacks is an error here and a line of
// the log later.
func openCredentials(usersFile, tokenFile string, log *slog.Logger) (*credentials, error) {
	if usersFile == "" && tokenFile == "" {
		return nil, nil
	}
	key := make([]byte, sha256.Size)
	rand.Read(key) // It never fails (crypto/rand).
	c := &credentials{
		users: watched{flag: "--inspect-users", path: usersFile, parse: parseUsers, bytesMax: usersBytesMax},
		token: watched{flag: "--inspect-token", path: tokenFile, parse: parseToken, bytesMax: tokenBytesMax},
		log:   log, now: time.Now, passwords: authorize.NewPasswords(), key: key,
		known: map[[sha256.Size]byte]struct{}{}, peers: map[netip.Prefix]*list.Element{}, order: list.New(),
	}
	for _, file := range []*watched{&c.users, &c.token} {
		if _, err := file.now(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// admit answers 401 to who may not look, 429 to who fails too often, and 503 where it cannot be said.
func (c *credentials) admit(w http.ResponseWriter, r *http.Request) bool {
	users, token := c.accepted()
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 || len(headers[0]) > authorizationBytesMax {
		c.challenge(w, r)
		return false
	}
	if said, ok := bearer(headers[0]); ok && token != nil {
		// A token has too many bits to be guessed, so that trying is not counted.
		if sum := sha256.Sum256([]byte(said)); subtle.ConstantTimeCompare(sum[:], token.token[:]) == 1 {
			return true
		}
		c.tell(r)
		c.challenge(w, r)
		return false
	}
	user, password, ok := r.BasicAuth()
	if !ok || users == nil {
		c.challenge(w, r)
		return false
	}
	right, wait, err := c.checkUser(r, users, user, password)
	switch {
	case errors.Is(err, context.Canceled):
		return false
	case err != nil:
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusServiceUnavailable, "the password cannot be checked now")
	case wait > 0:
		w.Header().Set("Retry-After", fmt.Sprint(int(wait/time.Second)+1))
		refuse(w, r, http.StatusTooManyRequests, "too many wrong passwords")
	case !right:
		c.tell(r)
		c.challenge(w, r)
	}
	return right
}

// checkUser says whether the password is the user's, or how long this peer must wait until another is checked. What was right
// before, of the file as it is, is right whoever else fails from there: behind a proxy all have one address.
func (c *credentials) checkUser(r *http.Request, users *accepted, user, password string) (right bool, wait time.Duration, err error) {
	id := c.id(users.digest[:], []byte(user), []byte(password))
	c.mu.Lock()
	if _, known := c.known[id]; known {
		c.mu.Unlock()
		return true, 0, nil
	}
	from := c.peer(r)
	wait = from.try(c.now())
	c.mu.Unlock()
	if wait > 0 {
		return false, wait, nil
	}
	right, err = c.passwords.Check(r.Context(), users.users, user, password)
	if right {
		c.mu.Lock()
		defer c.mu.Unlock()
		from.failures--
		c.remember(id)
	}
	return right, 0, err
}

// accepted is what the files say now; each is nil where there is none.
func (c *credentials) accepted() (users, token *accepted) {
	var faults [2]error
	users, faults[0] = c.users.now()
	token, faults[1] = c.token.now()
	for i, file := range []*watched{&c.users, &c.token} {
		if words := file.untold(faults[i]); words != "" {
			c.log.Error("nobody may look by this file until it is mended", "reason", words)
		}
	}
	return users, token
}

func (c *credentials) challenge(w http.ResponseWriter, r *http.Request) {
	if c.users.path != "" {
		w.Header().Add("WWW-Authenticate", `Basic realm="postern inspection", charset="UTF-8"`)
	}
	if c.token.path != "" {
		w.Header().Add("WWW-Authenticate", `Bearer realm="postern inspection"`)
	}
	refuse(w, r, http.StatusUnauthorized, "inspection needs a credential")
}

// tell has the log say that somebody tries, and nothing of what was tried.
func (c *credentials) tell(r *http.Request) {
	c.mu.Lock()
	now := c.now()
	due := now.Sub(c.told) >= tellInterval
	if due {
		c.told = now
	}
	c.mu.Unlock()
	if due {
		c.log.Warn("a wrong credential for inspection", "from", r.RemoteAddr)
	}
}

func (c *credentials) id(parts ...[]byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, c.key)
	for _, part := range parts {
		fmt.Fprintf(mac, "%d:", len(part))
		mac.Write(part)
	}
	return [sha256.Size]byte(mac.Sum(nil))
}

// remember is called with mu held.
func (c *credentials) remember(id [sha256.Size]byte) {
	if len(c.known) >= knownMax {
		clear(c.known)
	}
	c.known[id] = struct{}{}
}

// peer is what is remembered of the address that a request comes from; mu is held. The one not seen for longest is forgotten.
func (c *credentials) peer(r *http.Request) *peer {
	from := network(r.RemoteAddr)
	if e := c.peers[from]; e != nil {
		c.order.MoveToFront(e)
		return e.Value.(*peer)
	}
	if c.order.Len() >= peersMax {
		delete(c.peers, c.order.Remove(c.order.Back()).(*peer).from)
	}
	made := &peer{from: from, at: c.now()}
	c.peers[from] = c.order.PushFront(made)
	return made
}

// network is an IPv4 address, or the 64 bits of an IPv6 one that one machine has all addresses of.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap()
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // The address has as many bits.
	return p
}

func bearer(header string) (string, bool) {
	scheme, token, _ := strings.Cut(header, " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "bearer")
}

// accepted is what a file lets in.
type accepted struct {
	users *config.Users
	token [sha256.Size]byte
	// digest is of the whole file.
	digest [sha256.Size]byte
}

// watched is a file whose meaning is kept until its bytes are others.
type watched struct {
	flag, path string
	parse      func([]byte) (*accepted, error)
	bytesMax   int64

	mu    sync.Mutex
	read  []byte    // guarded by mu
	means *accepted // of read; guarded by mu
	fault error     // of read; guarded by mu
	told  string    // guarded by mu
}

// now is nil without an error where no file was named.
func (f *watched) now() (*accepted, error) {
	if f.path == "" {
		return nil, nil
	}
	text, err := readBounded(f.path, f.bytesMax)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.flag, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read != nil && bytes.Equal(f.read, text) {
		return f.means, f.fault
	}
	f.read = text
	if f.means, f.fault = f.parse(text); f.fault != nil {
		f.means, f.fault = nil, fmt.Errorf("%s %s: %w", f.flag, f.path, f.fault)
	} else {
		f.means.digest = sha256.Sum256(text)
	}
	return f.means, f.fault
}

// untold gives the words of a fault the first time, empty otherwise.
func (f *watched) untold(fault error) string {
	words := ""
	if fault != nil {
		words = fault.Error()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if words == f.told {
		return ""
	}
	f.told = words
	return words
}

func readBounded(path string, bytesMax int64) (text []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	text, err = io.ReadAll(io.LimitReader(file, bytesMax+1))
	if err == nil && int64(len(text)) > bytesMax {
		err = fmt.Errorf("%s has more than %d bytes", path, bytesMax)
	}
	return text, err
}

// parseUsers takes a whole file or nothing: a line that is no user's may be one that its writer counts on.
func parseUsers(text []byte) (*accepted, error) {
	users, faults := resolve.ReadUsers(text)
	if len(faults) > 0 {
		return nil, errors.New(strings.Join(faults[:min(len(faults), faultsTold)], "; "))
	}
	if len(users) == 0 {
		return nil, errors.New("it has no line of a user: add one by htpasswd -B")
	}
	out := &accepted{users: &config.Users{Hashes: make(map[string]string, len(users))}}
	for _, u := range users {
		out.users.Hashes[u.Name] = string(u.Hash)
	}
	return out, nil
}

// parseToken takes the file less the space around it.
func parseToken(text []byte) (*accepted, error) {
	token := bytes.TrimSpace(text)
	if len(token) < tokenBytesMin {
		return nil, fmt.Errorf("the token has %d bytes, and %d are the least: make one by openssl rand -hex 16", len(token), tokenBytesMin)
	}
	for _, b := range token {
		if b <= ' ' || b > '~' {
			return nil, errors.New("the token has a space, or a character that no header carries: make one by openssl rand -hex 16")
		}
	}
	return &accepted{token: sha256.Sum256(token)}, nil
}
